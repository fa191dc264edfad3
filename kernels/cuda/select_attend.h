// Scoring, selecting and attending by one kernel: what a row of decode attention reads is known to the thread blocks
// that read it as soon as they have scored it, and no row waits for another.
#pragma once

#include "kernels/cuda/attention.h"
#include "kernels/cuda/select.h"

namespace vortex::cuda {

// What score_and_select() and then decode_attention() of its selection do; `attention.selection` is not read, `out` is
// written. Started early like both.
struct SelectAndAttend {
  ScoreAndSelect score;
  SelectionRule rule;
  SelectionOutput out;
  DecodeAttention attention;
};

// A cluster of `cluster` thread blocks has a row. The bits are those of the two kernels, decode_attention() by eight
// warps and as many pieces, whatever `cluster` is.
struct SelectAndAttendSchedule {
  int cluster = 1;                     // 1, 2, 4 or 8
  int pieces = decode_row::kMaxRanks;  // the same, at least `cluster`
};

// K and V in bf16 or fp8_e4m3, head_dim 64 or 128, 2 to 4 query heads a kv head, scores rounded to bf16, and rows whose
// keys fit the tiles' place in shared memory.
bool select_and_attend_supports(const SelectAndAttend& args);

// As many thread blocks a row as multiprocessors, or two where that is one: clusters of four at two blocks a
// multiprocessor do not all find room at once. Depends on nothing else.
SelectAndAttendSchedule plan_select_and_attend(int rows, int num_sms);

cudaError_t select_and_attend(const SelectAndAttend& args, const SelectAndAttendSchedule& schedule,
                              cudaStream_t stream);

}  // namespace vortex::cuda
