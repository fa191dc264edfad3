#include "base/text.h"
#include "core/compile/executable.h"
#include "evals/ladder/evidence.h"
#include "evals/ladder/stages.h"

namespace vortex::evals {

Result<job::StageResult> run_compile(Session& session) {
  job::StageResult result;
  result.verdict = job::Verdict::kPass;
  result.evidence = evidence_of(session);
  result.evidence["kernels"] = nlohmann::json::array();
  if (session.policy) {
    VORTEX_ASSIGN(const auto executable, compile::compile_cpu(cpu_twin(*session.policy)));
    result.evidence["kernels"] = split_lines(executable->describe());
  }
  return result;
}

}  // namespace vortex::evals
