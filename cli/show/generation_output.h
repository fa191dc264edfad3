#pragma once

#include <memory>
#include <string>
#include <vector>

#include "cli/output.h"
#include "core/model/tokenizer.h"
#include "job/generation.h"

namespace vortex::cli {

// Shows what a worker generates: text as it comes, several prompts one after the other; comparisons and JSON lines as
// each prompt is done; one JSON document at the end.
class GenerationOutput {
 public:
  virtual ~GenerationOutput() = default;
  virtual void take(const job::NewToken& token) = 0;
  // Behind the last token of a run over all prompts.
  virtual void end_run() {}
  // No more comes, maybe too early.
  virtual void close() {}
};

// `policy_name` is empty for dense attention alone; with `compare` both run. All references must outlive the output.
std::unique_ptr<GenerationOutput> make_generation_output(Format format, const std::vector<std::string>& prompts,
                                                         const std::string& policy_name, bool compare,
                                                         const model::Tokenizer& tokenizer);

}  // namespace vortex::cli
