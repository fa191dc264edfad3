#include "core/compile/cuda/build.h"

#include "base/sha256.h"
#include "core/compile/cuda/kernel_cache.h"
#include "core/compile/cuda/nvrtc.h"

namespace vortex::compile {

vflow::Dtype dtype_of(cuda::KvType type) {
  return type == cuda::KvType::bf16       ? vflow::Dtype::kBf16
         : type == cuda::KvType::fp32     ? vflow::Dtype::kFp32
         : type == cuda::KvType::fp8_e4m3 ? vflow::Dtype::kFp8E4m3
                                          : vflow::Dtype::kFp8E5m2;
}

vflow::Policy for_target(const vflow::Policy& policy, const CudaTarget& target) {
  vflow::Policy result = policy;
  if (target.kv_type) {
    result.config.kv_dtype = dtype_of(*target.kv_type);
  }
  return result;
}

Result<CudaBinary> build_generated(const GeneratedPolicy& generated, const CudaTarget& target) {
  CudaBinary binary;
  binary.source = generated.source;
  binary.hash = sha256_hex(nvrtc_identity(target.arch) + generated.source);
  const KernelCache cache(target.cache_folder);
  if (std::optional<std::string> cubin = cache.find(binary.hash)) {
    binary.cubin = std::move(*cubin);
    binary.from_cache = true;
    return binary;
  }
  VORTEX_ASSIGN(binary.cubin, compile_to_cubin(binary.source, target.arch));
  cache.keep(binary.hash, binary.source, binary.cubin);
  return binary;
}

Result<CudaBinary> build_cuda(const vflow::Policy& policy, const vflow::ModelGeometry&, const CudaTarget& target) {
  VORTEX_ASSIGN(const GeneratedPolicy generated, generate_cuda(for_target(policy, target)));
  return build_generated(generated, target);
}

}  // namespace vortex::compile
