#include "agent/proposer.h"

#include <array>

#include "agent/evolver.h"
#include "core/base/text.h"

namespace vortex::agent {
namespace {

struct Registration {
  std::string_view name;
  std::unique_ptr<Proposer> (*make)();
};

constexpr std::array kProposers = {
    Registration{"evolve", make_evolver},
    Registration{"random", make_random_proposer},
};

}  // namespace

Result<std::unique_ptr<Proposer>> make_proposer(std::string_view name) {
  for (const Registration& registration : kProposers) {
    if (registration.name == name) return registration.make();
  }
  const auto nearest = nearest_word(name, proposer_names());
  return candidate_error("unknown proposer: " + std::string(name),
                         nearest ? "did you mean " + *nearest + "?" : "known: " + join(proposer_names(), ", "));
}

std::vector<std::string> proposer_names() {
  std::vector<std::string> names;
  for (const Registration& registration : kProposers) names.emplace_back(registration.name);
  return names;
}

}  // namespace vortex::agent
