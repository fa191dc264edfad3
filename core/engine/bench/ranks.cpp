// What a model says on several ranks beside what it says on one: log-probabilities, chosen pages, greedy tokens, on the
// same random weights and words.
#include <algorithm>
#include <cmath>
#include <map>
#include <tuple>

#include "base/rng.h"
#include "core/engine/bench/bench.h"
#include "core/engine/random_model.h"
#include "core/engine/tensor_parallel.h"

namespace vortex::bench {
namespace {

constexpr float kLikely = 10;      // log-probabilities so far below the best one mean nothing
constexpr int kForcedTokens = 32;  // behind the prompt
constexpr int kTopTokens = 16;     // told of each greedy token's position

// [layer, length, kv head of the whole model] -> the pages that are chosen, in order.
using Chosen = std::map<std::tuple<int, int, int>, std::vector<int32_t>>;

engine::AttentionObserver recorder(Chosen& chosen, int first_head) {
  return [&chosen, first_head](const engine::AttentionView& view) {
    if (view.selection == nullptr) { return; }
    for (int head = 0; head < view.cache->k.kv_heads; ++head) {
      const auto begin = view.selection->blocks.begin() + static_cast<int64_t>(head) * view.selection->stride;
      std::vector<int32_t> pages(begin, begin + view.selection->counts[static_cast<size_t>(head)]);
      std::sort(pages.begin(), pages.end());
      chosen[{view.layer, view.seq_lens[0], first_head + head}] = std::move(pages);
    }
  };
}

// What is asked of every engine.
struct Question {
  engine::Request request;
  std::vector<int32_t> continuation;
};

Question question_of(const Options& options, const BatchShape& shape, int vocab) {
  Question question;
  Rng rng(stream_key(options.seed));
  for (int i = 0; i < shape.tokens; ++i) { question.request.prompt.push_back(rng.between(0, vocab - 1)); }
  for (int i = 0; i < kForcedTokens; ++i) { question.continuation.push_back(rng.between(0, vocab - 1)); }
  question.request.max_new_tokens = options.outputs;
  question.request.ignore_eos = true;
  return question;
}

// What an engine answers.
struct Answer {
  std::vector<float> log_probs;  // [position][vocab]
  Chosen chosen;
  std::vector<int32_t> tokens;
  engine::Forced told;  // of `tokens`
};

// `first_head`: of the whole model's kv heads, the first one of this engine.
Result<Answer> ask(engine::Engine& engine, const Question& question, const std::optional<vflow::Policy>& policy,
                   int first_head = 0) {
  Answer answer;
  VORTEX_TRY(engine.set_policy(policy));
  engine::AttentionObserver observer;
  if (policy) { observer = recorder(answer.chosen, first_head); }
  VORTEX_ASSIGN(answer.log_probs, engine.teacher_force(question.request, question.continuation, observer, nullptr));
  VORTEX_ASSIGN(std::vector<engine::Output> outputs, engine.generate({question.request}, nullptr));
  answer.tokens = std::move(outputs[0].tokens);
  const engine::ForcedRequest own{question.request, answer.tokens, {}};
  VORTEX_ASSIGN(std::vector<engine::Forced> forced, engine.force_decode({&own, 1}, {kTopTokens, 0}, nullptr));
  answer.told = std::move(forced[0]);
  return answer;
}

// The same of ranks: each sees its own heads. That all ranks say the same is checked.
Result<Answer> ask_ranks(engine::RankEngines& ranks, const Question& question,
                         const std::optional<vflow::Policy>& policy) {
  std::vector<Answer> answers(ranks.engines.size());
  const auto ask_one = [&](int rank) -> Status {
    if (ranks.enter) { VORTEX_TRY(ranks.enter(rank)); }
    engine::Engine& engine = *ranks.engines[static_cast<size_t>(rank)];
    const int first_head = rank * engine.model().config.num_kv_heads;
    VORTEX_ASSIGN(answers[static_cast<size_t>(rank)], ask(engine, question, policy, first_head));
    return ok_status();
  };
  VORTEX_TRY(engine::on_ranks(*ranks.waits, ask_one));
  for (const Answer& answer : answers) {
    if (answer.log_probs != answers[0].log_probs || answer.tokens != answers[0].tokens) {
      return internal_error("ranks of one model say different things");
    }
    answers[0].chosen.insert(answer.chosen.begin(), answer.chosen.end());
  }
  return std::move(answers[0]);
}

// How much more probable than `other` the token is that was chosen at a position of `told`; at least, where `other` is
// not among those that are told.
double margin(const engine::Forced& told, size_t at, int32_t other) {
  const std::vector<int32_t>& top = told.top[at];
  const auto found = std::find(top.begin(), top.end(), other);
  const size_t place = found == top.end() ? top.size() - 1 : static_cast<size_t>(found - top.begin());
  return static_cast<double>(told.top_log_probs[at][0]) - static_cast<double>(told.top_log_probs[at][place]);
}

void compare(const std::string& name, const Answer& expected, const Answer& actual, Report& report) {
  const size_t vocab = expected.log_probs.size() / kForcedTokens;
  double worst = 0;
  double sum = 0;
  int64_t counted = 0;
  int same = 0;
  for (size_t at = 0; at < kForcedTokens; ++at) {
    const float* a = &expected.log_probs[at * vocab];
    const float* b = &actual.log_probs[at * vocab];
    const float* best = std::max_element(a, a + vocab);
    same += best - a == std::max_element(b, b + vocab) - b ? 1 : 0;
    for (size_t i = 0; i < vocab; ++i) {
      if (a[i] < *best - kLikely) { continue; }
      const double apart = std::isfinite(b[i]) ? std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i])) : 1e9;
      worst = std::max(worst, apart);
      sum += apart;
      ++counted;
    }
  }
  report.add_value(name + ", log-probabilities apart, mean", sum / static_cast<double>(counted), "nat");
  report.add_value(name + ", log-probabilities apart, most", worst, "nat");
  report.add_value(name + ", same most probable token", 100.0 * same / kForcedTokens, "%");
  if (!expected.chosen.empty()) {
    int64_t pages = 0;
    int64_t shared = 0;
    int64_t equal = 0;
    for (const auto& [where, chosen] : expected.chosen) {
      const auto found = actual.chosen.find(where);
      const std::vector<int32_t> other = found == actual.chosen.end() ? std::vector<int32_t>() : found->second;
      std::vector<int32_t> both;
      std::set_intersection(chosen.begin(), chosen.end(), other.begin(), other.end(), std::back_inserter(both));
      pages += static_cast<int64_t>(chosen.size());
      shared += static_cast<int64_t>(both.size());
      equal += chosen == other ? 1 : 0;
    }
    report.add_value(name + ", same pages", 100.0 * static_cast<double>(shared) / static_cast<double>(pages), "%");
    report.add_value(name + ", selections alike",
                     100.0 * static_cast<double>(equal) / static_cast<double>(expected.chosen.size()), "%");
  }
  const auto differ = std::mismatch(expected.tokens.begin(), expected.tokens.end(), actual.tokens.begin());
  const auto alike = static_cast<size_t>(differ.first - expected.tokens.begin());
  report.add_value(name + ", greedy tokens before one differs", static_cast<double>(alike),
                   "of " + std::to_string(expected.tokens.size()));
  if (alike == expected.tokens.size()) { return; }
  report.add_value(name + ", which is less probable by", margin(expected.told, alike, *differ.second), "nat");
}

}  // namespace

Status bench_ranks(const Options& options) {
  VORTEX_ASSIGN(const model::ModelConfig config, find_geometry(options));
  VORTEX_ASSIGN(const std::optional<vflow::Policy> policy, find_policy(options, config));
  VORTEX_ASSIGN(const BatchShape shape, parse_shape(options.shapes.empty() ? "1x1024" : options.shapes[0]));
  VORTEX_ASSIGN(const bool cuda, wants_cuda(options));
  const model::Model model = engine::random_model(config, options.seed);
  const Question question = question_of(options, shape, config.vocab_size);
  Report report(options, cuda ? "CUDA" : "CPU", 0);
  // Dense attention first: a page that is chosen otherwise, for a near tie, sets log-probabilities apart.
  std::vector<std::optional<vflow::Policy>> policies = {std::nullopt};
  if (policy) { policies.push_back(policy); }
  const auto compare_all = [&](const std::string& name, const std::vector<Answer>& expected,
                               const std::vector<Answer>& actual) {
    for (size_t i = 0; i < policies.size(); ++i) {
      compare(name + ", " + (policies[i] ? policies[i]->program.name : "dense"), expected[i], actual[i], report);
    }
  };
  const auto ask_all = [&](engine::Engine& engine) -> Result<std::vector<Answer>> {
    std::vector<Answer> answers;
    for (const auto& each : policies) { VORTEX_ASSIGN(answers.emplace_back(), ask(engine, question, each)); }
    return answers;
  };
  std::vector<Answer> one;
  {
    VORTEX_ASSIGN(const auto engine, make_engine_of(options, model));
    VORTEX_ASSIGN(one, ask_all(*engine));
  }
  if (cuda) {  // as far apart are two ways of rounding the same products: the yardstick
    Options other = options;
    other.cublas_only = !options.cublas_only;
    other.batch_invariant = !options.batch_invariant;
    VORTEX_ASSIGN(const auto engine, make_engine_of(other, model));
    VORTEX_ASSIGN(const std::vector<Answer> again, ask_all(*engine));
    compare_all("one device, other products", one, again);
  }
  VORTEX_ASSIGN(engine::RankEngines ranks, make_ranks_of(options, model));
  const std::string name = std::to_string(options.ranks) + " ranks";
  std::vector<Answer> many;
  for (const auto& each : policies) {
    VORTEX_ASSIGN(many.emplace_back(), ask_ranks(ranks, question, each));
    VORTEX_ASSIGN(const Answer again, ask_ranks(ranks, question, each));
    if (again.tokens != many.back().tokens || again.log_probs != many.back().log_probs) {
      return internal_error(name + " do not say the same thing twice");
    }
  }
  compare_all(name, one, many);
  return report.finish();
}

}  // namespace vortex::bench
