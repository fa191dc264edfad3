#include "evals/ladder/session.h"

#include <algorithm>

#include "core/base/rng.h"
#include "core/base/sha256.h"
#include "core/model/model.h"

namespace vortex::evals {
namespace {

Result<std::vector<int32_t>> encode_prompt(const Problem& problem, const model::Tokenizer& tokenizer) {
  return tokenizer.encode(problem.prompt + problem.answer_start);
}

Result<std::vector<PreparedProblem>> prepare(const TaskSpec& spec, const model::Tokenizer& tokenizer) {
  const CountTokens count = [&](const Problem& problem) -> Result<size_t> {
    VORTEX_ASSIGN(const std::vector<int32_t> prompt, encode_prompt(problem, tokenizer));
    return prompt.size();
  };
  VORTEX_ASSIGN(std::vector<Problem> problems, make_problems(spec, count));
  std::vector<PreparedProblem> prepared;
  for (Problem& problem : problems) {
    VORTEX_ASSIGN(std::vector<int32_t> prompt, encode_prompt(problem, tokenizer));
    prepared.push_back({std::move(problem), std::move(prompt), nullptr});
  }
  return prepared;
}

TaskSpec held_out_task(const Job& job) {
  TaskSpec spec = job.task;
  spec.seed = job.confirm_seed;
  if (job.confirm_problems > 0) spec.problems = job.confirm_problems;
  return spec;
}

// Tokens of the longest request that any stage makes.
int longest_context(const Session& session) {
  size_t longest = 0;
  for (const auto* problems : {&session.problems, &session.held_out}) {
    for (const PreparedProblem& prepared : *problems) longest = std::max(longest, prepared.prompt.size());
  }
  return static_cast<int>(longest) + std::max(session.job.task.max_new_tokens, session.job.speed_tokens);
}

Result<std::optional<vflow::Policy>> checked_policy(const Job& job, const model::ModelConfig& config, int max_context) {
  if (job.dense) return std::optional<vflow::Policy>();
  vflow::PolicySource source;
  source.module_text = job.module_text;
  source.config_text = job.config_text;
  vflow::CheckReport report = vflow::check_policy(source, model::geometry_of(config, max_context, job.kv_memory_bytes));
  if (!report.policy) return candidate_error(vflow::render(report.diagnostics));
  return std::move(report.policy);
}

std::string tokens_hash(const std::vector<int32_t>& tokens) {
  std::string bytes;
  for (const int32_t token : tokens) {
    for (int shift = 0; shift < 32; shift += 8) {
      bytes += static_cast<char>(static_cast<uint32_t>(token) >> shift & 0xffU);
    }
  }
  return sha256_hex(bytes);
}

}  // namespace

Result<std::unique_ptr<Session>> open_session(const Job& job) {
  auto session = std::make_unique<Session>();
  session->job = job;
  VORTEX_ASSIGN(session->task, find_task(job.task.kind));
  VORTEX_ASSIGN(session->tokenizer, model::load_tokenizer(job.model_path));
  VORTEX_ASSIGN(session->problems, prepare(job.task, *session->tokenizer));
  if (!job.stages.empty() && job.stages.back() == Stage::kConfirm) {
    VORTEX_ASSIGN(session->held_out, prepare(held_out_task(job), *session->tokenizer));
  }
  VORTEX_ASSIGN(const model::ModelConfig config, model::read_model_config(job.model_path));
  const int max_context = longest_context(*session);
  VORTEX_ASSIGN(session->policy, checked_policy(job, config, max_context));
  VORTEX_ASSIGN(model::Model model, model::load_model(job.model_path));
  engine::EngineOptions options;
  options.threads = job.threads;
  options.max_batch = job.batch;
  options.kv_memory_bytes = job.kv_memory_bytes;
  options.max_context = max_context;
  VORTEX_ASSIGN(session->engine, engine::make_cpu_engine(std::move(model), options));
  VORTEX_TRY(session->engine->set_policy(session->policy));
  return session;
}

bool selects_pages(const Session& session) {
  if (!session.policy) return false;
  const int layers = session.engine->model().config.num_layers;
  for (int layer = 0; layer < layers; ++layer) {
    if (!vflow::layer_is_dense(session.policy->config, layer)) return true;
  }
  return false;
}

Result<engine::Request> request_of(Session& session, PreparedProblem& prepared) {
  if (prepared.prefix == nullptr && !session.job.prefix_folder.empty()) {
    VORTEX_ASSIGN(prepared.prefix, session.engine->prefix(prepared.prompt, session.job.prefix_folder));
  }
  engine::Request request;
  request.prompt = prepared.prompt;
  request.prefix = prepared.prefix;
  request.max_new_tokens = session.job.task.max_new_tokens;
  request.sampling = {session.job.task.temperature, session.job.task.top_p, session.job.task.top_k};
  return request;
}

Result<std::vector<Outcome>> answer(Session& session, std::vector<PreparedProblem>& all, size_t first, size_t count,
                                    uint64_t task_seed, engine::RunStats& stats) {
  const int trials = session.job.task.trials;
  std::vector<engine::Request> requests;
  for (size_t i = first; i < first + count; ++i) {
    VORTEX_ASSIGN(engine::Request request, request_of(session, all[i]));
    for (int trial = 0; trial < trials; ++trial) {
      request.seed = stream_key(task_seed, i, static_cast<uint64_t>(trial));
      requests.push_back(request);
    }
  }
  engine::RunStats run;
  VORTEX_ASSIGN(const std::vector<engine::Output> outputs, session.engine->generate(requests, &run));
  add_stats(run, stats);
  std::vector<Outcome> outcomes;
  for (size_t i = 0; i < outputs.size(); ++i) {
    const Problem& problem = all[first + i / static_cast<size_t>(trials)].problem;
    Grade grade = session.task->grade(problem, session.tokenizer->decode(outputs[i].tokens));
    outcomes.push_back({problem.id, static_cast<int>(i % static_cast<size_t>(trials)), grade.correct,
                        static_cast<int>(outputs[i].tokens.size()), std::move(grade.extracted), std::move(grade.rule),
                        tokens_hash(outputs[i].tokens)});
  }
  return outcomes;
}

void add_stats(const engine::RunStats& more, engine::RunStats& total) {
  total.prefill_seconds += more.prefill_seconds;
  total.decode_seconds += more.decode_seconds;
  total.prefill_tokens += more.prefill_tokens;
  total.decode_tokens += more.decode_tokens;
  total.decode_steps += more.decode_steps;
  total.sparse_layer_calls += more.sparse_layer_calls;
  total.dense_layer_calls += more.dense_layer_calls;
  total.kv_bytes_read += more.kv_bytes_read;
  total.weight_bytes_read += more.weight_bytes_read;
  const auto add = [](const std::vector<int64_t>& from, std::vector<int64_t>& to) {
    to.resize(std::max(to.size(), from.size()), 0);
    for (size_t i = 0; i < from.size(); ++i) to[i] += from[i];
  };
  add(more.pages_visible, total.pages_visible);
  add(more.pages_attended, total.pages_attended);
}

}  // namespace vortex::evals
