#include "study/board.h"

#include <algorithm>
#include <cctype>
#include <string_view>

#include "study/retest.h"

namespace vortex::study {
namespace {

std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

// Numbers left out, so that messages of one cause are alike.
std::string cause_of(const std::string& message) {
  std::string cause;
  for (char c : first_line(message)) {
    if (std::isdigit(static_cast<unsigned char>(c)) == 0) {
      cause += c;
    } else if (cause.empty() || cause.back() != '#') {
      cause += '#';
    }
  }
  return cause;
}

template <size_t N>
size_t index_of(const std::array<const char*, N>& names, std::string_view name) {
  return static_cast<size_t>(std::find(names.begin(), names.end(), name) - names.begin());
}

std::string made_by(const CandidateHistory& candidate) {
  constexpr size_t kShown = 120;
  std::string text = first_line(candidate.row.rationale);
  if (!candidate.parents.empty()) { text = candidate.parents.front().operation; }
  if (text.size() <= kShown) { return text; }
  size_t end = kShown;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) {
    --end;  // not within a character
  }
  return text.substr(0, end) + "...";
}

std::string origin_of(const BoardLine& line) { return line.arm == "control" ? "control arm" : line.origin; }

}  // namespace

Board::Board(const SearchOptions& options) : options_(options), standing_(options) {}

const BoardLine* Board::find(int64_t candidate) const {
  const auto found = place_.find(candidate);
  return found == place_.end() ? nullptr : &lines_[found->second];
}

const Point* Board::point(int64_t candidate) const {
  const auto found = points_.find(candidate);
  return found == points_.end() ? nullptr : &standing_.archive().points()[found->second.index];
}

BoardLine Board::line_of(const CandidateHistory& history) const {
  BoardLine line;
  const db::Candidate& row = history.row;
  line.candidate = row.id;
  line.batch = row.batch;
  line.origin = row.origin;
  line.arm = row.arm;
  line.state = row.state;
  line.verdict = row.verdict;
  line.made_by = made_by(history);
  for (const db::StageRow& stage : history.stages) {
    line.seconds += stage.seconds;
    line.known = std::max(line.known, stage.created);
    const bool retest = is_retest(stage.stage);
    line.retests += retest && stage.verdict == "pass" ? 1 : 0;
    if (!retest) { line.stage = stage.stage; }
    const size_t rung = index_of(kRungs, retest ? "retest" : stage.stage);
    const size_t verdict = index_of(kVerdicts, stage.verdict);
    if (rung < kRungs.size() && verdict < kVerdicts.size()) { line.rungs[rung] = static_cast<uint8_t>(verdict + 1); }
    if (stage.verdict != "pass") { line.why = first_line(stage.message); }
  }
  if (line.verdict == "pass" || line.state != "done") { line.why.clear(); }
  const db::StageRow* novelty = last_stage(history, "novelty");
  line.evaluated = novelty != nullptr && novelty->verdict == "pass";
  const db::StageRow* race = last_stage(history, "race");
  if (race != nullptr) {
    const job::Metric accuracy = metric_of(*race, "accuracy");
    if (!accuracy.name.empty()) { line.accuracy = accuracy.value; }
  }
  const db::StageRow* confirm = last_stage(history, "confirm");
  line.confirmed = confirm != nullptr && confirm->blame.empty();
  return line;
}

int Board::failure_of(const CandidateHistory& history) {
  if (history.stages.empty() || history.row.verdict == "pass" || history.row.state != "done") { return -1; }
  const db::StageRow* last = nullptr;
  for (const db::StageRow& row : history.stages) {
    if (row.verdict != "pass") { last = &row; }
  }
  if (last == nullptr) { return -1; }
  const auto [found, is_new] = failure_place_.try_emplace(
      {last->stage, last->verdict, last->blame, cause_of(last->message)}, static_cast<int>(failures_.size()));
  if (is_new) {
    failures_.push_back(
        {last->stage, last->verdict, last->blame, cause_of(last->message), last->message, history.row.id, 0});
  }
  return found->second;
}

void Board::count(const BoardLine& line, int sign) {
  if (line.origin == "dense") { return; }
  candidates_ += sign;
  evaluated_ += line.evaluated ? sign : 0;
  retests_ += sign * line.retests;
  OriginCount& origin = origins_[origin_of(line)];
  origin.proposed += sign;
  origin.passed += line.state == "done" && line.verdict == "pass" ? sign : 0;
  for (size_t rung = 0; rung < kRungs.size(); ++rung) {
    if (line.rungs[rung] > 0) { counts_[rung][line.rungs[rung] - 1u] += sign; }
  }
  if (line.failure >= 0) { failures_[static_cast<size_t>(line.failure)].count += sign; }
}

void Board::update(const CandidateHistory& history) {
  const auto [found, is_new] = place_.try_emplace(history.row.id, lines_.size());
  if (is_new) { lines_.emplace_back(); }
  if (!is_new) { count(lines_[found->second], -1); }
  BoardLine line = line_of(history);
  line.failure = failure_of(history);
  line.evaluated_before = is_new ? evaluated_ : lines_[found->second].evaluated_before;
  count(line, 1);
  if (line.state == "done") {
    unfinished_.erase(line.candidate);
  } else {
    unfinished_.insert(line.candidate);
  }
  standing_.update(history);
  lines_[found->second] = std::move(line);
}

std::vector<int64_t> Board::settle() {
  std::unordered_map<int64_t, Place> before = std::move(points_);
  points_.clear();
  std::vector<int64_t> changed;
  const std::vector<Point>& points = standing_.archive().points();
  for (size_t i = 0; i < points.size(); ++i) {
    const Point& point = points[i];
    const Place place{i, point.speed.ratio.value, point.outcomes.size()};
    points_[point.candidate] = place;
    BoardLine& line = lines_[place_.at(point.candidate)];
    line.accuracy = point.accuracy.value;
    line.speed = point.speed.ratio.value;
    const auto old = before.find(point.candidate);
    const bool same = old != before.end() && old->second.speed == place.speed && old->second.outcomes == place.outcomes;
    if (!same) { changed.push_back(point.candidate); }
    if (old != before.end()) { before.erase(old); }
  }
  for (const auto& [candidate, place] : before) { changed.push_back(candidate); }
  return changed;
}

}  // namespace vortex::study
