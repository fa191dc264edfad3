#include "core/engine/cuda/attention_kind.h"

namespace vortex::engine {

const DeviceAttention& device_attention(const model::ModelConfig& config) {
  return config.latent ? kLatentOnDevice : kGroupedOnDevice;
}

}  // namespace vortex::engine
