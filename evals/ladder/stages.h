#pragma once

#include "base/result.h"
#include "evals/ladder/session.h"
#include "job/stage.h"

namespace vortex::evals {

// One function a stage. A result holds verdict, message, metrics, outcomes and evidence; the caller adds stage and
// time. An Error stands for a result too: fail where the candidate is to blame, error otherwise.

// Does it build for the device that the engine runs on? Evidence: the stages that it was compiled to.
Result<job::StageResult> run_compile(Session& session);

// Is it right? The kernels that the engine runs agree with the oracle; the same inputs give the same tokens, in any
// batch; a budget that covers all pages gives the bits of dense attention. A no is our bug.
Result<job::StageResult> run_validate(Session& session);

// Does it find what dense attention looks at? Every problem's dense trace is forced through the policy, all together,
// on the engine's device. Metrics: those of recall_metrics.h. Evidence: the shares of each layer's kv heads. Always
// passes.
Result<job::StageResult> run_recall(Session& session);

// Does it still retrieve? The job's gate tasks (RULER-style), answered beside dense attention. Pruned when the interval
// of its accuracy lies wholly below gate_bar times dense attention's. Metrics: gate_accuracy, gate_dense_accuracy,
// gate_ratio. Tasks that dense attention cannot do at all are refused: they would tell nothing.
Result<job::StageResult> run_gate(Session& session);

// Does it answer? Problems in growing rounds; after each the paired difference to the incumbent, and an end (pruned)
// once its interval lies wholly below -race_margin. Metrics: accuracy; accuracy_difference where they share outcomes;
// pass_at_K where every problem is answered K > 1 times.
Result<job::StageResult> run_race(Session& session);

// Is it fast? In turns with dense attention in this process, until the ratio's interval is as narrow as the job asks or
// its seconds are up. On the task's workload: windows of the engine's own schedule of as many requests as the pool
// holds (core/engine/workload); metrics tokens_per_s, speedup_vs_dense, dense_tokens_per_s, end_to_end_tokens_per_s
// (the Vortex paper's: all tokens until the last request ends) and dense attention's, token_ms_p50 and _p95, mean_batch
// and dense attention's, bytes_per_token, gigabytes_per_s, percent_of_limit (of a copy). Or fixed work, where the task
// says so: the first tokens behind the task's prompts, six pairs at least, each side at the median of its steps;
// metrics tokens_per_s, speedup_vs_dense (median of the pairs' ratios), dense_tokens_per_s, bytes_per_token,
// gigabytes_per_s and, on the CPU, percent_of_memory_read.
Result<job::StageResult> run_speed(Session& session);

// Does it hold on problems that the search never saw? As race, in one round beside the dense incumbent, which answers
// here and now whatever the job does not bring along.
Result<job::StageResult> run_confirm(Session& session);

}  // namespace vortex::evals
