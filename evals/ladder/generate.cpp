#include "evals/ladder/generate.h"

#include <algorithm>
#include <cmath>
#include <exception>
#include <new>
#include <numeric>
#include <optional>

#include "base/rng.h"
#include "core/model/model.h"
#include "evals/ladder/setup.h"

namespace vortex::evals {
namespace {

int longest_context(const job::GenerationJob& job) {
  size_t longest = 0;
  for (const auto& prompt : job.prompts) { longest = std::max(longest, prompt.size()); }
  return static_cast<int>(longest) + job.max_new_tokens;
}

job::TokenEnd end_of(const model::ModelConfig& config, int32_t token, bool last) {
  if (!last) { return job::TokenEnd::kGoesOn; }
  const std::vector<int>& stops = config.eos_token_ids;
  return std::find(stops.begin(), stops.end(), token) == stops.end() ? job::TokenEnd::kLength
                                                                     : job::TokenEnd::kStopToken;
}

std::vector<engine::Request> requests_of(const job::GenerationJob& job, const model::ModelConfig& config, bool dense,
                                         const job::GenerationEvents& events) {
  std::vector<engine::Request> requests;
  for (size_t i = 0; i < job.prompts.size(); ++i) {
    engine::Request request;
    request.prompt = job.prompts[i];
    request.seed = stream_key(job.seed, i);
    request.max_new_tokens = job.max_new_tokens;
    request.sampling = {job.temperature, job.top_p, job.top_k};
    request.on_token = [&config, &events, dense, i](int32_t token, bool last) {
      events.on_token({dense, i, token, end_of(config, token, last)});
    };
    requests.push_back(std::move(request));
  }
  return requests;
}

job::GenerationRun run_of(const job::GenerationJob& job, bool dense, const std::vector<engine::Output>& outputs,
                          const engine::RunStats& stats) {
  job::GenerationRun run;
  run.dense = dense;
  for (const auto& prompt : job.prompts) { run.prompt_tokens += static_cast<int64_t>(prompt.size()); }
  for (const engine::Output& output : outputs) { run.new_tokens += static_cast<int64_t>(output.tokens.size()); }
  run.prefill_seconds = stats.prefill_seconds;
  run.decode_seconds = stats.decode_seconds;
  run.pages_visible = std::accumulate(stats.pages_visible.begin(), stats.pages_visible.end(), int64_t{0});
  run.pages_attended = std::accumulate(stats.pages_attended.begin(), stats.pages_attended.end(), int64_t{0});
  return run;
}

// Weights that are no numbers would be generated from without a word. They show in a single step.
Status check_numbers(engine::Engine& engine, const job::GenerationJob& job) {
  engine::ForcedRequest look;
  look.request.prompt = {job.prompts.front().front()};
  look.continuation = look.request.prompt;
  engine::RunStats stats;
  VORTEX_ASSIGN(const std::vector<engine::Forced> said, engine.force_decode({&look, 1}, {}, &stats));
  if (std::isfinite(said.front().log_probs.front())) { return ok_status(); }
  return candidate_error("the model's logits are not finite numbers", "look at the weights in " + job.model_path);
}

Status run_all(const job::GenerationJob& job, const job::GenerationEvents& events) {
  VORTEX_ASSIGN(const model::ModelConfig config, model::read_model_config(job.model_path));
  engine::EngineOptions options;
  options.threads = job.threads;
  options.max_batch = std::min(job.batch, static_cast<int>(job.prompts.size()));
  options.max_context = longest_context(job);
  std::vector<std::optional<vflow::Policy>> policies;
  if (job.dense) { policies.emplace_back(); }
  if (job.has_policy()) {
    VORTEX_ASSIGN(policies.emplace_back(),
                  checked_policy(job.module_text, job.config_text, config, options.max_context, 0, job.device));
  }
  const vflow::Policy* policy_run = policies.back() ? &*policies.back() : nullptr;
  VORTEX_ASSIGN(const DeviceEngine opened,
                open_engine({job.model_path, {}, job.device, {}, job.cpu_math, job.tensor_parallel}, config,
                            {options, options}, policy_run));
  for (const auto& policy : policies) {
    const bool dense = !policy.has_value();
    VORTEX_TRY(opened.engine->set_policy(policy));
    if (&policy == &policies.front()) { VORTEX_TRY(check_numbers(*opened.engine, job)); }
    engine::RunStats stats;
    VORTEX_ASSIGN(const std::vector<engine::Output> outputs,
                  opened.engine->generate(requests_of(job, config, dense, events), &stats));
    events.on_run(run_of(job, dense, outputs, stats));
  }
  return ok_status();
}

}  // namespace

Status generate(const job::GenerationJob& job, const job::GenerationEvents& events) {
  try {
    return run_all(job, events);
  } catch (const std::bad_alloc&) {
    return environment_error("out of memory", "use fewer or shorter prompts, or fewer new tokens");
  } catch (const std::exception& exception) { return internal_error(std::string("exception: ") + exception.what()); }
}

}  // namespace vortex::evals
