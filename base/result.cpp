#include "base/result.h"

namespace vortex {

std::string_view blame_name(Blame blame) {
  switch (blame) {
    case Blame::kCandidate:
      return "candidate";
    case Blame::kEnvironment:
      return "environment";
    case Blame::kInternal:
      return "internal";
  }
  return "internal";
}

std::optional<Blame> blame_from_name(std::string_view name) {
  for (Blame blame : {Blame::kCandidate, Blame::kEnvironment, Blame::kInternal}) {
    if (blame_name(blame) == name) { return blame; }
  }
  return std::nullopt;
}

int exit_code(Blame blame) {
  switch (blame) {
    case Blame::kCandidate:
      return 1;
    case Blame::kEnvironment:
      return 3;
    case Blame::kInternal:
      return 2;
  }
  return 2;
}

}  // namespace vortex
