#include "sandbox/keeper/record.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace vortex::sandbox {

void set_text(Record& record, std::string_view text) {
  const size_t size = std::min(text.size(), record.text.size() - 1);
  std::copy_n(text.data(), size, record.text.data());
  record.text[size] = '\0';
}

void tell(int fd, const Record& record) {
  while (::write(fd, &record, sizeof record) < 0 && errno == EINTR) {}
}

void tell_layer(int fd, Layer layer, LayerState state, std::string_view text) {
  Record record;
  record.kind = Record::Kind::kLayer;
  record.layer = layer;
  record.state = state;
  set_text(record, text);
  tell(fd, record);
}

void tell_start_fault(int fd, std::string_view what, int reason) {
  Record record;
  record.kind = Record::Kind::kStartFault;
  record.number = reason;
  set_text(record, what);
  tell(fd, record);
}

}  // namespace vortex::sandbox
