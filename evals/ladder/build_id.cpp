#include "evals/ladder/build_id.h"

#include <elf.h>
#include <link.h>

#include <cstring>
#include <string_view>

namespace vortex::evals {
namespace {

std::string hex(std::string_view bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text;
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    text += kDigits[byte >> 4];
    text += kDigits[byte & 15];
  }
  return text;
}

// The description of the build-id note in a segment of notes; empty if there is none.
std::string_view find_note(std::string_view notes) {
  constexpr size_t kAlign = 4;
  const auto padded = [](size_t size) { return (size + kAlign - 1) / kAlign * kAlign; };
  while (notes.size() >= sizeof(ElfW(Nhdr))) {
    ElfW(Nhdr) header;
    std::memcpy(&header, notes.data(), sizeof header);
    notes.remove_prefix(sizeof header);
    if (notes.size() < padded(header.n_namesz) + padded(header.n_descsz)) { break; }
    const std::string_view name = notes.substr(0, header.n_namesz);
    const std::string_view description = notes.substr(padded(header.n_namesz), header.n_descsz);
    if (header.n_type == NT_GNU_BUILD_ID && name == std::string_view("GNU\0", 4)) { return description; }
    notes.remove_prefix(padded(header.n_namesz) + padded(header.n_descsz));
  }
  return {};
}

// Called for the main program first; a result other than 0 ends the iteration.
int read_program(dl_phdr_info* info, size_t, void* out) {
  for (size_t i = 0; i < info->dlpi_phnum; ++i) {
    const ElfW(Phdr)& segment = info->dlpi_phdr[i];
    if (segment.p_type != PT_NOTE) { continue; }
    const auto* begin = reinterpret_cast<const char*>(info->dlpi_addr + segment.p_vaddr);
    const std::string_view id = find_note({begin, segment.p_memsz});
    if (!id.empty()) { *static_cast<std::string*>(out) = hex(id); }
  }
  return 1;
}

}  // namespace

std::string build_id() {
  std::string id;
  ::dl_iterate_phdr(read_program, &id);
  return id.empty() ? "unknown" : id;
}

}  // namespace vortex::evals
