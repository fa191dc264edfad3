// Qwen3 dense decoders (Qwen3 Technical Report, arXiv:2505.09388): grouped-query attention with RMSNorm on each query
// and key head before rotary embedding, SwiGLU, pre-norm, no biases.
#include <nlohmann/json.hpp>

#include "core/model/architecture.h"

namespace vortex::model {
namespace {

Status read_config(const nlohmann::json& json, ModelConfig& config) {
  config.qk_norm = QkNorm::kEachHead;
  VORTEX_TRY(refuse_option(json, "attention_bias"));
  return refuse_option(json, "use_sliding_window");
}

}  // namespace

const Architecture kQwen3 = {"Qwen3ForCausalLM", read_config, collect_llama_names};

}  // namespace vortex::model
