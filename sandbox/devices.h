#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"

namespace vortex::sandbox {

// A GPU of this machine.
struct Gpu {
  int minor = 0;           // of its device node, /dev/nvidia<minor>
  std::string name;        // "NVIDIA H100 80GB HBM3"; empty: not known
  std::string visible_as;  // what CUDA_VISIBLE_DEVICES is to say for a process that shall see it alone
  std::vector<int> cores;  // of its NUMA node; empty: not known
};

// The GPUs whose device nodes this process can open, in the order of their PCI addresses, as the driver tells of them
// below <root>/proc, <root>/sys and <root>/dev (root is / but in tests). `visible` is this process's own
// CUDA_VISIBLE_DEVICES, null where it is not set: numbers (in that order) and UUIDs, of which the first that names
// nothing ends the list.
std::vector<Gpu> find_gpus(const std::filesystem::path& root, const char* visible);

// Each `size` of them together, as one: that which the first is, visible as all. Those that are left over are not used.
std::vector<Gpu> in_groups(const std::vector<Gpu>& gpus, int size);

// Can each of `workers` workers have `size` of so many GPUs to itself? Where a model is on one GPU (size 1) workers may
// share one. What cannot be is the caller's fault; without any GPU the workers themselves say so.
Status check_groups(size_t gpus, int size, int workers);

// "0-3,8" -> 0, 1, 2, 3, 8. What cannot be read is left out.
std::vector<int> parse_cores(const std::string& list);

// Cores that this process may run on.
std::vector<int> own_cores();

// What one of several workers that run side by side may use.
struct Share {
  int gpu = -1;            // index into the GPUs that were shared out; -1: none
  int sharers = 1;         // workers on that GPU, this one among them; 1 where there is none
  std::string visible_as;  // of that GPU
  std::vector<int> cores;  // to run on; empty: any
};

// One share for each of `workers` workers. GPUs go round; the cores of a GPU's NUMA node, as far as they are among
// `own`, are divided among the workers whose GPUs are on that node.
std::vector<Share> share_out(const std::vector<Gpu>& gpus, const std::vector<int>& own, int workers);

}  // namespace vortex::sandbox
