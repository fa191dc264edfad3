#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "sandbox/layers.h"

namespace vortex::sandbox {

// What the keeper and the launcher inside the jail tell the supervisor: records of one size on a pipe, each written at
// once, so that two writers cannot mix theirs.
struct Record {
  enum class Kind : int32_t {
    kLayer,       // `layer` is in `state`; `text` says more
    kStartFault,  // the program could not be started: `text` says at what, `number` is errno
    kEnded,       // the program ended: `number` is its wait status
    kGone,        // from the keeper, last: what the whole tree came to
  };
  Kind kind = Kind::kGone;
  Layer layer = Layer::kLimits;
  LayerState state = LayerState::kOff;
  int32_t number = 0;
  int64_t peak_bytes = 0;    // kEnded, kGone: resident size; of the cgroup where there is one
  int64_t left_bytes = 0;    // kGone: what the cgroup still held after the end; -1: not known
  double cpu_seconds = 0;    // kEnded, kGone
  int32_t memory_kills = 0;  // kGone: processes that the kernel killed at the cgroup's limit
  int32_t tree_gone = 0;     // kGone
  std::array<char, 192> text{};
};

// Fills `text`, cut to its size.
void set_text(Record& record, std::string_view text);
// Writes a record to a pipe. Failures are ignored: whoever would have to hear of them holds the other end.
void tell(int fd, const Record& record);
void tell_layer(int fd, Layer layer, LayerState state, std::string_view text);
void tell_start_fault(int fd, std::string_view what, int reason);

}  // namespace vortex::sandbox
