#include "core/engine/cuda/device_code.h"

#include <elf.h>

#include <cstring>
#include <string_view>

#include "base/files.h"
#include "base/sha256.h"

namespace vortex::engine {
namespace {

template <typename T>
bool read_at(std::string_view file, uint64_t offset, T& value) {
  if (offset > file.size() || file.size() - offset < sizeof(T)) { return false; }
  std::memcpy(&value, file.data() + offset, sizeof(T));
  return true;
}

// The bytes of a section of a 64-bit ELF file; empty where it has none of that name.
std::string_view section(std::string_view file, std::string_view name) {
  Elf64_Ehdr header;
  Elf64_Shdr names;
  const auto at = [&](uint64_t index) { return header.e_shoff + index * sizeof(Elf64_Shdr); };
  if (!read_at(file, 0, header) || std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0) { return {}; }
  if (!read_at(file, at(header.e_shstrndx), names)) { return {}; }
  for (uint64_t i = 0; i < header.e_shnum; ++i) {
    Elf64_Shdr candidate;
    if (!read_at(file, at(i), candidate)) { return {}; }
    const uint64_t named = names.sh_offset + candidate.sh_name;
    if (named > file.size() || !file.substr(named).starts_with(std::string(name) + '\0')) { continue; }
    return candidate.sh_offset > file.size() ? std::string_view() : file.substr(candidate.sh_offset, candidate.sh_size);
  }
  return {};
}

std::string compute() {
  const Result<std::string> program = read_file("/proc/self/exe");
  const std::string_view code = program.ok() ? section(*program, ".nv_fatbin") : std::string_view();
  return code.empty() ? std::string() : sha256_hex(code);
}

}  // namespace

const std::string& device_code_hash() {
  static const std::string hash = compute();
  return hash;
}

}  // namespace vortex::engine
