#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "base/result.h"
#include "core/compile/cuda/nvrtc.h"

namespace vortex::compile {

// Switches for whoever looks into generated kernels, read from the environment each time that a policy is compiled:
//   VORTEX_DUMP_KERNELS=FOLDER  leaves HASH.cu, HASH.ptx, HASH.cubin and HASH.resources (registers, stack and spills of
//                               each kernel) there, and HASH.sass where nvdisasm is on the PATH; ignores the cache
//   VORTEX_REFUSE_SPILLS=1      a kernel that spills registers is an error
struct KernelSwitches {
  std::filesystem::path dump_folder;  // empty: nothing is dumped
  bool refuse_spills = false;
};
KernelSwitches kernel_switches();

// Writes what the switches ask for. A folder that cannot be written is the environment's fault.
Status dump_kernels(const KernelSwitches& switches, const std::string& hash, const std::string& source,
                    const CompiledSource& compiled);

// An error of ours that names every kernel that spills, and how much.
Status refuse_spills(const std::vector<KernelResources>& kernels);

}  // namespace vortex::compile
