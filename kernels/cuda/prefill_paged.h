// The quicker of our two kernels for prompts, which prefill_attention() takes where it can.
#pragma once

#include "kernels/cuda/prefill.h"

namespace vortex::cuda {

// bf16 pages, head_dim in {64, 128}.
bool paged_prefill_takes(const PrefillAttention& args);

// prefill_attention() of arguments that it takes and that were checked.
cudaError_t paged_prefill(const PrefillAttention& args, cudaStream_t stream);

}  // namespace vortex::cuda
