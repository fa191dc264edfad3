#include "core/compile/limits.h"

#include "core/compile/cuda/device/params.h"

namespace vortex::compile {

using vflow::Dtype;

vflow::BackendLimits cuda_limits() {
  vflow::BackendLimits limits;
  limits.name = "CUDA";
  limits.head_dims = {64, 128};
  limits.block_multiple = 16;  // the tokens of one tile of the attention kernel
  limits.kv_dtypes = {Dtype::kBf16, Dtype::kFp32, Dtype::kFp8E4m3, Dtype::kFp8E5m2};
  limits.max_fields = device::kMaxFields;
  limits.max_hidden = 8192;  // of the norm kernel
  limits.hidden_multiple = 8;
  limits.max_stop_tokens = 8;
  limits.remedy = "run it on the CPU: --device cpu";
  return limits;
}

vflow::BackendLimits cpu_limits() {
  vflow::BackendLimits limits;
  limits.name = "CPU";
  limits.kv_dtypes = {Dtype::kBf16};
  return limits;
}

}  // namespace vortex::compile
