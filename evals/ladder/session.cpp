#include "evals/ladder/session.h"

#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <iterator>
#include <set>

#include "base/rng.h"
#include "base/sha256.h"
#include "core/engine/prefix.h"
#include "core/engine/requests.h"
#include "core/engine/workload/turns.h"
#include "core/model/chat.h"
#include "core/model/model.h"
#include "evals/ladder/oracle.h"
#include "evals/ladder/setup.h"
#include "evals/ladder/workload.h"
#include "evals/tasks/text.h"

namespace vortex::evals {
namespace {

constexpr int64_t kStartBytes = int64_t{2} << 30;  // of a device, what a worker takes before it has a pool
constexpr int kMostTogether = 512;                 // requests that a CUDA engine decodes at once
constexpr int64_t kSpareBytes = int64_t{1} << 30;  // of a device, beside the pool,
constexpr int64_t kSparePrompts = 3;               // and as much as so many of the longest requests have K and V
constexpr int64_t kMemoryShare = 4;                // of a machine's memory that a workload may take on the CPU: 1/4

int64_t physical_memory() {
  return static_cast<int64_t>(::sysconf(_SC_PHYS_PAGES)) * static_cast<int64_t>(::sysconf(_SC_PAGESIZE));
}

// Turns a task's problems into what the model gets.
class PromptEncoder {
 public:
  static Result<PromptEncoder> make(const job::TaskSpec& spec, const model::Tokenizer& tokenizer,
                                    const std::filesystem::path& model_folder) {
    PromptEncoder encoder(spec, tokenizer);
    if (!spec.chat) { return encoder; }
    Result<model::ChatTemplate> chat = model::ChatTemplate::read(model_folder);
    if (!chat.ok()) {
      return Error{chat.error().blame, "the task wants a chat template: " + chat.error().message,
                   "say \"chat\": false in the task file to ask without one"};
    }
    encoder.chat_ = std::move(chat).value();
    return encoder;
  }

  Result<std::vector<int32_t>> encode(const Problem& problem) {
    if (chat_) {
      const Result<model::ChatPrompt> asked =
          chat_->render({{"user", problem.prompt}}, {.thinking = spec_->thinking, .date = spec_->date});
      if (!asked.ok()) { return Error{asked.error().blame, asked.error().message, hint_for(asked.error())}; }
      used_date_ = used_date_ || asked->used_date;
      return tokenizer_->encode(asked->text + problem.answer_start);
    }
    VORTEX_ASSIGN(std::vector<int32_t> ids, tokenizer_->encode(problem.prompt + problem.answer_start));
    return tokenizer_->add_special_tokens(std::move(ids));
  }

  // Did a prompt depend on the task's date?
  bool used_date() const { return used_date_; }

 private:
  PromptEncoder(const job::TaskSpec& spec, const model::Tokenizer& tokenizer) : spec_(&spec), tokenizer_(&tokenizer) {}
  std::string hint_for(const Error& error) const {
    return spec_->thinking ? error.hint : "say \"thinking\": true in the task file if the model cannot but think";
  }
  const job::TaskSpec* spec_;
  const model::Tokenizer* tokenizer_;
  std::optional<model::ChatTemplate> chat_;
  bool used_date_ = false;
};

Result<std::vector<PreparedProblem>> prepare(const job::TaskSpec& spec, Session& session) {
  VORTEX_ASSIGN(PromptEncoder encoder, PromptEncoder::make(spec, *session.tokenizer, session.job.model_path));
  const CountTokens count = [&](const Problem& problem) -> Result<size_t> {
    VORTEX_ASSIGN(const std::vector<int32_t> prompt, encoder.encode(problem));
    return prompt.size();
  };
  VORTEX_ASSIGN(std::vector<Problem> problems, make_problems(spec, count));
  VORTEX_ASSIGN(const Task* task, find_task(spec.kind));
  constexpr std::ptrdiff_t kTail = 16;  // tokens that show whether a prompt ends with an opened thought
  std::vector<PreparedProblem> prepared;
  for (Problem& problem : problems) {
    VORTEX_ASSIGN(std::vector<int32_t> prompt, encoder.encode(problem));
    const std::vector<int32_t> tail(prompt.end() - std::min<std::ptrdiff_t>(kTail, std::ssize(prompt)), prompt.end());
    std::string thought(opened_thought(session.tokenizer->decode(tail)));
    prepared.push_back({&spec, task, std::move(problem), std::move(prompt), std::move(thought), nullptr});
  }
  if (encoder.used_date()) { session.prompt_date = spec.date; }
  return prepared;
}

// What the grader sees of an output: special tokens only where the task wants them, but where thoughts begin and end.
std::string visible_text(const Session& session, const Task& task, const std::vector<int32_t>& tokens) {
  if (task.sees_special_tokens) { return session.tokenizer->decode(tokens); }
  std::vector<int32_t> plain;
  for (const int32_t token : tokens) {
    const bool special = session.tokenizer->is_special(token);
    if (!special || is_thought_mark(session.tokenizer->decode({token}))) { plain.push_back(token); }
  }
  return session.tokenizer->decode(plain);
}

// Problems that the search never sees: of another seed, or, of a data set, those behind the ones that it does see.
job::TaskSpec held_out_task(const job::Job& job) {
  if (job.confirm_task) { return *job.confirm_task; }
  job::TaskSpec spec = job.task;
  spec.seed = job.confirm_seed;
  if (job.confirm_problems > 0) { spec.problems = job.confirm_problems; }
  const auto seen = std::min(spec.questions.size(), static_cast<size_t>(job.task.problems));
  spec.questions.erase(spec.questions.begin(), spec.questions.begin() + static_cast<std::ptrdiff_t>(seen));
  return spec;
}

bool has_stage(const job::Job& job, job::Stage stage) {
  return std::find(job.stages.begin(), job.stages.end(), stage) != job.stages.end();
}

Status prepare_problems(Session& session) {
  const job::Job& job = session.job;
  VORTEX_ASSIGN(session.problems, prepare(job.task, session));
  if (has_stage(job, job::Stage::kConfirm)) {
    session.held_out_task = held_out_task(job);
    VORTEX_ASSIGN(session.held_out, prepare(session.held_out_task, session));
  }
  if (!has_stage(job, job::Stage::kGate)) { return ok_status(); }
  for (const job::TaskSpec& task : job.gate) {
    VORTEX_ASSIGN(std::vector<PreparedProblem> problems, prepare(task, session));
    std::move(problems.begin(), problems.end(), std::back_inserter(session.gate));
  }
  return ok_status();
}

// The engine for this session on either device. On the CPU the workload gets a share of the memory beyond what the
// problems need; a CUDA device gives its pool all that is free, for as many requests together as that holds.
DeviceOptions engine_options(const Session& session, const model::ModelConfig& config) {
  const job::Job& job = session.job;
  const int longest = longest_context(session);
  int longest_prompt = 1;
  for (const PreparedProblem& prepared : session.problems) {
    longest_prompt = std::max(longest_prompt, static_cast<int>(prepared.prompt.size()));
  }
  const bool speed = has_stage(job, job::Stage::kSpeed);
  const bool all_the_pool_holds = speed && !measures_fixed_work(job.task, true);
  // Even the shortest problems are timed on requests that grow meanwhile.
  const int least = all_the_pool_holds ? 1 + engine::tokens_to_time(engine::quick_sampling().steps) : 0;
  const int served =
      speed ? std::max(least, workload_context(job.task, longest_prompt, config.max_position_embeddings)) : 0;
  DeviceOptions options;
  options.cpu.threads = job.threads;
  options.cpu.max_batch = job.batch;
  options.cpu.kv_memory_bytes = job.kv_memory_bytes;
  options.cpu.device_sharers = job.turn_descriptor >= 0 ? 0 : job.device_sharers;  // its turn grants the memory
  options.cpu.max_context = longest;
  options.cuda = options.cpu;
  options.cuda.max_context = std::max(longest, served);
  const int64_t answers = static_cast<int64_t>(session.problems.size()) * job.task.trials;
  const int64_t together = all_the_pool_holds ? kMostTogether : std::min<int64_t>(kMostTogether, answers);
  options.cuda.max_batch = std::max(job.batch, static_cast<int>(together));
  const int64_t token = 2 * config.num_layers * config.cached_values();  // bf16
  options.cuda.spare_bytes = kSpareBytes + kSparePrompts * longest * token;
  if (job.turn_descriptor >= 0) { options.cuda.spare_bytes += (job.device_sharers - 1) * kStartBytes; }
  if (served <= longest) { return options; }
  const int64_t affordable = physical_memory() / kMemoryShare / token;
  options.cpu.max_context = std::max(longest, static_cast<int>(std::min<int64_t>(served, affordable / 2)));
  if (job.kv_memory_bytes == 0) {
    options.cpu.kv_memory_bytes = std::max<int64_t>(int64_t{job.batch} * longest, affordable) * token;
  }
  return options;
}

// Holds the kept prompts within the job's limit; its own are not touched.
Status trim_kept_prompts(const Session& session) {
  if (session.job.prefix_folder.empty()) { return ok_status(); }
  std::set<std::string> own;
  for (const auto* problems : {&session.problems, &session.held_out, &session.gate}) {
    for (const PreparedProblem& prepared : *problems) {
      own.insert(engine::prefix_file_name(session.engine->model(), prepared.prompt));
    }
  }
  return engine::trim_prefixes(session.job.prefix_folder, session.job.prefix_bytes, own);
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

int longest_context(const Session& session) {
  size_t longest = 0;
  for (const auto* problems : {&session.problems, &session.held_out, &session.gate}) {
    for (const PreparedProblem& prepared : *problems) {
      const int new_tokens = std::max(prepared.spec->max_new_tokens, timed_tokens(session, prepared));
      longest = std::max(longest, prepared.prompt.size() + static_cast<size_t>(new_tokens));
    }
  }
  return static_cast<int>(longest);
}

int timed_tokens(const Session& session, const PreparedProblem& prepared) {
  return std::min(session.job.speed_tokens,
                  session.config.max_position_embeddings - static_cast<int>(prepared.prompt.size()));
}

Result<std::unique_ptr<Session>> prepare_session(const job::Job& job) {
  auto session = std::make_unique<Session>();
  session->job = job;
  std::string& folder = session->job.prefix_folder;
  // Sums of several ranks are rounded otherwise: what is kept of them is kept apart.
  if (job.tensor_parallel > 1 && !folder.empty()) { folder += "/ranks-" + std::to_string(job.tensor_parallel); }
  VORTEX_ASSIGN(session->config, model::read_model_config(job.model_path));
  VORTEX_ASSIGN(session->tokenizer, model::load_tokenizer(job.model_path));
  VORTEX_TRY(prepare_problems(*session));
  return session;
}

Result<std::unique_ptr<Session>> open_session(const job::Job& job) {
  std::future<void> oracle;
  if (!job.dense && has_stage(job, job::Stage::kValidate)) { oracle = load_oracle_ahead(); }
  VORTEX_ASSIGN(std::unique_ptr<Session> session, prepare_session(job));
  session->oracle = std::move(oracle);
  const model::ModelConfig& config = session->config;
  const DeviceOptions options = engine_options(*session, config);
  if (!job.dense) {
    VORTEX_ASSIGN(session->policy, checked_policy(job.module_text, job.config_text, config, options.cuda.max_context,
                                                  job.kv_memory_bytes, job.device));
  }
  const EngineSource source{job.model_path, job.kept,           job.device, session->job.prefix_folder,
                            job.cpu_math,   job.tensor_parallel};
  VORTEX_ASSIGN(DeviceEngine opened,
                open_engine(source, config, options, session->policy ? &*session->policy : nullptr));
  session->engine = std::move(opened.engine);
  session->device = opened.device;
  session->driver = opened.driver;
  session->bus_id = opened.bus_id;
  session->other_bus_ids = opened.other_bus_ids;
  session->max_batch = (opened.driver != 0 ? options.cuda : options.cpu).max_batch;
  session->device_note = opened.note;
  VORTEX_TRY(session->engine->set_policy(session->policy));
  VORTEX_TRY(trim_kept_prompts(*session));
  return session;
}

bool selects_pages(const Session& session) {
  if (!session.policy) { return false; }
  const int layers = session.engine->model().config.num_layers;
  for (int layer = 0; layer < layers; ++layer) {
    if (!vflow::layer_is_dense(session.policy->config, layer)) { return true; }
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
  const job::TaskSpec& spec = *prepared.spec;
  request.max_new_tokens = spec.max_new_tokens;
  request.sampling = {spec.temperature, spec.top_p, spec.top_k};
  return request;
}

Result<std::vector<job::Outcome>> answer(Session& session, std::vector<PreparedProblem>& all, size_t first,
                                         size_t count, uint64_t task_seed, engine::RunStats& stats) {
  std::vector<engine::Request> requests;
  std::vector<std::pair<size_t, int>> asked;  // problem and trial of each request
  for (size_t i = first; i < first + count; ++i) {
    VORTEX_ASSIGN(engine::Request request, request_of(session, all[i]));
    for (int trial = 0; trial < all[i].spec->trials; ++trial) {
      request.seed = stream_key(task_seed, i, static_cast<uint64_t>(trial));
      requests.push_back(request);
      asked.emplace_back(i, trial);
    }
  }
  engine::RunStats run;
  VORTEX_ASSIGN(const std::vector<engine::Output> outputs, session.engine->generate(requests, &run));
  engine::add_stats(run, stats);
  std::vector<job::Outcome> outcomes;
  for (size_t i = 0; i < outputs.size(); ++i) {
    const PreparedProblem& prepared = all[asked[i].first];
    const std::vector<std::string>& answers = prepared.problem.answers;
    const std::string text = prepared.thought + visible_text(session, *prepared.task, outputs[i].tokens);
    const std::string hash = tokens_hash(outputs[i].tokens);
    for (size_t part = 0; part < answers.size(); ++part) {
      Grade grade = prepared.task->grade(answers[part], text);
      const int number = asked[i].second * static_cast<int>(answers.size()) + static_cast<int>(part);
      outcomes.push_back({prepared.problem.id, number, grade.correct, static_cast<int>(outputs[i].tokens.size()),
                          std::move(grade.extracted), std::move(grade.rule), hash});
    }
  }
  return outcomes;
}

Result<std::vector<job::Outcome>> dense_outcomes(Session& session, std::vector<PreparedProblem>& all,
                                                 uint64_t task_seed) {
  std::set<std::pair<std::string, int>> wanted;
  for (const PreparedProblem& prepared : all) {
    const int outcomes = prepared.spec->trials * static_cast<int>(prepared.problem.answers.size());
    for (int number = 0; number < outcomes; ++number) { wanted.emplace(prepared.problem.id, number); }
  }
  std::vector<job::Outcome> known;
  for (const job::Outcome& outcome : session.job.incumbent) {
    if (wanted.erase({outcome.problem, outcome.trial}) > 0) { known.push_back(outcome); }
  }
  if (wanted.empty() || session.job.dense) { return known; }
  VORTEX_TRY(session.engine->set_policy(std::nullopt));
  engine::RunStats stats;
  auto outcomes = answer(session, all, 0, all.size(), task_seed, stats);
  VORTEX_TRY(session.engine->set_policy(session.policy));
  return outcomes;
}

}  // namespace vortex::evals
