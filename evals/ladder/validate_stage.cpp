#include <algorithm>
#include <numeric>

#include "base/text.h"
#include "core/compile/executable.h"
#include "core/vflow/config/fixed_budget.h"
#include "core/vflow/graph/row_pages.h"
#include "evals/ladder/evidence.h"
#include "evals/ladder/oracle.h"
#include "evals/ladder/stages.h"

namespace vortex::evals {
namespace {

constexpr size_t kProblems = 2;  // of the task's first ones
constexpr int kTokens = 18;      // a request: wherever a page of 16 begins, one is filled while they are written

// A few requests of the task, cut short.
Result<std::vector<engine::Request>> short_requests(Session& session) {
  std::vector<engine::Request> requests;
  const size_t count = std::min(kProblems, session.problems.size());
  for (size_t i = 0; i < count; ++i) {
    VORTEX_ASSIGN(engine::Request request, request_of(session, session.problems[i]));
    request.seed = i;
    request.max_new_tokens = std::min(kTokens, session.job.task.max_new_tokens);
    request.ignore_eos = true;
    requests.push_back(std::move(request));
  }
  return requests;
}

// The same requests give the same tokens: the last one again from a fresh policy, alone instead of in company, before
// the others instead of after them. Returns all of them.
Result<std::vector<engine::Output>> check_determinism(Session& session, const std::vector<engine::Request>& requests,
                                                      engine::RunStats& stats) {
  VORTEX_ASSIGN(std::vector<engine::Output> together, session.engine->generate(requests, &stats));
  VORTEX_TRY(session.engine->set_policy(session.policy));
  VORTEX_ASSIGN(const std::vector<engine::Output> alone, session.engine->generate({requests.back()}, nullptr));
  if (alone[0].tokens != together.back().tokens) {
    return internal_error("the same request gave other tokens when it was decoded alone");
  }
  return together;
}

// What the steps of these requests attended is what the budget grants, layer by layer: what runs is the policy that is
// set, not one before it whose captured steps were left, and it leaves out no page that it was granted.
Status check_pages(const Session& session, const std::vector<engine::Request>& requests,
                   const engine::RunStats& stats) {
  const vflow::EngineConfig& config = session.policy->config;
  vflow::RowPages granted;
  int64_t all = 0;
  for (const engine::Request& request : requests) {
    const int end = static_cast<int>(request.prompt.size()) + request.max_new_tokens;
    for (int length = static_cast<int>(request.prompt.size()) + 1; length < end; ++length) {
      const int blocks = (length + config.block_size - 1) / config.block_size;
      const vflow::RowPages row = vflow::row_pages(*session.policy, blocks);
      granted.least += row.least;
      granted.most += row.most;
      all += blocks;
    }
  }
  const int kv_heads = session.engine->model().config.num_kv_heads;
  for (size_t layer = 0; layer < stats.pages_attended.size(); ++layer) {
    const bool dense = vflow::layer_is_dense(config, static_cast<int>(layer));
    const int64_t least = (dense ? all : granted.least) * kv_heads;
    const int64_t most = (dense ? all : granted.most) * kv_heads;
    const int64_t attended = stats.pages_attended[layer];
    if (attended < least || attended > most) {
      return internal_error("layer " + std::to_string(layer) + " attended " + std::to_string(attended) +
                            " pages where its budget grants " + std::to_string(least) +
                            (least == most ? "" : " to " + std::to_string(most)));
    }
  }
  return ok_status();
}

// The policy with a budget that covers every page: it must do what dense attention does.
vflow::Policy covering(vflow::Policy policy, int blocks) {
  vflow::set_fixed_budget(policy.config, blocks);
  return policy;
}

// Dense attention in every layer at the policy's own page size.
vflow::Policy dense_twin(vflow::Policy policy, int layers) {
  policy.config.layers_skip.resize(static_cast<size_t>(layers));
  std::iota(policy.config.layers_skip.begin(), policy.config.layers_skip.end(), 0);
  return policy;
}

// Log-probabilities of a continuation under a covering budget are those of dense attention, bit for bit.
Status check_covering_budget(Session& session, const engine::Request& request,
                             const std::vector<int32_t>& continuation) {
  const int layers = session.engine->model().config.num_layers;
  const int block_size = session.policy->config.block_size;
  const int tokens = static_cast<int>(request.prompt.size()) + request.max_new_tokens;
  VORTEX_TRY(session.engine->set_policy(dense_twin(*session.policy, layers)));
  VORTEX_ASSIGN(const std::vector<float> dense, session.engine->teacher_force(request, continuation, {}, nullptr));
  VORTEX_TRY(session.engine->set_policy(covering(*session.policy, tokens / block_size + 1)));
  engine::RunStats stats;
  VORTEX_ASSIGN(const std::vector<float> covered, session.engine->teacher_force(request, continuation, {}, &stats));
  VORTEX_TRY(session.engine->set_policy(session.policy));
  if (stats.pages_attended != stats.pages_visible) {
    return internal_error("a budget that covers all pages left some of them out");
  }
  if (dense != covered) {
    return internal_error("a budget that covers all pages does not give dense attention's bits");
  }
  return ok_status();
}

// What the engine compiled the policy to, and runs, agrees with the oracle on random inputs. Returns what was compared,
// in words.
Result<std::string> check_oracle(const Session& session) {
  const std::shared_ptr<const compile::Executable> executable = session.engine->executable();
  if (executable == nullptr) { return internal_error("the engine has compiled no policy"); }
  compile::AgreementOptions options;
  options.blame = "the policy on " + session.device;
  VORTEX_ASSIGN(OracleAnswer answer, ask_oracle({*session.policy, *executable, session.job.seed, options}));
  if (!answer.report.agrees()) { return internal_error("the oracle disagrees: " + join(answer.report.failures, "; ")); }
  return std::move(answer.compared);
}

}  // namespace

Result<job::StageResult> run_validate(Session& session) {
  job::StageResult result;
  result.verdict = job::Verdict::kPass;
  // Beside whoever is timed just now: the oracle computes on the host.
  std::string compared;
  if (session.policy) { VORTEX_ASSIGN(compared, check_oracle(session)); }
  if (session.turn != nullptr) { VORTEX_TRY(session.turn->take(session, DeviceUse::kTogether)); }
  VORTEX_ASSIGN(const std::vector<engine::Request> requests, short_requests(session));
  engine::RunStats stats;
  VORTEX_ASSIGN(const std::vector<engine::Output> written, check_determinism(session, requests, stats));
  VORTEX_ASSIGN(result.evidence, evidence_of(session, stats));
  if (session.policy) {
    result.evidence["oracle"] = std::move(compared);
    VORTEX_TRY(check_pages(session, requests, stats));
    VORTEX_TRY(check_covering_budget(session, requests.front(), written.front().tokens));
  }
  return result;
}

}  // namespace vortex::evals
