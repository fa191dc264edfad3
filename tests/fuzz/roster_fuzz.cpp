// Any bytes as a file of language models: refused, or models that may be asked.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "agent/llm/models.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace vortex::agent;
  const auto roster = roster_from_json({reinterpret_cast<const char*>(data), size}, false);
  if (!roster.ok()) { return 0; }
  if (roster->models.empty() || roster->attempts < 1) { __builtin_trap(); }
  for (const ModelSpec& model : roster->models) {
    if (model.name.empty() || !find_wire(model.api).ok() || !(model.weight >= 0) || !model.extra.is_object() ||
        !(model.dollars(1000, 1000) >= 0)) {
      __builtin_trap();
    }
  }
  return 0;
}
