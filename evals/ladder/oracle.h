// The oracle, in a shared object of its own beside the program: it is what needs LibTorch, whose start costs 0.4 s and
// 165 MB, and `validate` alone asks it.
#pragma once

#include <cstdint>
#include <future>
#include <string>

#include "base/result.h"
#include "core/compile/reference/agreement.h"

namespace vortex::evals {

struct OracleQuestion {
  const vflow::Policy& policy;
  const compile::Executable& executable;
  uint64_t seed = 0;
  compile::AgreementOptions options;
};

struct OracleAnswer {
  compile::AgreementReport report;
  std::string compared;  // the report in words
};

// Compares with the oracle, as compile::compare_with_oracle() does. A missing or foreign shared object is the
// environment's fault.
Result<OracleAnswer> ask_oracle(const OracleQuestion& question);

// Loads it on a thread of its own, beside tokenizer and model, which load on one; who asks meanwhile waits. The future
// waits in its destructor. What goes wrong is told when it is asked.
std::future<void> load_oracle_ahead();

// What the shared object exports, under the name kOracleEntry.
using OracleEntry = void (*)(const OracleQuestion& question, Result<OracleAnswer>& answer);
inline constexpr const char* kOracleEntry = "vortex_ask_oracle";

}  // namespace vortex::evals
