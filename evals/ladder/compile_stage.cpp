#include "base/text.h"
#include "core/compile/executable.h"
#include "evals/ladder/evidence.h"
#include "evals/ladder/stages.h"

namespace vortex::evals {

Result<job::StageResult> run_compile(Session& session) {
  job::StageResult result;
  result.verdict = job::Verdict::kPass;
  result.evidence = evidence_of(session);
  const std::shared_ptr<const compile::Executable> executable = session.engine->executable();
  result.evidence["stages"] = nlohmann::json::array();
  if (executable != nullptr) { result.evidence["stages"] = split_lines(executable->describe()); }
  return result;
}

}  // namespace vortex::evals
