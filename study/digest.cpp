#include "study/digest.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "study/held_out.h"

namespace vortex::study {
namespace {

// Of very many candidates that were asked on held-out problems few are finalists.
std::vector<int64_t> finalists_of(const RunView& view) {
  std::map<AskedAt, int64_t> asked;
  for (const BoardLine& line : view.board.lines()) {
    if (line.confirmed && !line.is_dense()) { asked[line.asked] = line.candidate; }
  }
  if (asked.empty()) { return {}; }
  std::vector<int64_t> in_order;
  for (const auto& [at, candidate] : asked) { in_order.push_back(candidate); }
  return asked_sequence(view.board.standing().archive(), sequence_rules(view.options), in_order);
}

Result<History> read_few(const RunView& view, const std::set<int64_t>& candidates) {
  History few;
  few.run = view.run;
  for (const int64_t id : candidates) {
    VORTEX_ASSIGN(CandidateHistory candidate, read_candidate(view.store, id));
    VORTEX_ASSIGN(candidate.parents, view.reader.lineage({id, id}));
    few.candidates.push_back(std::move(candidate));
  }
  return few;
}

}  // namespace

Result<Digest> read_digest(const std::string& workspace, const std::string& name) {
  VORTEX_ASSIGN(const std::unique_ptr<db::Store> store, db::Store::open_read_only(workspace));
  VORTEX_ASSIGN(const db::Run run, find_run(*store, name));
  return read_digest(workspace, run);
}

Result<Digest> read_digest(const std::string& workspace, const db::Run& run) {
  constexpr int64_t kPiece = 2000;  // candidates: some tens of megabytes
  VORTEX_ASSIGN(const SearchOptions options, options_of(run));
  Digest digest{run, options, Board(options), nullptr, nullptr};
  VORTEX_ASSIGN(digest.store, db::Store::open_read_only(workspace));
  VORTEX_ASSIGN(digest.reader, db::RunReader::open(workspace, run.id));
  VORTEX_ASSIGN(const db::RunReader::Range all, digest.reader->candidate_range());
  for (int64_t first = all.first; first <= all.last; first += kPiece) {
    const int64_t last = std::min(all.last, first + kPiece - 1);
    VORTEX_ASSIGN(const std::vector<CandidateHistory> piece, read_range(*digest.reader, {first, last}));
    for (const CandidateHistory& candidate : piece) { digest.board.update(candidate); }
  }
  digest.board.settle();
  return digest;
}

Result<Shown> read_shown(const RunView& view, Undecided undecided) {
  const Standing& standing = view.board.standing();
  const Archive& archive = standing.archive();
  std::vector<Archive::Undecided> open;
  if (undecided == Undecided::kShown) { open = archive.undecided(); }
  const std::vector<int64_t> finalists = finalists_of(view);
  std::set<int64_t> ids(finalists.begin(), finalists.end());
  for (const size_t i : archive.front()) { ids.insert(archive.points()[i].candidate); }
  for (const Archive::Undecided& one : open) { ids.insert(archive.points()[one.point].candidate); }
  if (view.board.dense() != 0) { ids.insert(view.board.dense()); }
  Shown shown;
  VORTEX_ASSIGN(shown.few, read_few(view, ids));
  shown.claims = claims_on(shown.few, view.options, standing, finalists);
  shown.rows = front_rows(shown.few, view.options, standing, shown.claims, open);
  return shown;
}

Status add_ancestors(const RunView& view, History& history) {
  std::set<int64_t> known;
  for (const CandidateHistory& candidate : history.candidates) { known.insert(candidate.row.id); }
  for (size_t i = 0; i < history.candidates.size(); ++i) {  // the list grows meanwhile
    const int64_t id = history.candidates[i].row.id;
    VORTEX_ASSIGN(history.candidates[i].parents, view.reader.lineage({id, id}));
    const std::vector<db::LineageEdge> parents = history.candidates[i].parents;
    for (const db::LineageEdge& edge : parents) {
      if (!known.insert(edge.parent).second) { continue; }
      VORTEX_ASSIGN(db::Candidate row, find_candidate(view.store, edge.parent));
      history.candidates.push_back({std::move(row), {}, {}, {}});
    }
  }
  return ok_status();
}

}  // namespace vortex::study
