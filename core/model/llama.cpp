// Llama 2 and 3 decoders (The Llama 3 Herd of Models, arXiv:2407.21783) and models of the same make, such as SmolLM2:
// grouped-query attention, SwiGLU, pre-norm, no biases; Llama 3.1 and later stretch the rotary frequencies.
#include <nlohmann/json.hpp>

#include "core/model/architecture.h"

namespace vortex::model {
namespace {

Status read_config(const nlohmann::json& json, ModelConfig& config) {
  (void)config;
  for (const char* key : {"attention_bias", "mlp_bias", "rope_interleaved", "sliding_window"}) {
    VORTEX_TRY(refuse_option(json, key));
  }
  return ok_status();
}

}  // namespace

const Architecture kLlama = {"LlamaForCausalLM", read_config, collect_llama_names};

}  // namespace vortex::model
