// Stands in for libFuzzer: runs each file named on the command line through the fuzz target once.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <string>

#include "base/files.h"

// The objects are also built to be counted (tests/core/vflow/check_work.cpp).
#ifdef __clang__
extern "C" __attribute__((no_sanitize("coverage"))) void __sanitizer_cov_trace_pc() {}
#else
extern "C" __attribute__((no_sanitize_coverage)) void __sanitizer_cov_trace_pc() {}
#endif

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

int main(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    const vortex::Result<std::string> input = vortex::read_file(argv[i]);
    if (!input.ok()) {
      std::fprintf(stderr, "cannot read %s\n", argv[i]);
      return 2;
    }
    std::fprintf(stderr, "%s\n", argv[i]);  // which input, should it end the run
    LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(input->data()), input->size());
  }
  std::printf("%s: %d inputs\n", std::filesystem::path(argv[0]).filename().c_str(), argc - 1);
  return argc > 1 ? 0 : 2;
}
