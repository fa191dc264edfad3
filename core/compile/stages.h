#pragma once

#include <string>
#include <vector>

#include "core/vflow/config/config.h"
#include "core/vflow/program.h"

namespace vortex::compile {

// How one graph is cut into stages: the part of compilation that every backend and the oracle share, because rounding
// happens exactly at its boundaries.
//
// An operation that stays inside a page is fused with its neighbours and computed in float32. An operation that needs
// all pages of a row (Softmax, Normalize, Conv1d, reductions over pages, top-k, GeMM with a Parameter, Reshape where a
// size is no power of two) ends a stage: it reads what the stage left in memory, and its result exists from the next
// stage on. A fused operation belongs to the earliest stage in which all its inputs exist; vortex_torch merges greedily
// in an order that is not public, so a value may be rounded there where it is not here, and the other way round.
//
// Rounding. A value that leaves its stage is rounded to the policy's dtype; results of Softmax, Normalize and Conv1d
// always to bfloat16. Inside a stage nothing is rounded. q is bfloat16; fields have their stored type. Both operands of
// GeMM with a Parameter are rounded to bfloat16, and so are the weights of Conv1d.
//
// Pages. A row has n pages, the first `bos` and the last `eos` are reserved, the rest are its middle. Fused operations
// compute pages [0, n - eos); operations over pages read and change the middle alone. Softmax, Normalize and Conv1d
// copy their input at the first `bos` pages, and everywhere when n <= bos + eos + topk_val (vortex_torch leaves stale
// memory there). A reduction over an empty middle gives 0.
struct Stage {
  std::vector<int> fused;      // operations inside a page, in execution order; Save and Store are among them
  std::vector<int> over_rows;  // operations over pages that end the stage
};

struct StagePlan {
  std::vector<Stage> stages;
  std::vector<int> stage_of;  // per node: its stage; -1 for leaves and for dead nodes
  std::vector<bool> live;     // per node: reaches a root
  std::vector<bool> kept;     // per node: its value leaves its stage, rounded
};

// Total for every checked program.
StagePlan plan_stages(const vflow::Graph& graph);

// Does `consumer` read the rounded value of `producer`, or the one still inside the stage?
bool reads_kept(const vflow::Graph& graph, const StagePlan& plan, int consumer, int producer);

// The dtype that a kept value of this node is rounded to.
vflow::Dtype kept_dtype(const vflow::Node& node, vflow::Dtype policy_dtype);

bool is_leaf(vflow::Op op);

// One line a stage: what it computes, what it keeps, e.g. "stage 0: Mean(q) GeMM | topK".
std::string describe_stages(const vflow::Graph& graph, const StagePlan& plan, vflow::Dtype policy_dtype);

// How many pages of a row are chosen, and from where. `blocks` = n, `selected` = min(budget, n), at least 1.
// Reserved pages are taken first from the end (the last page holds the current token), then from the start.
struct RowBudget {
  bool everything_fits = true;  // all pages attended, nothing computed, nothing saved
  int bos = 0;                  // pages [0, bos) are attended
  int eos = 0;                  // the last eos pages are attended
  int middle = 0;               // pages chosen from [reserved_bos, n - reserved_eos)
};
RowBudget row_budget(const vflow::EngineConfig& config, int blocks);

}  // namespace vortex::compile
