// Sums and exchanges between ranks: GPUs of one host (or streams of one GPU) that each hold a part of a model and
// compute the same step. One call is one kernel on every rank.
//
// A rank sends by storing into the other ranks' inboxes. Nothing is fenced and there are no flags: an inbox is full of
// words that no sender sends, so the data say themselves that they have come. Whoever has read a word empties its place
// again. Calls use the two halves of an inbox in turn: a rank can only send into a half again after a call in between,
// which ends only when every rank has begun it, and by then has emptied what the call before left. So
//   - all ranks make the same calls, of the same sizes, in the same order, with `turn` 0, 1, 0, 1, ...;
//   - a graph that is replayed makes an even number of them.
//
// Sums are taken in float32 in the order of the ranks and rounded once, so that every rank gets the same bits, whatever
// the schedule. NaNs stay NaNs, but which of them is not kept.
#pragma once

#include "kernels/cuda/types.h"

namespace vortex::cuda {

inline constexpr int kMaxRanks = 8;

// Where a rank finds the others. The inboxes are device memory of their ranks that this rank's device can store to; all
// bytes of them are 0xff before the first call.
struct Peers {
  int rank = 0;
  int ranks = 1;  // 1 to kMaxRanks
  std::uint8_t* inboxes[kMaxRanks] = {};
  std::int64_t inbox_bytes = 0;    // of each, a multiple of 32
  std::uint64_t wait_ns = 0;       // after which a call gives up on a word
  std::uint32_t* fault = nullptr;  // of this device: 0, or which call gave up on whom (ExchangeFault)
  // Several ranks run on this device: kernels stay few enough to run side by side, and keep the next one of their rank
  // from the multiprocessors until they are done, because it could take those that another rank needs to send at all.
  bool shares_device = false;
};

// What a call that gave up leaves behind. Its results are then worthless, and so are the inboxes; later calls do not
// wait at all.
struct ExchangeFault {
  int call = 0;  // Exchange::call
  int from = 0;  // the rank that had sent nothing
};
__host__ __device__ constexpr std::uint32_t fault_code(int call, int from) {
  return (static_cast<std::uint32_t>(call) << 8) | static_cast<std::uint32_t>(from + 1);
}
constexpr ExchangeFault fault_of(std::uint32_t code) {
  return {static_cast<int>(code >> 8), static_cast<int>(code & 0xffU) - 1};
}

// How a call runs. Results do not depend on it, but all ranks must take the same.
struct ExchangeSchedule {
  bool two_shot = false;  // every rank sums a part and sends that on, instead of everything
  int blocks = 0;         // thread blocks
};

// The schedule for a message of `bytes`, by measurements on H100 (docs/benchmarks/tensor-parallel.md).
ExchangeSchedule plan_exchange(const Peers& peers, std::int64_t bytes);
// Of rows that are normalised, each by a thread block.
ExchangeSchedule plan_row_exchange(const Peers& peers, int rows, int width);

// Puts the kernels of all exchanges between so many ranks on the current device. Without it the first call does, and
// loading a kernel may wait for a device on which another one waits for a rank.
cudaError_t load_exchanges(int ranks);

// Bytes of an inbox that takes sums of up to `bytes` by any schedule.
std::int64_t inbox_bytes_for(int ranks, std::int64_t bytes);

// out[i] = the sum of all ranks' x[i]; `count` a multiple of 8. In place where out is x.
struct AllReduce {
  Peers peers;
  int turn = 0;
  int call = 0;  // for ExchangeFault, below 2^24
  const Bf16* x = nullptr;
  Bf16* out = nullptr;
  std::int64_t count = 0;
};
cudaError_t all_reduce(const AllReduce& args, const ExchangeSchedule& schedule, cudaStream_t stream);

// The same of rows, whose sum goes on as residual_rms_norm has it (elementwise.h): residual[row] += the sum, rounded to
// bf16, and out[row] is its norm times `weight`. With a two-shot schedule a rank keeps the residual of its own rows
// alone (rows_of_rank): then all calls on one residual must be of that kind, with as many rows. width a multiple of 8,
// at most 8192.
struct AllReduceNorm {
  Peers peers;
  int turn = 0;
  int call = 0;
  const Bf16* x = nullptr;       // [rows][width]
  Bf16* residual = nullptr;      // [rows][width]
  const Bf16* weight = nullptr;  // [width]
  Bf16* out = nullptr;           // [rows][width]
  int rows = 0;
  int width = 0;
  float epsilon = 1e-6F;
};
cudaError_t all_reduce_norm(const AllReduceNorm& args, const ExchangeSchedule& schedule, cudaStream_t stream);

// Rows of a rank in a two-shot call: all but the last ranks have as many.
struct RowRange {
  int first = 0;
  int count = 0;
};
RowRange rows_of_rank(int rows, int ranks, int rank);

// head_factors (append.h) where each rank has some of the heads: means over the heads of all ranks. All ranks have as
// many.
struct AllReduceFactors {
  Peers peers;
  int turn = 0;
  int call = 0;
  const Bf16* qkv = nullptr;  // [token][q heads, k heads, v heads][head_dim], this rank's; head_dim a multiple of 8
  float2* factors = nullptr;  // [token]
  int num_tokens = 0;
  int num_q_heads = 0;  // of this rank
  int num_kv_heads = 0;
  int head_dim = 0;
  float epsilon = 1e-6F;
};
cudaError_t all_reduce_factors(const AllReduceFactors& args, cudaStream_t stream);

// Every rank has columns [rank * columns, (rank + 1) * columns) of `rows` rows of floats, and gets the others'.
// columns and stride multiples of 4.
struct AllGather {
  Peers peers;
  int turn = 0;
  int call = 0;
  float* rows_of_floats = nullptr;  // [rows][stride]
  int rows = 0;
  int columns = 0;  // of one rank
  int stride = 0;   // at least ranks * columns
};
cudaError_t all_gather(const AllGather& args, cudaStream_t stream);
std::int64_t inbox_bytes_for_gather(int ranks, std::int64_t rows, int columns);

}  // namespace vortex::cuda
