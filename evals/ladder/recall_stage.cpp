#include <cmath>

#include "core/engine/packed_model.h"
#include "core/engine/requests.h"
#include "evals/ladder/answer_pages.h"
#include "evals/ladder/answers.h"
#include "evals/ladder/ceiling.h"
#include "evals/ladder/evidence.h"
#include "evals/ladder/expected_race.h"
#include "evals/ladder/head_looks.h"
#include "evals/ladder/planned.h"
#include "evals/ladder/recall_metrics.h"
#include "evals/ladder/rivals.h"
#include "evals/ladder/stages.h"
#include "evals/ladder/trace.h"
#include "evals/statistics.h"

namespace vortex::evals {
namespace {

// Decode steps between two looks at the softmax: on a CPU a look costs about a dense step.
constexpr int kLookEvery = 8;

// The right answers of all problems, and what dense attention makes of them; none where the task knows none.
struct ForcedAnswers {
  std::vector<TraceWanted> wanted;
  std::vector<DenseTrace> traces;
};

Result<ForcedAnswers> answers_of(Session& session) {
  ForcedAnswers answers;
  VORTEX_ASSIGN(answers.wanted, right_answers(session));
  if (!answers.wanted.empty()) { VORTEX_ASSIGN(answers.traces, dense_traces(session, answers.wanted)); }
  return answers;
}

void append(std::vector<job::Metric> more, std::vector<job::Metric>& metrics) {
  metrics.insert(metrics.end(), more.begin(), more.end());
}

// What every kv head looks at while the right answers of the first `count` problems are written.
Result<nlohmann::json> look_at_heads(Session& session, const ForcedAnswers& answers, size_t count,
                                     engine::RunStats& stats) {
  const model::ModelConfig& config = session.engine->model().config;
  HeadLooks looks(config.num_layers, config.num_kv_heads, engine::attention_scale(config), budget_of(*session.policy));
  for (size_t i = 0; i < count; ++i) {
    PreparedProblem& prepared = session.problems[i];
    const std::vector<int> blocks = answer_blocks(*session.tokenizer, prepared, session.policy->config.block_size);
    const engine::AttentionObserver observer = [&](const engine::AttentionView& view) { looks.look(view, 0, blocks); };
    VORTEX_ASSIGN(const engine::Request request, request_of(session, prepared));
    engine::RunStats run;
    VORTEX_ASSIGN(const std::vector<float> log_probs,
                  session.engine->teacher_force(request, answers.traces[i].tokens, observer, &run));
    if (log_probs.empty()) { return internal_error("teacher forcing gave no log-probabilities"); }
    engine::add_stats(run, stats);
  }
  return looks.to_json();
}

// answer_log_likelihood and answer_kl of the policy, and what the race may expect.
Result<std::vector<AnswerProbe>> measure_answers(Session& session, const ForcedAnswers& answers,
                                                 engine::RunStats& stats, job::StageResult& result) {
  VORTEX_ASSIGN(std::vector<AnswerProbe> probes, probe_answers(session, answers.wanted, answers.traces, stats));
  append(answer_metrics("", probes, session.job.seed), result.metrics);
  nlohmann::json each = nlohmann::json::array();
  session.expected = {};
  for (size_t i = 0; i < probes.size(); ++i) {
    session.expected.own.push_back(probes[i].match);
    session.expected.dense.push_back(dense_match(answers.traces[i]));
    each.push_back({{"problem", session.problems[answers.wanted[i].problem].problem.id},
                    {"log_likelihood", probes[i].log_likelihood},
                    {"kl", probes[i].kl},
                    {"match", probes[i].match}});
  }
  result.evidence["answers"] = std::move(each);
  result.evidence["answer_bytes"] = bytes_of_answering(session, session.problems);
  return probes;
}

// What right answers say of a policy that cannot win: it is spared all that costs more. False: it goes on.
bool prune_by_answers(const Session& session, const std::vector<AnswerProbe>& probes, job::StageResult& result) {
  if (const std::optional<ExpectedRace> race = expected_race(session, {}); race && surely_lost(*race, session)) {
    result.verdict = job::Verdict::kPruned;
    result.message = lost_text(*race, session);
    result.evidence["expected_difference"] = race->difference.value;
    return true;
  }
  const auto beaten = beaten_by_rival(session, probes, result.evidence["answer_bytes"].get<double>());
  if (!beaten) { return false; }
  result.verdict = job::Verdict::kPruned;
  result.message = beaten_text(*beaten);
  result.evidence["beaten_by"] = beaten->by;
  return true;
}

// oracle_accuracy and how the oracle takes the right answers.
Status measure_ceiling(Session& session, const ForcedAnswers& answers, job::StageResult& result) {
  VORTEX_ASSIGN(const std::optional<Ceiling> ceiling, ceiling_of(session, answers.wanted, answers.traces));
  if (!ceiling) { return ok_status(); }
  const Interval accuracy = accuracy_interval(ceiling->outcomes, session.job.seed);
  result.metrics.push_back({"oracle_accuracy", accuracy.value, accuracy.lo, accuracy.hi, ""});
  append(answer_metrics("oracle_", ceiling->probes, session.job.seed), result.metrics);
  return ok_status();
}

// Dense attention is the yardstick itself; making its traces here spares the candidates after it.
job::StageResult dense_recall() {
  job::StageResult result;
  result.verdict = job::Verdict::kPass;
  for (const char* name :
       {"mass_recall", "mass_recall_chosen", "index_recall", "index_recall_chosen", "next_token_agreement"}) {
    result.metrics.push_back({name, 1, 1, 1, ""});
  }
  result.metrics.push_back({"kl", 0, 0, 0, "nat"});
  return result;
}

// Means over problems of one share, [layer][kv head]; 1 in layers that choose nothing.
nlohmann::json per_head(const std::vector<engine::Forced>& forced, double engine::AttentionRecall::*share,
                        int kv_heads) {
  nlohmann::json layers = nlohmann::json::array();
  for (size_t i = 0; i < forced.front().recall.size(); ++i) {
    if (i % static_cast<size_t>(kv_heads) == 0) { layers.push_back(nlohmann::json::array()); }
    double sum = 0;
    for (const engine::Forced& one : forced) { sum += one.recall[i].looks > 0 ? one.recall[i].*share : 1.0; }
    layers.back().push_back(sum / static_cast<double>(forced.size()));
  }
  return layers;
}

// The mean of each layer's heads.
nlohmann::json per_layer(const nlohmann::json& heads) {
  nlohmann::json layers = nlohmann::json::array();
  for (const nlohmann::json& layer : heads) {
    double sum = 0;
    for (const nlohmann::json& head : layer) { sum += head.get<double>(); }
    layers.push_back(sum / static_cast<double>(layer.size()));
  }
  return layers;
}

// Weights that are no numbers give metrics that are none, which no record can hold: the model is to blame, by name.
Status check_finite(const Session& session, const std::vector<job::Metric>& metrics) {
  for (const job::Metric& metric : metrics) {
    if (std::isfinite(metric.value) && std::isfinite(metric.lo) && std::isfinite(metric.hi)) { continue; }
    return candidate_error("the model's logits are not finite numbers (" + metric.name + ")",
                           "look at the weights in " + session.job.model_path);
  }
  return ok_status();
}

Result<job::StageResult> recall_of_dense(Session& session, const ForcedAnswers& answers) {
  job::StageResult result = dense_recall();
  if (!answers.wanted.empty()) {
    engine::RunStats stats;
    VORTEX_ASSIGN(const std::vector<AnswerProbe> probes, probe_answers(session, answers.wanted, answers.traces, stats));
    append(answer_metrics("", probes, session.job.seed), result.metrics);
  }
  VORTEX_TRY(check_finite(session, result.metrics));
  result.evidence = evidence_of(session);
  return result;
}

// Shares of attention, agreement and KL on dense attention's own words.
Status measure_recall(Session& session, const std::vector<TraceWanted>& wanted, const std::vector<DenseTrace>& traces,
                      engine::RunStats& stats, job::StageResult& result) {
  VORTEX_ASSIGN(const std::vector<engine::Forced> forced, force_traces(session, wanted, traces, kLookEvery, stats));
  const int kv_heads = session.engine->model().config.num_kv_heads;
  std::vector<ProblemRecall> problems;
  size_t positions = 0;
  for (size_t i = 0; i < forced.size(); ++i) {
    ProblemRecall problem;
    problem.shares = mean_shares(forced[i].recall, kv_heads, session.policy->config);
    problem.kl = mean_kl(traces[i], forced[i]);
    problem.agreement = agreement(session.problems[wanted[i].problem].problem.id, traces[i], forced[i]);
    positions += problem.agreement.size();
    problems.push_back(std::move(problem));
  }
  append(recall_metrics(problems, session.job.seed), result.metrics);
  result.evidence["mass_per_head"] = per_head(forced, &engine::AttentionRecall::mass, kv_heads);
  result.evidence["mass_per_layer"] = per_layer(result.evidence["mass_per_head"]);
  result.evidence["mass_chosen_per_head"] = per_head(forced, &engine::AttentionRecall::mass_chosen, kv_heads);
  result.evidence["index_per_head"] = per_head(forced, &engine::AttentionRecall::index_chosen, kv_heads);
  result.evidence["positions"] = positions;
  return ok_status();
}

}  // namespace

Result<job::StageResult> run_recall(Session& session) {
  VORTEX_ASSIGN(const ForcedAnswers answers, answers_of(session));
  std::vector<TraceWanted> wanted(std::min(session.problems.size(), static_cast<size_t>(session.job.recall_problems)));
  for (size_t i = 0; i < wanted.size(); ++i) { wanted[i].problem = i; }
  if (!session.policy) {
    VORTEX_TRY(dense_traces(session, wanted));  // made here for the candidates after it
    return recall_of_dense(session, answers);
  }
  job::StageResult result;
  result.verdict = job::Verdict::kPass;
  engine::RunStats stats;
  const bool asked = !answers.traces.empty();
  std::vector<AnswerProbe> probes;
  if (asked) { VORTEX_ASSIGN(probes, measure_answers(session, answers, stats, result)); }
  if (!asked || !prune_by_answers(session, probes, result)) {
    VORTEX_ASSIGN(const std::vector<DenseTrace> traces, dense_traces(session, wanted));
    VORTEX_TRY(measure_recall(session, wanted, traces, stats, result));
    if (asked) { VORTEX_TRY(measure_ceiling(session, answers, result)); }
    if (asked && session.job.recall_heads) {
      VORTEX_ASSIGN(result.evidence["heads"], look_at_heads(session, answers, wanted.size(), stats));
    }
  }
  VORTEX_ASSIGN(const nlohmann::json common, evidence_of(session, stats));
  result.evidence.update(common);
  VORTEX_TRY(check_finite(session, result.metrics));
  return result;
}

}  // namespace vortex::evals
