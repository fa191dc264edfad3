// What every kernel of decode attention asks of its arguments, on the host.
#pragma once

#include "kernels/cuda/attention.h"

namespace vortex::cuda {

// Are the pointers there, and do the sizes fit each other? Whether there is a kernel for them is another question.
inline bool are_valid(const DecodeAttention& a) {
  const bool pointers = a.q && a.out && a.kv.k && a.kv.v && a.table.pages && a.table.lengths;
  const bool selection = a.selection.blocks == nullptr || (a.selection.counts && a.selection.max_selected > 0);
  const bool shape = a.num_requests >= 0 && a.kv.num_kv_heads > 0 && a.num_q_heads > 0 &&
                     a.num_q_heads % a.kv.num_kv_heads == 0 && a.kv.block > 0 && a.kv.block % decode_row::kTile == 0 &&
                     a.table.max_blocks > 0;
  return pointers && selection && shape;
}

}  // namespace vortex::cuda
