#include "evals/ladder/evidence.h"
#include "evals/ladder/recall_metrics.h"
#include "evals/ladder/stages.h"
#include "evals/ladder/trace.h"

namespace vortex::evals {
namespace {

constexpr int kLookEvery =
    8;  // decode steps between two looks at the softmax: on a CPU a look costs about a dense step

// One forced decoding of each trace under the session's policy.
Result<std::vector<engine::Forced>> replay(Session& session, const std::vector<TraceWanted>& wanted,
                                           const std::vector<DenseTrace>& traces, engine::RunStats& stats) {
  std::vector<engine::ForcedRequest> requests;
  for (size_t i = 0; i < traces.size(); ++i) {
    engine::ForcedRequest request;
    VORTEX_ASSIGN(request.request, request_of(session, session.problems[wanted[i].problem]));
    request.continuation = traces[i].tokens;
    request.wanted = traces[i].top;
    requests.push_back(std::move(request));
  }
  return session.engine->force_decode(requests, {1, kLookEvery}, &stats);
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
    if (i % static_cast<size_t>(kv_heads) == 0) layers.push_back(nlohmann::json::array());
    double sum = 0;
    for (const engine::Forced& one : forced) sum += one.recall[i].looks > 0 ? one.recall[i].*share : 1.0;
    layers.back().push_back(sum / static_cast<double>(forced.size()));
  }
  return layers;
}

// The mean of each layer's heads.
nlohmann::json per_layer(const nlohmann::json& heads) {
  nlohmann::json layers = nlohmann::json::array();
  for (const nlohmann::json& layer : heads) {
    double sum = 0;
    for (const nlohmann::json& head : layer) sum += head.get<double>();
    layers.push_back(sum / static_cast<double>(layer.size()));
  }
  return layers;
}

}  // namespace

Result<job::StageResult> run_recall(Session& session) {
  std::vector<TraceWanted> wanted(std::min(session.problems.size(), static_cast<size_t>(session.job.recall_problems)));
  for (size_t i = 0; i < wanted.size(); ++i) wanted[i].problem = i;
  VORTEX_ASSIGN(const std::vector<DenseTrace> traces, dense_traces(session, wanted));
  if (!session.policy) {
    job::StageResult result = dense_recall();
    result.evidence = evidence_of(session);
    return result;
  }
  engine::RunStats stats;
  VORTEX_ASSIGN(const std::vector<engine::Forced> forced, replay(session, wanted, traces, stats));
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
  job::StageResult result;
  result.verdict = job::Verdict::kPass;
  result.metrics = recall_metrics(problems, session.job.seed);
  VORTEX_ASSIGN(result.evidence, evidence_of(session, stats));
  result.evidence["mass_per_head"] = per_head(forced, &engine::AttentionRecall::mass, kv_heads);
  result.evidence["mass_per_layer"] = per_layer(result.evidence["mass_per_head"]);
  result.evidence["mass_chosen_per_head"] = per_head(forced, &engine::AttentionRecall::mass_chosen, kv_heads);
  result.evidence["index_per_head"] = per_head(forced, &engine::AttentionRecall::index_chosen, kv_heads);
  result.evidence["positions"] = positions;
  return result;
}

}  // namespace vortex::evals
