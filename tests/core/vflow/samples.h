#pragma once

#include <cstdlib>
#include <string_view>

#include "base/rng.h"
#include "core/vflow/policy.h"
#include "core/vflow/vary/families.h"

namespace vortex::vflow {

inline ModelGeometry small_model() {
  ModelGeometry model;
  model.layers = 4;
  model.num_q_heads = 8;
  model.num_kv_heads = 2;
  model.head_dim = 64;
  model.max_context = 8192;
  return model;
}

inline ModelGeometry small_mla_model() {
  ModelGeometry model = small_model();
  model.num_kv_heads = 1;
  model.kv_lora_rank = 48;
  model.rope_dim = 16;
  return model;
}

inline const Family& family(std::string_view name) {
  for (const Family& candidate : score_families()) {
    if (candidate.name == name) { return candidate; }
  }
  std::abort();
}

// The family's program for small_model() with the constants that `seed` draws.
inline Program sample(std::string_view name, uint64_t seed = 1, int block_size = 16) {
  Rng rng(seed);
  return family_program(family(name), Dialect::kGqa, geometry_for(small_model(), Dialect::kGqa, block_size), rng)
      .value();
}

// Programs that a property test looks at: many more with VORTEX_LONG=1.
inline int property_rounds(int usual, int extended) { return std::getenv("VORTEX_LONG") != nullptr ? extended : usual; }

}  // namespace vortex::vflow
