#include "study/lineage.h"

#include <set>
#include <utility>

namespace vortex::study {
namespace {

std::string describe(const CandidateHistory& candidate) {
  std::string text = std::to_string(candidate.row.id) + "  " + std::string(name_of(candidate.row.origin)) + ", " +
                     std::string(outcome_name(candidate.row.state, candidate.row.verdict));
  if (candidate.parents.empty() && !candidate.row.rationale.empty()) { text += ": " + candidate.row.rationale; }
  return text;
}

}  // namespace

std::vector<Ancestor> ancestry(const History& history, int64_t candidate) {
  std::vector<Ancestor> lines;
  std::set<int64_t> seen;
  std::vector<Ancestor> waiting = {{0, candidate, 0, "", false}};
  while (!waiting.empty()) {
    Ancestor line = std::move(waiting.back());
    waiting.pop_back();
    line.repeated = !seen.insert(line.candidate).second;
    lines.push_back(line);
    const CandidateHistory* entry = history.find(line.candidate);
    if (line.repeated || entry == nullptr) { continue; }
    for (auto edge = entry->parents.rbegin(); edge != entry->parents.rend(); ++edge) {
      waiting.push_back({line.depth + 1, edge->parent, line.candidate, edge->operation, false});
    }
  }
  return lines;
}

std::string ancestry_text(const History& history, int64_t candidate) {
  std::string text;
  for (const Ancestor& line : ancestry(history, candidate)) {
    const CandidateHistory* entry = history.find(line.candidate);
    text += std::string(2 * static_cast<size_t>(line.depth), ' ');
    if (!line.operation.empty()) { text += "<- " + line.operation + ":  "; }
    text += entry == nullptr ? std::to_string(line.candidate) : describe(*entry);
    text += line.repeated ? "  (see above)\n" : "\n";
  }
  return text;
}

}  // namespace vortex::study
