#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "core/vflow/policy.h"

namespace vortex::compile {

// A policy as CUDA source and what launching its kernels takes:
//   vortex_select(Params)  one thread block, or cluster of them, a row
//   vortex_update(Params)  one thread block a (request, new block, kv head); absent where nothing is stored
struct GeneratedPolicy {
  std::string source;
  bool updates = false;
  bool saves = false;
  int once_bytes = 0;       // shared memory of vortex_select: this, and the larger of `teams_bytes`
  int teams_bytes = 0;      // and what the choice needs: key_bytes a block
  double key_bytes = 4;     // of shared memory a block of the row
  int update_bytes = 0;     // shared memory of vortex_update
  int64_t work_floats = 0;  // workspace of a row: a block
  int64_t row_floats = 0;   // and a row
  // Where the workspace of a row keeps the scores of the first list: this many floats a block before them. Nothing
  // where they are read elsewhere (a field, a reshaped value).
  std::optional<int64_t> scores_offset;
  int pages_at_a_time = 1;  // of a thread block
  std::vector<int> own_ks;  // per list that is chosen from: its own k, 0 for the row's budget
  std::vector<float> constants;
};

inline constexpr int kPolicyThreads = 128;

// Total for every policy that compile_cpu takes, and for fp8 fields and KV.
Result<GeneratedPolicy> generate_cuda(const vflow::Policy& policy);

// Headers that generated source may include, by the names it uses: part of the binary (embedded at build time).
const std::vector<std::pair<std::string, std::string>>& embedded_headers();

}  // namespace vortex::compile
