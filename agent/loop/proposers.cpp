#include "agent/loop/proposers.h"

#include <array>

#include "agent/llm/writer.h"
#include "agent/propose/evolver.h"
#include "base/text.h"

namespace vortex::agent {
namespace {

struct Registration {
  std::string_view name;
  Result<std::unique_ptr<Proposer>> (*make)(const ProposerSetup& setup);
};

constexpr std::array kProposers = {
    Registration{"evolve", [](const ProposerSetup&) -> Result<std::unique_ptr<Proposer>> { return make_evolver(); }},
    Registration{"random",
                 [](const ProposerSetup&) -> Result<std::unique_ptr<Proposer>> { return make_random_proposer(); }},
    Registration{"llm", make_llm_proposer},
    Registration{"command", make_command_proposer},
    Registration{"recorded", make_recorded_proposer},
};

}  // namespace

Result<std::unique_ptr<Proposer>> make_proposer(std::string_view name, const ProposerSetup& setup) {
  for (const Registration& registration : kProposers) {
    if (registration.name == name) { return registration.make(setup); }
  }
  const auto nearest = nearest_word(name, proposer_names());
  return candidate_error("unknown proposer: " + std::string(name),
                         nearest ? "did you mean " + *nearest + "?" : "known: " + join(proposer_names(), ", "));
}

std::vector<std::string> proposer_names() {
  std::vector<std::string> names;
  for (const Registration& registration : kProposers) { names.emplace_back(registration.name); }
  return names;
}

}  // namespace vortex::agent
