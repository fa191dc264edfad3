#include "core/compile/cuda/build.h"

#include <string_view>

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
  if (target.kv_type) { result.config.kv_dtype = dtype_of(*target.kv_type); }
  return result;
}

namespace {

// How many blocks of vortex_select a multiprocessor is to hold at once: what limits the registers of a thread.
constexpr std::string_view kFourBlocks = "__launch_bounds__(kThreads, 4)";

Result<CudaBinary> build_source(const std::string& source, const CudaTarget& target, const KernelSwitches& switches) {
  CudaBinary binary;
  binary.source = source;
  binary.hash = sha256_hex(nvrtc_identity(target.arch) + source);
  const KernelCache cache(target.cache_folder);
  std::optional<CompiledSource> compiled = switches.dump_folder.empty() ? cache.find(binary.hash) : std::nullopt;
  binary.from_cache = compiled.has_value();
  if (!compiled) {
    VORTEX_ASSIGN(compiled, compile_source(source, target.arch));
    cache.keep(binary.hash, source, *compiled);
  }
  VORTEX_TRY(dump_kernels(switches, binary.hash, source, *compiled));
  binary.cubin = std::move(compiled->cubin);
  binary.resources = std::move(compiled->resources);
  return binary;
}

bool spills(const CudaBinary& binary) { return !refuse_spills(binary.resources).ok(); }

}  // namespace

// A kernel that spills registers with four blocks a multiprocessor is built for three, two or one of them.
Result<CudaBinary> build_generated(const GeneratedPolicy& generated, const CudaTarget& target) {
  const KernelSwitches switches = kernel_switches();
  VORTEX_ASSIGN(CudaBinary binary, build_source(generated.source, target, switches));
  const size_t at = generated.source.find(kFourBlocks);
  for (int blocks = 3; blocks > 0 && at != std::string::npos && spills(binary); --blocks) {
    std::string roomier = generated.source;
    roomier[at + kFourBlocks.size() - 2] = static_cast<char>('0' + blocks);
    VORTEX_ASSIGN(binary, build_source(roomier, target, switches));
  }
  if (switches.refuse_spills) { VORTEX_TRY(refuse_spills(binary.resources)); }
  return binary;
}

Result<CudaBinary> build_cuda(const vflow::Policy& policy, const vflow::ModelGeometry&, const CudaTarget& target) {
  VORTEX_ASSIGN(const GeneratedPolicy generated, generate_cuda(for_target(policy, target)));
  return build_generated(generated, target);
}

}  // namespace vortex::compile
