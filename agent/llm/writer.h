#pragma once

#include <memory>

#include "agent/llm/channel.h"
#include "agent/propose/proposer.h"

namespace vortex::agent {

// A proposer that asks `channel` for policies: one question a batch, answered with a variant for each of its slots, and
// up to `repairs` questions for a slot whose policy was refused. Seeds come first, as they are. Hypotheses go to the
// notebook before their policy is evaluated, verdicts after. Every reply is a row: a resumed search asks nothing twice.
Result<std::unique_ptr<Proposer>> make_writer(const ProposerSetup& setup, std::unique_ptr<Channel> channel);

// Language models over HTTP; models.h.
Result<std::unique_ptr<Proposer>> make_llm_proposer(const ProposerSetup& setup);
// Any program: context as JSON on its standard input, the reply on its standard output.
Result<std::unique_ptr<Proposer>> make_command_proposer(const ProposerSetup& setup);
// Replies kept in a folder (recording.h).
Result<std::unique_ptr<Proposer>> make_recorded_proposer(const ProposerSetup& setup);

}  // namespace vortex::agent
