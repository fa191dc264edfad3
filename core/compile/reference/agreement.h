#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "core/compile/executable.h"
#include "core/vflow/policy.h"

namespace vortex::compile {

struct AgreementOptions {
  int cases = 5;           // batches; each takes the next InputKind
  int requests = 4;        // of a batch: empty, one token, everything fits, and more pages than the budget
  int steps = 2;           // selections in a row, so that Save and Load carry something
  int kv_heads = 2;        // of a GQA program; one that takes another number is asked with that (Executable::kv_heads)
  int most_blocks = 4096;  // a budget that covers rows this long leaves nothing to score
  std::string blame = "the executable";  // named in failures
};

// What was compared, so that a report that compared nothing cannot pass for agreement.
struct AgreementReport {
  int rows_scored = 0;
  int rows_fitting = 0;          // everything fits the budget: all pages, no scores, no Save
  int same_choice = 0;           // scored rows whose pages are exactly the oracle's
  int rows_unseen = 0;           // scored rows whose scores stay inside the kernel: the choice alone was checked
  int64_t scores_compared = 0;   // with a finite bound
  int64_t scores_unbounded = 0;  // float32 may overflow or the value is no number: nothing promised
  int64_t scores_identical = 0;  // equal to the oracle's rounded score
  int64_t field_values_compared = 0;
  int64_t field_values_unbounded = 0;
  std::vector<std::string> failures;  // the first few, in words; empty means agreement

  bool agrees() const { return failures.empty(); }
};

// Compares an executable, wherever its kernels run, with the oracle on randomised requests: shapes from the policy,
// physical pages scattered, everything that must not be read (unfinished pages' fields, unused pages, positions past a
// sequence's end, unused table slots) poisoned with NaN or out-of-range numbers. Checks, for every batch:
//  - fields written by forward_cache and by Save lie within the oracle's bound, and nothing else in memory changed;
//  - scores lie within the oracle's bound (oracle_ops.h), elementwise;
//  - every chosen page could be among the best k, and every page that must be is chosen: page p must be chosen when
//    fewer than k pages could beat it, and must not when k pages certainly do; scores count as intervals
//    [score - bound, score + bound], equal exact scores go to the lower page. approxTopK: the right number of pages, at
//    least ceil((1 - tolerance) k) of which could be among the best k;
//  - reserved pages are chosen; positions ascend; the true last block comes last;
//  - a second run gives the same bits.
// Fails only if the oracle or the device does. Same seed, same comparison.
Result<AgreementReport> compare_with_oracle(const vflow::Policy& policy, const Executable& executable, uint64_t seed,
                                            const AgreementOptions& options = {});

// The report in one line for logs and evidence, and a line a failure.
std::string describe(const AgreementReport& report);

}  // namespace vortex::compile
