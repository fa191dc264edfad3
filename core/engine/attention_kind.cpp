#include "core/engine/attention_kind.h"

namespace vortex::engine {

const AttentionKind& attention_kind(const model::ModelConfig& config) {
  return config.latent ? kLatent : kGroupedQuery;
}

}  // namespace vortex::engine
