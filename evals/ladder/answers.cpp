#include "evals/ladder/answers.h"

#include <algorithm>

#include "core/engine/requests.h"
#include "evals/ladder/recall_metrics.h"
#include "evals/statistics.h"

namespace vortex::evals {

Result<std::vector<TraceWanted>> right_answers(const Session& session) {
  std::vector<TraceWanted> wanted;
  for (size_t i = 0; i < session.problems.size(); ++i) {
    const PreparedProblem& prepared = session.problems[i];
    if (prepared.problem.solution.empty()) { return std::vector<TraceWanted>(); }
    VORTEX_ASSIGN(std::vector<int32_t> tokens, session.tokenizer->encode(prepared.problem.solution));
    const int longest = std::min(prepared.spec->max_new_tokens, session.job.recall_answer_tokens);
    tokens.resize(std::min(tokens.size(), static_cast<size_t>(longest)));
    wanted.push_back({i, std::move(tokens)});
  }
  return wanted;
}

Result<std::vector<engine::Forced>> force_traces(Session& session, const std::vector<TraceWanted>& wanted,
                                                 const std::vector<DenseTrace>& traces, int look_every,
                                                 engine::RunStats& stats) {
  std::vector<engine::ForcedRequest> requests;
  for (size_t i = 0; i < traces.size(); ++i) {
    engine::ForcedRequest request;
    VORTEX_ASSIGN(request.request, request_of(session, session.problems[wanted[i].problem]));
    request.continuation = traces[i].tokens;
    request.wanted = traces[i].top;
    requests.push_back(std::move(request));
  }
  engine::RunStats run;
  VORTEX_ASSIGN(std::vector<engine::Forced> forced, session.engine->force_decode(requests, {1, look_every}, &run));
  engine::add_stats(run, stats);
  return forced;
}

Result<std::vector<AnswerProbe>> probe_answers(Session& session, const std::vector<TraceWanted>& wanted,
                                               const std::vector<DenseTrace>& traces, engine::RunStats& stats) {
  VORTEX_ASSIGN(const std::vector<engine::Forced> forced, force_traces(session, wanted, traces, 0, stats));
  std::vector<AnswerProbe> probes;
  for (size_t i = 0; i < forced.size(); ++i) {
    AnswerProbe probe{mean_log_likelihood(forced[i]), mean_kl(traces[i], forced[i])};
    for (size_t at = 0; at < traces[i].tokens.size(); ++at) {
      probe.match = probe.match && forced[i].top[at].front() == traces[i].tokens[at];
    }
    probes.push_back(probe);
  }
  return probes;
}

bool dense_match(const DenseTrace& trace) {
  for (size_t at = 0; at < trace.tokens.size(); ++at) {
    if (trace.top[at].front() != trace.tokens[at]) { return false; }
  }
  return true;
}

std::vector<job::Metric> answer_metrics(const std::string& prefix, const std::vector<AnswerProbe>& probes,
                                        uint64_t seed) {
  std::vector<double> log_likelihood;
  std::vector<double> kl;
  for (const AnswerProbe& probe : probes) {
    log_likelihood.push_back(probe.log_likelihood);
    kl.push_back(probe.kl);
  }
  const Interval likely = mean_interval(log_likelihood, seed);
  const Interval divergence = mean_interval(kl, seed);
  return {{prefix + "answer_log_likelihood", likely.value, likely.lo, likely.hi, "nat"},
          {prefix + "answer_kl", divergence.value, divergence.lo, divergence.hi, "nat"}};
}

}  // namespace vortex::evals
