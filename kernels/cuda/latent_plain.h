// Latent attention of any shape up to 1024 elements, a thread block a (row, head): for the shapes that the quick kernel
// (sm90_latent_attention.cu) has no instance of.
#pragma once

#include "kernels/cuda/latent.h"

namespace vortex::cuda {

// As latent_attention(), whose arguments have been checked.
cudaError_t plain_latent_attention(const LatentAttention& args, cudaStream_t stream);

}  // namespace vortex::cuda
