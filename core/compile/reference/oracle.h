#pragma once

#include <span>
#include <vector>

#include "base/result.h"
#include "core/compile/executable.h"
#include "core/vflow/policy.h"

namespace vortex::compile {

// The meaning of a policy, as the plainest LibTorch program of each operation, in float64, rounded exactly where
// stages.h says. Every other backend is tested against it. Beside each value stands a bound on how far a correct
// float32 implementation may be from it (oracle_ops.h).

// Values of one row, [pages][rows][cols], with their bounds; a bound is infinite where float32 overflows or a NaN
// makes no promise possible.
struct OracleValue {
  std::vector<double> value;
  std::vector<double> error;
};

// What a program stores to a field, rounded to the field's type: one entry a page.
struct OracleWrite {
  int field = -1;
  int kv_head = 0;
  std::vector<int32_t> pages;
  OracleValue content;
};

// One list of scores, pages [0, n - eos), and how many of its middle pages are chosen.
struct OracleScores {
  OracleValue scores;
  int k = 0;
  double tolerance = 0.0;
};

struct OracleRow {
  bool everything_fits = true;
  int blocks = 0;
  std::vector<OracleScores> lists;  // one, or two for Union
  std::vector<int32_t> chosen;      // ascending; with approxTopK the exact choice
  std::vector<OracleWrite> writes;  // what Save stores
};

enum class OraclePrecision { kFloat64, kFloat32 };

// forward_cache for these physical pages, all kv heads of each. Stores nothing: gives what would be stored.
// `cache_pages` is the number of physical pages that the cache's tensors hold.
Result<std::vector<OracleWrite>> oracle_update(const vflow::Policy& policy, const LayerCache& cache,
                                               int64_t cache_pages, std::span<const int32_t> pages,
                                               OraclePrecision precision = OraclePrecision::kFloat64);

// forward_indexer for every row of the batch. Stores nothing.
Result<std::vector<OracleRow>> oracle_select(const vflow::Policy& policy, const LayerCache& cache, int64_t cache_pages,
                                             const IndexerBatch& batch,
                                             OraclePrecision precision = OraclePrecision::kFloat64);

}  // namespace vortex::compile
