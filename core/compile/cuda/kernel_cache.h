#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "core/compile/cuda/nvrtc.h"

namespace vortex::compile {

// Compiled kernels on disk by the hash of everything that decides them: HASH.cubin, and HASH.cu beside it to read.
// Entries are checked when they are read, and written under a temporary name that is then renamed, so processes may
// share a folder. A cache is never needed: whatever fails here only costs a compilation.
class KernelCache {
 public:
  explicit KernelCache(std::filesystem::path folder) : folder_(std::move(folder)) {}  // empty: keeps nothing

  // What was kept, without its PTX.
  std::optional<CompiledSource> find(const std::string& hash) const;
  // True if it was kept.
  bool keep(const std::string& hash, const std::string& source, const CompiledSource& compiled) const;

 private:
  std::filesystem::path folder_;
};

}  // namespace vortex::compile
