#include "core/compile/cuda/build.h"

#include "base/sha256.h"
#include "core/compile/cuda/kernel_cache.h"
#include "core/compile/cuda/kernel_switches.h"
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
  const KernelSwitches switches = kernel_switches();
  const KernelCache cache(target.cache_folder);
  std::optional<CompiledSource> compiled = switches.dump_folder.empty() ? cache.find(binary.hash) : std::nullopt;
  binary.from_cache = compiled.has_value();
  if (!compiled) {
    VORTEX_ASSIGN(compiled, compile_source(binary.source, target.arch));
    cache.keep(binary.hash, binary.source, *compiled);
  }
  VORTEX_TRY(dump_kernels(switches, binary.hash, binary.source, *compiled));
  if (switches.refuse_spills) VORTEX_TRY(refuse_spills(compiled->resources));
  binary.cubin = std::move(compiled->cubin);
  binary.resources = std::move(compiled->resources);
  return binary;
}

Result<CudaBinary> build_cuda(const vflow::Policy& policy, const vflow::ModelGeometry&, const CudaTarget& target) {
  VORTEX_ASSIGN(const GeneratedPolicy generated, generate_cuda(for_target(policy, target)));
  return build_generated(generated, target);
}

}  // namespace vortex::compile
