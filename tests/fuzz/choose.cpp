// All fuzz targets as one program, which runs the one that it is called by: apart they would take ten times the room.
// scripts/fuzz.sh names their entry points fuzz_TARGET and writes targets.inc, a line TARGET(name) for each.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <string_view>

#define TARGET(name) extern "C" int fuzz_##name(const uint8_t* data, size_t size);
#include "targets.inc"
#undef TARGET

namespace {

struct Target {
  std::string_view name;
  int (*run)(const uint8_t* data, size_t size);
};

#define TARGET(name) {#name, fuzz_##name},
constexpr Target kTargets[] = {
#include "targets.inc"
};
#undef TARGET

const Target* chosen = nullptr;

}  // namespace

extern "C" int LLVMFuzzerInitialize(int* /*argc*/, char*** argv) {
  const std::string_view path = (*argv)[0];
  const std::string_view name = path.substr(path.find_last_of('/') + 1);
  for (const Target& target : kTargets) {
    if (target.name == name) { chosen = &target; }
  }
  if (chosen == nullptr) { std::fprintf(stderr, "call it by the name of a target, as bin/TARGET\n"); }
  return chosen == nullptr ? 1 : 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  return chosen == nullptr ? 0 : chosen->run(data, size);
}
