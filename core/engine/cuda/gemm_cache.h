// Tuned matrix products on disk, so that a search times its algorithms once.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "core/engine/cuda/gemm_shape.h"

namespace vortex::engine {

// What tuning came to for one shape.
struct TunedProduct {
  bool skinny = false;  // our kernel, with this schedule; else cuBLASLt's algorithm
  int groups = 0;
  int split = 0;
  std::array<uint64_t, 8> algorithm{};
  double seconds = 0;
  double cublas_seconds = 0;
  int timed = 0;
  int differing = 0;
  bool operator==(const TunedProduct&) const = default;
};

// A file a shape, named by everything that the choice follows from. Files are checked when they are read and replaced
// by rename, so processes may share a folder. Never needed: whatever fails here costs a tuning only.
class GemmCache {
 public:
  GemmCache() = default;  // keeps nothing
  // `context` says what the choice depends on beside the shape: device, driver, library, build, model, rules of choice.
  GemmCache(std::filesystem::path folder, std::string context)
      : folder_(std::move(folder)), context_(std::move(context)) {}

  std::optional<TunedProduct> find(const GemmShape& shape) const;
  void keep(const GemmShape& shape, const TunedProduct& product) const;

 private:
  std::string identity_of(const GemmShape& shape) const;
  std::filesystem::path path_of(const std::string& identity) const;
  std::filesystem::path folder_;
  std::string context_;
};

}  // namespace vortex::engine
