#include "agent/llm/writer.h"

namespace vortex::agent {

Result<std::unique_ptr<Proposer>> make_llm_proposer(const ProposerSetup&) {
  return internal_error("not yet");
}

}  // namespace vortex::agent
