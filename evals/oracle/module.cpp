// The shared object that holds the oracle and LibTorch; see evals/ladder/oracle.h.
#include <exception>

#include "evals/ladder/oracle.h"

namespace vortex::evals {
namespace {

Result<OracleAnswer> compare(const OracleQuestion& question) {
  try {
    VORTEX_ASSIGN(compile::AgreementReport report,
                  compile::compare_with_oracle(question.policy, question.executable, question.seed, question.options));
    std::string compared = compile::describe(report);
    return OracleAnswer{std::move(report), std::move(compared)};
  } catch (const std::exception& exception) {
    return internal_error(std::string("the oracle threw: ") + exception.what());
  }
}

}  // namespace
}  // namespace vortex::evals

extern "C" __attribute__((visibility("default"))) void vortex_ask_oracle(
    const vortex::evals::OracleQuestion& question, vortex::Result<vortex::evals::OracleAnswer>& answer) {
  answer = vortex::evals::compare(question);
}
