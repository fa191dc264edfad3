#include "study/board.h"

#include <algorithm>
#include <cctype>
#include <string_view>

#include "base/text.h"
#include "study/retest.h"

namespace vortex::study {
namespace {

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

constexpr auto kRetestRung = static_cast<size_t>(job::Stage::kRace) + 1;

// Stages behind the race stand one rung higher than in the ladder.
std::optional<size_t> rung_of(db::StageRound stage) {
  if (is_retest(stage)) { return kRetestRung; }
  if (is_aside(stage)) { return std::nullopt; }
  const auto place = static_cast<size_t>(stage.stage);
  return place < kRetestRung ? place : place + 1;
}

std::string made_by(const CandidateHistory& candidate) {
  constexpr size_t kShown = 120;
  if (!candidate.parents.empty()) { return clipped(candidate.parents.front().operation, kShown); }
  return clipped(first_line(candidate.row.rationale), kShown);
}

}  // namespace

std::string_view rung_name(size_t rung) {
  if (rung == kRetestRung) { return "retest"; }
  return job::kLadder[rung < kRetestRung ? rung : rung - 1].name;
}

Board::Board(const SearchOptions& options) : options_(options), standing_(options) {}

const BoardLine* Board::find(int64_t candidate) const {
  const auto found = place_.find(candidate);
  return found == place_.end() ? nullptr : &lines_[found->second];
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
    const bool passed = stage.verdict == job::Verdict::kPass;
    line.retests += retest && passed ? 1 : 0;
    if (!retest) { line.stage = stage.stage; }
    if (const auto rung = rung_of(stage.stage); rung && !is_cut_off(stage.message)) {
      line.rungs[*rung] = stage.verdict;
    }
    if (!passed) { line.why = first_line(stage.message); }
  }
  if (line.has_passed() || !line.is_done()) { line.why.clear(); }
  const db::StageRow* novelty = last_stage(history, job::Stage::kNovelty);
  const bool in_worker = std::any_of(history.stages.begin(), history.stages.end(), [](const db::StageRow& stage) {
    return job::stage_info(stage.stage.stage).in_worker;
  });
  line.evaluated = novelty != nullptr && novelty->verdict == job::Verdict::kPass && in_worker;
  const db::StageRow* race = last_stage(history, job::Stage::kRace);
  if (race != nullptr) {
    const job::Metric accuracy = metric_of(*race, "accuracy");
    if (!accuracy.name.empty()) { line.accuracy = accuracy.value; }
  }
  const db::StageRow* confirm = last_stage(history, job::Stage::kConfirm);
  line.confirmed = confirm != nullptr && !confirm->blame;
  line.asked = asked_at(history).value_or(AskedAt());
  return line;
}

int Board::failure_of(const CandidateHistory& history) {
  if (history.stages.empty() || has_passed(history.row) || !is_done(history.row)) { return -1; }
  const db::StageRow* last = nullptr;
  for (const db::StageRow& row : history.stages) {
    if (row.verdict != job::Verdict::kPass && !is_cut_off(row.message)) { last = &row; }
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
  if (line.is_dense()) { return; }
  candidates_ += sign;
  evaluated_ += line.evaluated ? sign : 0;
  retests_ += sign * line.retests;
  OriginCount& origin = origins_[origin_name(line.origin, line.arm)];
  origin.proposed += sign;
  origin.passed += line.is_done() && line.has_passed() ? sign : 0;
  for (size_t rung = 0; rung < kRungs; ++rung) {
    if (const auto verdict = line.rungs[rung]) { counts_[rung][static_cast<size_t>(*verdict)] += sign; }
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
  if (line.is_done()) {
    unfinished_.erase(line.candidate);
  } else {
    unfinished_.insert(line.candidate);
  }
  if (line.is_dense()) { dense_ = line.candidate; }
  standing_.update(history);
  lines_[found->second] = std::move(line);
}

std::vector<int64_t> Board::settle() {
  std::vector<int64_t> moved;
  for (const int64_t candidate : standing_.take_changed()) {
    const Point* point = standing_.archive().find(candidate);
    if (point == nullptr) {
      if (points_.erase(candidate) > 0) { moved.push_back(candidate); }
      continue;
    }
    BoardLine& line = lines_[place_.at(candidate)];
    line.accuracy = point->accuracy.value;
    line.speed = point->speed.ratio.value;
    const Settled now{point->speed.ratio.value, point->outcomes.size()};
    const auto [old, is_new] = points_.try_emplace(candidate, now);
    if (!is_new && old->second == now) { continue; }
    old->second = now;
    moved.push_back(candidate);
  }
  return moved;
}

}  // namespace vortex::study
