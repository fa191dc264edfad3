#pragma once

#include <stdlib.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

// A folder of this process, in memory where there is one, for targets that read files. It ends with the process.
inline const std::filesystem::path& fuzz_folder() {
  static const std::filesystem::path path = [] {
    std::string name = std::filesystem::exists("/dev/shm") ? "/dev/shm/vortex-fuzz-XXXXXX" : "/tmp/vortex-fuzz-XXXXXX";
    if (::mkdtemp(name.data()) == nullptr) { __builtin_trap(); }
    std::atexit([] {
      std::error_code ec;
      std::filesystem::remove_all(fuzz_folder(), ec);
    });
    return std::filesystem::path(name);
  }();
  return path;
}

inline void write_in_folder(const char* name, std::string_view bytes) {
  std::ofstream(fuzz_folder() / name, std::ios::binary | std::ios::trunc)
      .write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}
