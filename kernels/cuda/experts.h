// Mixture of experts: which experts every row goes through, their matrix products and the sum of what they answer.
//
// Terms: a *pair* is (row, slot), pair = row * slots + slot; slots [0, chosen) are the experts that the row has chosen,
// in their order, and slot `chosen` is the shared expert where there is one. A *tile* is some rows of one expert. The
// bits of a row depend on that row alone: neither on which rows come with it nor on how many there are.
#pragma once

#include "kernels/cpu/router.h"
#include "kernels/cuda/types.h"

namespace vortex::cuda {

using cpu::ExpertRule;  // `bias` is device memory here

inline constexpr int kMaxExperts = 512;
inline constexpr int kMaxChosen = 32;
inline constexpr int kMaxExpertGroups = 32;
inline constexpr int kMaxRoutedPairs = 16384;  // rows * chosen of one call
inline constexpr int kMaxExpertTiles = 1024;   // of chosen experts

struct ExpertTile {
  std::int32_t first = 0;  // place in ExpertPlan::order of its first row
  std::uint16_t expert = 0;
  std::uint16_t rows = 0;
};

// What was chosen, and the list that the products work off.
struct ExpertPlan {
  std::int32_t* experts = nullptr;    // [row][chosen], -1 where a row is not active
  float* weights = nullptr;           // [row][chosen]
  std::int32_t* order = nullptr;      // [rows * chosen] pairs, those of an expert side by side in ascending order
  ExpertTile* tiles = nullptr;        // [kMaxExpertTiles]
  std::int32_t* num_tiles = nullptr;  // one
};

// The router on bf16 rows and float32 weights, with the rule of kernels/cpu/router.h: from equal logits it chooses the
// same experts with the same weights.
struct RouteExperts {
  const Bf16* x = nullptr;        // [row][hidden]; hidden a multiple of 8
  const float* router = nullptr;  // [experts][hidden]
  ExpertRule rule;
  int rows = 0;
  int hidden = 0;
  bool shared = false;                    // there is a shared expert: pairs count its slot
  const std::uint8_t* active = nullptr;   // [row]; rows with 0 touch no expert; null: all are active
  float* logits = nullptr;                // [row][experts]
  std::uint32_t* arrived = nullptr;       // one, zero before and after
  unsigned long long* touched = nullptr;  // what the number of touched experts is added to, or null
  ExpertPlan plan;
};

// logits[row][expert] = x . router, in float32.
cudaError_t router_logits(const RouteExperts& args, cudaStream_t stream);

// Chooses by the logits and fills the plan.
cudaError_t plan_experts(const RouteExperts& args, cudaStream_t stream);

// The weights of one or more experts side by side: bf16, or where there are scales e4m3, [rows][columns] in either
// case. A number of a block of 128 x 128 stands for itself times the block's scale, [rows / 128][columns / 128].
struct ExpertWeights {
  const void* values = nullptr;
  const float* scales = nullptr;
};
inline constexpr int kScaleBlock = 128;

// The MLPs of the planned experts: bf16 inner rows, sums in float32. Each touched expert's weights are read once for
// every expert_tile_rows(rows) of its rows. `hidden` and the inner sizes are multiples of 16, with scales of 128.
// Either all weights have scales or none.
struct ExpertMlp {
  ExpertWeights gate_up;         // [expert][2 * inner][hidden], gates first
  ExpertWeights down;            // [expert][hidden][inner]
  ExpertWeights shared_gate_up;  // [2 * shared_inner][hidden]
  ExpertWeights shared_down;     // [hidden][shared_inner]
  const Bf16* x = nullptr;       // [row][hidden]
  Bf16* inner_rows = nullptr;    // rows of the shared expert, then those of `order`
  float* answers = nullptr;      // [pair][hidden]; pairs of rows that are not active are left alone
  ExpertPlan plan;
  int rows = 0;
  int experts = 0;
  int chosen = 0;
  int hidden = 0;
  int inner = 0;
  int shared_inner = 0;  // 0: there is no shared expert
  int blocks = 0;        // thread blocks, best one a multiprocessor
};

// Rows of a tile at most, for a call with so many rows: 8, 16 or 32.
int expert_tile_rows(int rows);

// Elements of ExpertMlp::inner_rows.
std::int64_t expert_inner_elements(const ExpertMlp& args);

bool experts_support(const ExpertMlp& args);

// Outputs that a thread block makes at a time; bits do not depend on it. 0 lets the function choose.
struct ExpertSchedule {
  int gate_up = 0;  // gates and what they gate counted: 16, 32 or 64
  int down = 0;
};

// inner = silu(x gate) * (x up), rounded once. Weights of the shared expert are fetched before the kernels before it on
// the stream are done: nothing may write them meanwhile.
cudaError_t expert_gate_up(const ExpertMlp& args, const ExpertSchedule& schedule, cudaStream_t stream);

// answers = inner down.
cudaError_t expert_down(const ExpertMlp& args, const ExpertSchedule& schedule, cudaStream_t stream);

// out[row] = sum over slots of weight * answer in the order of the slots, the shared expert's as it is; in float32,
// rounded once. Rows that are not active become zeros.
struct CombineExperts {
  const float* answers = nullptr;        // [row][slot][hidden]
  const float* weights = nullptr;        // [row][chosen]
  const std::uint8_t* active = nullptr;  // as RouteExperts has it
  Bf16* out = nullptr;                   // [row][hidden]; hidden a multiple of 4
  int rows = 0;
  int chosen = 0;
  int hidden = 0;
  bool shared = false;
};

cudaError_t combine_experts(const CombineExperts& args, cudaStream_t stream);

}  // namespace vortex::cuda
