// Qwen2 and Qwen2.5 dense decoders (Qwen2.5 Technical Report, arXiv:2412.15115): grouped-query attention with biases on
// the query, key and value projections, SwiGLU, pre-norm.
#include <nlohmann/json.hpp>

#include "core/model/architecture.h"

namespace vortex::model {
namespace {

Status read_config(const nlohmann::json& json, ModelConfig& config) {
  config.qkv_bias = true;
  return refuse_option(json, "use_sliding_window");
}

}  // namespace

const Architecture kQwen2 = {"Qwen2ForCausalLM", read_config, collect_llama_names};

}  // namespace vortex::model
