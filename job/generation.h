#pragma once

#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/result.h"

namespace vortex::job {

// What `vortex generate` asks of a worker: prompts continued with dense attention, with a policy, or with both in turn.
struct GenerationJob {
  std::string model_path;
  bool dense = false;       // with dense attention, before the policy
  std::string module_text;  // the policy; none when both texts are empty
  std::string config_text;
  std::vector<std::vector<int32_t>> prompts;  // token ids, none empty
  int max_new_tokens = 256;
  double temperature = 0.0;  // 0 is greedy
  double top_p = 1.0;
  int top_k = 0;                     // 0: no limit
  uint64_t seed = 0;                 // of sampling: prompt i draws the same with and without the policy
  std::string device = "auto";       // as Job::device
  std::string cpu_math = "float32";  // as Job::cpu_math
  int tensor_parallel = 1;           // as Job::tensor_parallel
  int threads = 1;
  int batch = 16;  // prompts decoded together

  bool has_policy() const { return !module_text.empty() || !config_text.empty(); }
};

// Why a continuation ends with its last token.
enum class TokenEnd { kGoesOn, kStopToken, kLength };

// A new token of a prompt; those of one prompt come in order, those of different prompts mixed.
struct NewToken {
  bool dense = false;  // of the run with dense attention
  size_t prompt = 0;   // index into the job's
  int32_t id = 0;
  TokenEnd end = TokenEnd::kGoesOn;
};

// What one run over all prompts came to. Comes behind its last token.
struct GenerationRun {
  bool dense = false;
  int64_t prompt_tokens = 0;
  int64_t new_tokens = 0;
  double prefill_seconds = 0;
  double decode_seconds = 0;
  int64_t pages_visible = 0;  // summed over layers and decode steps
  int64_t pages_attended = 0;
};

struct GenerationEvents {
  std::function<void(const NewToken&)> on_token;
  std::function<void(const GenerationRun&)> on_run;
};

// JSON both ways; reading is strict. A token or a run is one flat object with `event` in it ("token", "run").
nlohmann::json to_json(const GenerationJob& job);
Result<GenerationJob> generation_job_from_json(const nlohmann::json& json);
nlohmann::json to_json(const NewToken& token);
Result<NewToken> new_token_from_json(const nlohmann::json& json);
nlohmann::json to_json(const GenerationRun& run);
Result<GenerationRun> generation_run_from_json(const nlohmann::json& json);

}  // namespace vortex::job
