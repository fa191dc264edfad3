#include "study/board.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "db/run_reader.h"
#include "study/digest.h"
#include "study/facts.h"
#include "study/front.h"
#include "study/lineage.h"
#include "study/loaded_run.h"
#include "tests/web/synthetic_run.h"

namespace vortex::study {
namespace {

namespace fs = std::filesystem;

class BoardTest : public testing::Test {
 protected:
  void SetUp() override {
    workspace_ = fs::temp_directory_path() / ("board-" + std::to_string(::getpid()));
    fs::remove_all(workspace_);
    web::SyntheticOptions options;
    options.candidates = 150;
    options.model_path = std::string(VORTEX_SOURCE_DIR) + "/models/chain-4m";
    options.policies = std::string(VORTEX_SOURCE_DIR) + "/examples/policies";
    const Status written = web::write_synthetic_run(workspace_, options);
    ASSERT_TRUE(written.ok()) << written.error().message;
    store_ = std::move(*db::Store::open_read_only(workspace_));
    run_ = store_->runs()->front();
    options_ = *options_of(run_);
    history_ = *read_history(*store_, run_);
  }
  void TearDown() override { fs::remove_all(workspace_); }

  fs::path workspace_;
  std::unique_ptr<db::Store> store_;
  db::Run run_;
  SearchOptions options_;
  History history_;
};

TEST_F(BoardTest, SaysTheSameAsTheWholeHistory) {
  Board board(options_);
  for (const CandidateHistory& candidate : history_.candidates) { board.update(candidate); }
  board.settle();
  const Standing standing = standing_of(history_, options_);
  ASSERT_GT(standing.front().size(), 1u) << "dense attention and another";
  ASSERT_EQ(board.standing().archive().front(), standing.archive().front());
  EXPECT_EQ(board.standing().archive().points().size(), standing.archive().points().size());
  int proposed = 0;
  for (const CandidateHistory& candidate : history_.candidates) { proposed += is_dense(candidate.row) ? 0 : 1; }
  EXPECT_EQ(board.candidates(), proposed);
  int failed = 0;
  for (const FailureGroup& group : board.failures()) { failed += group.count; }
  int passed = 0;
  for (const auto& [name, origin] : board.origins()) { passed += origin.passed; }
  EXPECT_EQ(failed + passed, proposed) << "each candidate passed, or ended for a reason";
}

// What the page shows of a front is made from its members alone.
TEST_F(BoardTest, TheFrontOfItsMembersIsTheFrontOfAll) {
  Board board(options_);
  for (const CandidateHistory& candidate : history_.candidates) { board.update(candidate); }
  board.settle();
  History few;
  few.run = run_;
  for (const CandidateHistory& candidate : history_.candidates) {
    if (board.on_front(candidate.row.id)) { few.candidates.push_back(candidate); }
  }
  const auto members = [&](const History& history, const Standing& standing) {
    std::vector<FrontRow> rows = front_rows(history, options_, standing);
    std::erase_if(rows,
                  [](const FrontRow& row) { return row.undecided; });  // no members: the page shows them as points
    return rows;
  };
  const std::vector<FrontRow> all = members(history_, standing_of(history_, options_));
  const std::vector<FrontRow> from_few = members(few, board.standing());
  ASSERT_EQ(from_few.size(), all.size());
  for (size_t i = 0; i < all.size(); ++i) {
    EXPECT_EQ(from_few[i].id, all[i].id);
    EXPECT_EQ(from_few[i].accuracy.lo, all[i].accuracy.lo);
    EXPECT_EQ(from_few[i].speed.value, all[i].speed.value);
    EXPECT_EQ(from_few[i].front_probability, all[i].front_probability);
  }
}

// `front`, `report` and `status` read a digest: a line of most candidates, all rows of few.
TEST_F(BoardTest, ADigestShowsTheFrontOfTheWholeHistory) {
  const Result<Digest> digest = read_digest(workspace_.string(), run_.name);
  ASSERT_TRUE(digest.ok()) << digest.error().message;
  const Result<Shown> shown = read_shown(digest->view(), Undecided::kShown);
  ASSERT_TRUE(shown.ok()) << shown.error().message;
  const std::vector<FrontRow> whole = front_rows(history_, options_);
  ASSERT_EQ(shown->rows.size(), whole.size());
  for (size_t i = 0; i < whole.size(); ++i) {
    EXPECT_EQ(shown->rows[i].id, whole[i].id);
    EXPECT_EQ(shown->rows[i].undecided, whole[i].undecided);
    EXPECT_EQ(shown->rows[i].made_by, whole[i].made_by);
    EXPECT_EQ(shown->rows[i].accuracy.lo, whole[i].accuracy.lo);
    EXPECT_EQ(shown->rows[i].dense_accuracy.value, whole[i].dense_accuracy.value);
    EXPECT_EQ(shown->rows[i].speed.hi, whole[i].speed.hi);
    EXPECT_EQ(shown->rows[i].tokens_per_s.has_value(), whole[i].tokens_per_s.has_value());
    EXPECT_EQ(shown->rows[i].front_probability, whole[i].front_probability);
    ASSERT_EQ(shown->rows[i].claim.has_value(), whole[i].claim.has_value());
    if (whole[i].claim) { EXPECT_EQ(shown->rows[i].claim->difference.lo, whole[i].claim->difference.lo); }
  }
  const std::vector<Claim> claims = claims_of(history_, options_, standing_of(history_, options_));
  EXPECT_EQ(shown->claims.size(), claims.size());
}

TEST_F(BoardTest, FactsCountWhatTheWholeHistoryHolds) {
  const Result<Digest> digest = read_digest(workspace_.string(), run_.name);
  ASSERT_TRUE(digest.ok()) << digest.error().message;
  const Result<Facts> facts = facts_of(digest->view(), Undecided::kShown);
  ASSERT_TRUE(facts.ok()) << facts.error().message;
  double seconds = 0;
  std::map<std::string, int> reached;
  for (const CandidateHistory& candidate : history_.candidates) {
    for (const db::StageRow& row : candidate.stages) { seconds += row.seconds; }
    if (is_dense(candidate.row)) { continue; }
    for (const job::StageInfo& info : job::kLadder) {
      if (last_stage(candidate, info.stage) != nullptr) { ++reached[std::string(info.name)]; }
    }
  }
  double told = 0;
  for (const auto& [stage, spent] : facts->stage_seconds) { told += spent; }
  EXPECT_NEAR(told, seconds, 1e-6 * seconds);
  for (const auto& [stage, count] : reached) {
    int sum = 0;
    for (const auto& [verdict, number] : facts->funnel.at(stage)) { sum += number; }
    EXPECT_EQ(sum, count) << stage;
  }
  // The family of each member down to a seed, though most of it is on no front.
  for (const FrontRow& row : facts->front) {
    if (row.is_dense()) { continue; }
    for (const Ancestor& line : ancestry(facts->few, row.id)) {
      const CandidateHistory* known = facts->few.find(line.candidate);
      ASSERT_NE(known, nullptr) << line.candidate;
      EXPECT_EQ(known->parents.size(), history_.find(line.candidate)->parents.size());
    }
  }
}

TEST_F(BoardTest, ATakingInTwiceCountsOnce) {
  Board once(options_);
  Board twice(options_);
  for (const CandidateHistory& candidate : history_.candidates) {
    once.update(candidate);
    CandidateHistory early = candidate;  // as it was when its first row came in
    early.row.state = db::CandidateState::kRunning;
    early.row.verdict.reset();
    if (early.stages.size() > 1) { early.stages.resize(1); }
    twice.update(early);
    EXPECT_EQ(twice.point(candidate.row.id), nullptr) << "what has not ended is no point";
    twice.update(candidate);
  }
  EXPECT_EQ(once.settle().size(), once.standing().archive().points().size()) << "all are new";
  EXPECT_EQ(once.settle().size(), 0u) << "nothing moved since";
  twice.settle();
  EXPECT_EQ(twice.candidates(), once.candidates());
  EXPECT_EQ(twice.evaluated(), once.evaluated());
  EXPECT_TRUE(twice.unfinished().empty());
  EXPECT_EQ(twice.standing().archive().front(), once.standing().archive().front());
  for (size_t rung = 0; rung < kRungs; ++rung) {
    for (const job::Verdict verdict : job::kVerdicts) {
      EXPECT_EQ(twice.rung_count(rung, verdict), once.rung_count(rung, verdict)) << rung_name(rung);
    }
  }
}

// What is known is added to, candidate by candidate; worked out at once it must be the same.
TEST_F(BoardTest, AskedAfterEveryCandidateItSaysTheSame) {
  Standing steps(options_);
  size_t told = 0;
  for (const CandidateHistory& candidate : history_.candidates) {
    steps.update(candidate);
    told += steps.take_changed().size();
  }
  const Standing whole = standing_of(history_, options_);
  const std::vector<Point>& a = steps.archive().points();
  const std::vector<Point>& b = whole.archive().points();
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    EXPECT_EQ(a[i].candidate, b[i].candidate);
    EXPECT_EQ(a[i].speed.ratio.lo, b[i].speed.ratio.lo);
    EXPECT_EQ(a[i].accuracy.hi, b[i].accuracy.hi);
    EXPECT_EQ(steps.archive().find(a[i].candidate), &a[i]);
  }
  EXPECT_EQ(steps.archive().front(), whole.archive().front());
  EXPECT_EQ(steps.spread().deviation, whole.spread().deviation);
  EXPECT_GE(told, a.size());
  // A member that crashes on held-out problems is none any more, and the others are judged without it.
  const size_t last = whole.archive().front().back();
  CandidateHistory crashed = *history_.find(b[last].candidate);
  crashed.row.verdict = job::Verdict::kError;
  steps.update(crashed);
  const std::vector<int64_t> changed = steps.take_changed();
  EXPECT_EQ(std::count(changed.begin(), changed.end(), crashed.row.id), 1);
  EXPECT_EQ(steps.archive().find(crashed.row.id), nullptr);
  EXPECT_FALSE(steps.archive().on_front(crashed.row.id));
  EXPECT_TRUE(steps.take_changed().empty()) << "nothing changed since";
}

// The reader gives the rows that the store gives, in pieces.
TEST_F(BoardTest, RowsComeInPieces) {
  const auto reader = std::move(*db::RunReader::open(workspace_, run_.id));
  const db::RunReader::Range range = *reader->candidate_range();
  size_t stages = 0;
  size_t outcomes = 0;
  for (int64_t first = range.first; first <= range.last; first += 7) {
    const db::RunReader::Range piece{first, std::min(range.last, first + 6)};
    stages += reader->stages(piece)->size();
    outcomes += reader->outcomes(piece)->size();
  }
  EXPECT_EQ(stages, store_->stages_of_run(run_.id)->size());
  const std::vector<db::OutcomeRow> all = *store_->outcomes_of_run(run_.id);
  const auto of_race =
      std::count_if(all.begin(), all.end(), [](const auto& row) { return row.stage == job::Stage::kRace; });
  EXPECT_EQ(outcomes, static_cast<size_t>(of_race)) << "points are made of these; held-out answers are left out";
  EXPECT_TRUE(reader->touched_since(*reader->newest_stage())->empty());
}

}  // namespace
}  // namespace vortex::study
