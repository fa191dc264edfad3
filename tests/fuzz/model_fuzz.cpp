// Any bytes as the config.json, generation_config.json and tokenizer_config.json of a model folder, separated by NULs:
// refused, or a model of bounded sizes whose memory can be computed.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "core/model/chat.h"
#include "core/model/model.h"
#include "tests/fuzz/folder.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace vortex::model;
  std::string_view rest(reinterpret_cast<const char*>(data), size);
  for (const char* name : {"config.json", "generation_config.json", "tokenizer_config.json"}) {
    const size_t split = std::min(rest.find('\0'), rest.size());
    write_in_folder(name, rest.substr(0, split));
    rest.remove_prefix(std::min(split + 1, rest.size()));
  }
  const auto config = read_model_config(fuzz_folder());
  if (!config.ok()) { return 0; }
  if (config->num_layers < 1 || config->num_kv_heads < 1 || config->num_q_heads % config->num_kv_heads != 0 ||
      config->head_dim < 2 || !(config->rope_theta > 0) || !(config->rms_norm_eps > 0)) {
    __builtin_trap();
  }
  for (const int id : config->eos_token_ids) {
    if (id < 0 || id >= config->vocab_size) { __builtin_trap(); }
  }
  return 0;
}
