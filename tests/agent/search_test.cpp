#include "agent/loop/search.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <mutex>
#include <set>
#include <thread>

#include "agent/loop/proposers.h"
#include "agent/loop/shelf.h"
#include "agent/propose/proposer.h"
#include "db/store.h"
#include "sandbox/worker_slots.h"
#include "study/history.h"
#include "study/retest.h"
#include "study/standing.h"
#include "tests/agent/search_fixture.h"

namespace vortex::agent {
namespace {

// As a model whose replies hold no policy.
class DryProposer final : public Proposer {
 public:
  Result<std::optional<Proposal>> propose(const ProposalContext&) override { return std::optional<Proposal>{}; }
};

TEST_F(SearchTest, AProposerThatRunsDryEndsItInWords) {
  auto store = open(folder_);
  std::vector<std::string> said;
  hooks_.on_message = [&](const std::string& text) { said.push_back(text); };
  DryProposer dry;
  hooks_.proposer = &dry;
  const auto end = sit(*store);
  ASSERT_TRUE(end.ok()) << end.error().message;
  EXPECT_EQ(*end, SearchEnd::kExhausted);
  EXPECT_TRUE(std::any_of(said.begin(), said.end(), [](const std::string& text) {
    return text.find("3 batches in a row brought no policy that is new and can be read") != std::string::npos;
  }));
}

TEST_F(SearchTest, SpendsItsEvaluationsAndKeepsEveryAttempt) {
  auto store = open(folder_);
  const auto end = sit(*store);
  ASSERT_TRUE(end.ok()) << end.error().message;
  EXPECT_EQ(*end, SearchEnd::kBudget);
  const study::History history = study::read_history(*store, run_of(*store)).value();
  int evaluated = 0;
  std::set<std::string> keys;
  for (const study::CandidateHistory& candidate : history.candidates) {
    EXPECT_TRUE(study::is_done(candidate.row));
    if (candidate.row.batch == 0) { continue; }
    ASSERT_FALSE(candidate.stages.empty());
    if (study::last_stage(candidate, job::Stage::kCompile) == nullptr) { continue; }
    ++evaluated;
    EXPECT_TRUE(keys.insert(candidate.row.key).second) << "evaluated twice";
    EXPECT_EQ(study::last_stage(candidate, job::Stage::kCheck)->verdict, job::Verdict::kPass);
    EXPECT_EQ(study::last_stage(candidate, job::Stage::kNovelty)->verdict, job::Verdict::kPass);
  }
  EXPECT_EQ(evaluated, options_.max_evals);
  EXPECT_EQ(history.run.state, db::RunState::kFinished);
  const study::Standing standing = study::standing_of(history, options_);
  EXPECT_GE(standing.front().size(), 1u);
  EXPECT_NE(study::last_stage(history.candidates.front(), job::Stage::kConfirm), nullptr)
      << "dense attention answers beside them";
  const std::vector<study::Claim> claims = study::claims_of(history, options_, standing);
  ASSERT_FALSE(claims.empty());
  for (const study::Claim& claim : claims) { EXPECT_GT(claim.problems, 0) << claim.candidate; }
}

TEST_F(SearchTest, TheSameSeedMakesTheSameDecisions) {
  auto first = open(folder_ / "a");
  auto second = open(folder_ / "b");
  auto other = open(folder_ / "c");
  ASSERT_TRUE(sit(*first).ok());
  ASSERT_TRUE(sit(*second).ok());
  EXPECT_EQ(decisions(*first), decisions(*second));
  options_.seed = 12;
  ASSERT_TRUE(sit(*other).ok());
  EXPECT_NE(decisions(*first), decisions(*other));
}

TEST_F(SearchTest, TwoWorkersDecideLikeOne) {
  auto one = open(folder_ / "one");
  auto two = open(folder_ / "two");
  ASSERT_TRUE(sit(*one).ok());
  options_.workers = 3;
  ASSERT_TRUE(sit(*two).ok());
  EXPECT_EQ(decisions(*one), decisions(*two));
}

// On a made-up host of five GPUs, whose workers take as long as a seed says.
TEST_F(SearchTest, WhoFinishesFirstDecidesNothing) {
  options_.rank_speed = study::RankSpeed::kMeasured;
  auto one = open(folder_ / "one");
  ASSERT_TRUE(sit(*one).ok());
  constexpr int kGpus = 5;
  std::vector<sandbox::Gpu> gpus;
  for (int i = 0; i < kGpus; ++i) { gpus.push_back({i, "card", "GPU-" + std::to_string(i), {}}); }
  options_.workers = kGpus;
  std::set<std::vector<std::string>> orders;
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    SCOPED_TRACE(seed);
    sandbox::WorkerSlots slots(sandbox::share_out(gpus, {}, kGpus), {});
    std::array<std::atomic<int>, kGpus> users{};
    std::mutex mutex;
    std::vector<std::string> order;
    hooks_.run_job = [&](const job::Job& job, const auto& on_result, const auto& should_stop) {
      const sandbox::WorkerSlots::Lease lease = slots.take();
      std::atomic<int>& here = users[static_cast<size_t>(lease.share().gpu)];
      EXPECT_EQ(++here, 1) << "one worker a GPU";
      Rng rng(stream_key(seed, std::hash<std::string>()(job.module_text + job.config_text)));
      std::this_thread::sleep_for(std::chrono::milliseconds(rng.between(0, 20)));
      auto results = workers_.run(job, on_result, should_stop);
      --here;
      const std::lock_guard lock(mutex);
      order.push_back(job.module_text + job.config_text);
      return results;
    };
    auto many = open(folder_ / std::to_string(seed));
    ASSERT_TRUE(sit(*many).ok());
    expect_same_decisions(*one, *many);
    orders.insert(order);
  }
  EXPECT_GT(orders.size(), 1U) << "they did finish in different orders";
}

TEST_F(SearchTest, AResumedSearchDecidesLikeAnUninterruptedOne) {
  auto clean = open(folder_ / "clean");
  ASSERT_TRUE(sit(*clean).ok());
  // Every session ends after a few jobs: by draining in even ones, by killing what runs in odd ones.
  auto store = open(folder_ / "resumed");
  int sessions = 0;
  for (bool done = false; !done; ++sessions) {
    ASSERT_LT(sessions, 60);
    const int jobs_before = workers_.jobs;
    hooks_.stop = [&, limit = 2 + sessions % 3] {
      if (workers_.jobs - jobs_before < limit) { return StopLevel::kNone; }
      return sessions % 2 == 0 ? StopLevel::kDrain : StopLevel::kKill;
    };
    const auto end = sit(*store);
    ASSERT_TRUE(end.ok()) << end.error().message;
    done = *end != SearchEnd::kInterrupted;
    EXPECT_EQ(run_of(*store).state, done ? db::RunState::kFinished : db::RunState::kInterrupted);
  }
  EXPECT_GT(sessions, 3);
  expect_same_decisions(*clean, *store);
}

TEST_F(SearchTest, ASearchThatIsKilledDecidesLikeAnUninterruptedOne) {
  auto clean = open(folder_ / "clean");
  ASSERT_TRUE(sit(*clean).ok());
  const std::filesystem::path folder = folder_ / "killed";
  int status = 1;
  int sessions = 0;
  for (; sessions < 40 && status != 0; ++sessions) {
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      // Dies without a word at a stage result whose number differs from session to session.
      const int fatal = 3 + 5 * (sessions % 4) + sessions;
      const RunJob run_job = hooks_.run_job;
      int counted = 0;
      hooks_.run_job = [&](const job::Job& job, const auto& on_result, const auto& should_stop) {
        return run_job(
            job,
            [&](const job::StageResult& result) {
              on_result(result);
              if (++counted == fatal) { ::_exit(9); }
            },
            should_stop);
      };
      auto store = db::Store::open(folder);
      if (!store.ok()) { ::_exit(8); }
      ::_exit(sit(**store).ok() ? 0 : 7);
    }
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFEXITED(status));
    ASSERT_TRUE(WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == 9) << WEXITSTATUS(status);
  }
  EXPECT_EQ(status, 0);
  EXPECT_GT(sessions, 2);
  auto store = open(folder);
  expect_same_decisions(*clean, *store);
}

TEST_F(SearchTest, AStopRequestInTheStoreDrainsTheSearch) {
  auto store = open(folder_);
  auto other = open(folder_);
  const db::Run run = run_of(*store);
  bool asked = false;
  hooks_.on_candidate = [&](const CandidateSummary&) {
    now_ += 5;  // so that the next look at the requests is due
    if (asked) { return; }
    asked = true;
    EXPECT_TRUE(other->add_event(run.id, "stop-requested", "{}").ok());
  };
  const auto end = sit(*store);
  ASSERT_TRUE(end.ok());
  EXPECT_EQ(*end, SearchEnd::kInterrupted);
  const std::vector<db::Candidate> rows = store->candidates(run.id).value();
  for (const db::Candidate& row : rows) { EXPECT_NE(row.state, db::CandidateState::kRunning); }
  // The request was for that session.
  hooks_.on_candidate = {};
  EXPECT_EQ(sit(*store).value(), SearchEnd::kBudget);
}

// Somebody looks at a running search and asks for more of a candidate: it is a row, and the search answers it there.
TEST_F(SearchTest, RequestsAreTakenUpAndAnsweredOnce) {
  options_.retests = 0;
  auto store = open(folder_);
  const db::Run run = run_of(*store);
  int64_t asked = 0;
  const auto run_job = hooks_.run_job;
  hooks_.run_job = [&](const job::Job& job, const auto& on_result, const auto& should_stop) {
    const std::vector<db::Candidate> rows = store->candidates(run.id).value();
    for (const db::Candidate& row : rows) {
      if (asked != 0 || !study::has_passed(row) || study::is_dense(row)) { continue; }
      asked = row.id;
      for (const auto kind : {db::RequestKind::kRetest, db::RequestKind::kConfirm}) {
        db::Request request;
        request.run = run.id;
        request.candidate = asked;
        request.kind = kind;
        EXPECT_TRUE(store->add_request(request).ok());
      }
    }
    return run_job(job, on_result, should_stop);
  };
  const auto end = sit(*store);
  ASSERT_TRUE(end.ok()) << end.error().message;
  ASSERT_NE(asked, 0);
  const std::vector<db::Request> requests = *store->requests(run.id);
  ASSERT_EQ(requests.size(), 2u);
  for (const db::Request& request : requests) {
    EXPECT_GT(request.batch, 0) << name_of(request.kind);
    EXPECT_GE(request.ended, request.taken);
  }
  EXPECT_EQ(requests[0].result.rfind("retest-1: ", 0), 0u) << requests[0].result;
  // A member of the front has answered the held-out problems by then.
  const bool before = requests[1].result == "it was asked on held-out problems before";
  EXPECT_TRUE(before || requests[1].result.rfind("confirm: ", 0) == 0) << requests[1].result;
  const study::CandidateHistory candidate = *study::read_candidate(*store, asked);
  EXPECT_NE(study::last_stage(candidate, study::retest_stage(1)), nullptr);
  EXPECT_NE(study::last_stage(candidate, job::Stage::kConfirm), nullptr);
  const study::History history = *study::read_history(*store, run);
  EXPECT_NE(study::last_stage(history.candidates.front(), study::retest_stage(1)), nullptr)
      << "dense attention stays paired";

  const size_t rows = store->stages_of_run(run.id)->size();
  ASSERT_TRUE(store->set_run_state(run.id, db::RunState::kRunning).ok());
  ASSERT_TRUE(sit(*store).ok());
  EXPECT_EQ(store->stages_of_run(run.id)->size(), rows) << "a resumed search asks nothing again";
}

// Who watches sees retests and held-out problems by their names, and hears of a row when it is there.
TEST_F(SearchTest, SaysWhatIsAtWork) {
  auto store = open(folder_);
  std::mutex mutex;
  std::set<std::string> at_work;
  std::set<std::string> told;
  std::atomic<int> ticks = 0;
  hooks_.on_tick = [&](const Progress& progress) {
    const std::lock_guard guard(mutex);
    for (const auto& [candidate, stage] : progress.running) { at_work.insert(stage); }
    ++ticks;
  };
  hooks_.on_stage = [&](int64_t candidate, const std::string& stage, const job::StageResult&) {
    const std::vector<db::StageRow> rows = store->stages(candidate).value();
    EXPECT_TRUE(std::any_of(rows.begin(), rows.end(), [&](const db::StageRow& row) {
      return db::stage_round_name(row.stage) == stage;
    })) << stage;
    const std::lock_guard guard(mutex);
    told.insert(stage);
  };
  const RunJob run_job = hooks_.run_job;
  hooks_.run_job = [&](const job::Job& job, const auto& on_result, const auto& should_stop) {
    const int before = ticks;
    for (int i = 0; i < 1000 && ticks == before; ++i) { std::this_thread::sleep_for(std::chrono::milliseconds(1)); }
    return run_job(job, on_result, should_stop);
  };
  ASSERT_TRUE(sit(*store).ok());
  for (const char* name : {"compile", "confirm"}) { EXPECT_TRUE(at_work.contains(name)) << name; }
  for (const char* name : {"compile", "race", "speed", "confirm"}) { EXPECT_TRUE(told.contains(name)) << name; }
  EXPECT_FALSE(at_work.contains("")) << "a worker is always at something";
}

TEST_F(SearchTest, WallClockIsCountedOverSittings) {
  options_.max_evals = 0;
  options_.seconds = 100;
  auto store = open(folder_);
  const RunJob run_job = hooks_.run_job;
  hooks_.run_job = [&](const job::Job& job, const auto& on_result, const auto& should_stop) {
    now_ += 8;
    return run_job(job, on_result, should_stop);
  };
  int finished = 0;
  hooks_.on_candidate = [&](const CandidateSummary&) { ++finished; };
  hooks_.stop = [&] { return finished >= 4 ? StopLevel::kDrain : StopLevel::kNone; };
  EXPECT_EQ(sit(*store).value(), SearchEnd::kInterrupted);
  const double used = run_of(*store).seconds_used;
  EXPECT_GT(used, 30);
  EXPECT_LT(used, 60);
  hooks_.stop = [] { return StopLevel::kNone; };
  now_ += 100'000;  // between sessions time does not count
  EXPECT_EQ(sit(*store).value(), SearchEnd::kBudget);
  EXPECT_LE(run_of(*store).seconds_used, 100 + 8);
  EXPECT_GT(run_of(*store).seconds_used, 90);
}

job::StageResult planted(Blame blame, const std::string& message) {
  job::StageResult result;
  result.stage = job::Stage::kCompile;
  result.verdict = job::Verdict::kError;
  result.blame = blame;
  result.message = message;
  return result;
}

TEST_F(SearchTest, APassingFaultOfTheMachineIsRetried) {
  auto store = open(folder_);
  int faults = 2;
  workers_.fault = [&](const job::Job& job) -> std::optional<job::StageResult> {
    if (job.dense || faults == 0) { return std::nullopt; }
    --faults;
    return planted(Blame::kEnvironment, "the GPU is gone");
  };
  ASSERT_EQ(sit(*store).value(), SearchEnd::kBudget);
  auto clean = open(folder_ / "clean");
  workers_.fault = {};
  ASSERT_TRUE(sit(*clean).ok());
  expect_same_decisions(*clean, *store);  // nobody was scored for it
}

TEST_F(SearchTest, AMachineThatStaysBrokenEndsTheSearchResumably) {
  auto store = open(folder_);
  int jobs = 0;
  workers_.fault = [&](const job::Job&) -> std::optional<job::StageResult> {
    if (++jobs < 4) { return std::nullopt; }
    return planted(Blame::kEnvironment, "the GPU is gone");
  };
  const auto end = sit(*store);
  ASSERT_FALSE(end.ok());
  EXPECT_EQ(end.error().blame, Blame::kEnvironment);
  EXPECT_NE(end.error().message.find("the GPU is gone"), std::string::npos);
  EXPECT_EQ(run_of(*store).state, db::RunState::kInterrupted);
  const std::vector<db::Candidate> rows = store->candidates(run_of(*store).id).value();
  for (const db::Candidate& row : rows) { EXPECT_NE(row.verdict, job::Verdict::kError); }
  workers_.fault = {};
  EXPECT_EQ(sit(*store).value(), SearchEnd::kBudget);
  auto clean = open(folder_ / "clean");
  ASSERT_TRUE(sit(*clean).ok());
  expect_same_decisions(*clean, *store);
}

TEST_F(SearchTest, ACandidateThatBreaksAMachineThatWorksIsSetAsideUnscored) {
  auto store = open(folder_);
  std::string victim;
  workers_.fault = [&](const job::Job& job) -> std::optional<job::StageResult> {
    if (job.dense) { return std::nullopt; }
    if (victim.empty()) { victim = job.module_text + job.config_text; }
    if (job.module_text + job.config_text != victim) { return std::nullopt; }
    return planted(Blame::kEnvironment, "the worker was killed from outside");
  };
  ASSERT_EQ(sit(*store).value(), SearchEnd::kBudget);
  const study::History history = study::read_history(*store, run_of(*store)).value();
  int errors = 0;
  for (const study::CandidateHistory& candidate : history.candidates) {
    if (candidate.row.verdict != job::Verdict::kError) { continue; }
    ++errors;
    EXPECT_FALSE(study::point_of(candidate, options_.rank_speed, 1).has_value());
    EXPECT_EQ(candidate.stages.back().attempt, 3);
  }
  EXPECT_EQ(errors, 1);
}

// Dense attention still passes: what is broken is something that only policies need.
TEST_F(SearchTest, AMachineThatSpoilsEveryPolicyEndsTheSearchResumably) {
  auto store = open(folder_);
  workers_.fault = [&](const job::Job& job) -> std::optional<job::StageResult> {
    if (job.dense) { return std::nullopt; }
    return planted(Blame::kEnvironment, "cannot load the oracle");
  };
  const auto end = sit(*store);
  ASSERT_FALSE(end.ok());
  EXPECT_EQ(end.error().blame, Blame::kEnvironment);
  EXPECT_NE(end.error().message.find("the last 5 candidates"), std::string::npos) << end.error().message;
  EXPECT_NE(end.error().message.find("cannot load the oracle"), std::string::npos) << end.error().message;
  EXPECT_EQ(run_of(*store).state, db::RunState::kInterrupted);
  workers_.fault = {};
  EXPECT_EQ(sit(*store).value(), SearchEnd::kBudget);
  const std::vector<db::Candidate> rows = store->candidates(run_of(*store).id).value();
  for (const db::Candidate& row : rows) {
    EXPECT_NE(row.verdict, job::Verdict::kError) << row.id << ": a repaired machine judges it after all";
  }
}

TEST_F(SearchTest, OurOwnFaultsInARowEndTheSearch) {
  auto store = open(folder_);
  workers_.fault = [&](const job::Job& job) -> std::optional<job::StageResult> {
    if (job.dense) { return std::nullopt; }
    return planted(Blame::kInternal, "the worker crashed: SIGSEGV");
  };
  const auto end = sit(*store);
  ASSERT_FALSE(end.ok());
  EXPECT_EQ(end.error().blame, Blame::kInternal);
}

TEST_F(SearchTest, WithoutABaselineThereIsNoSearch) {
  auto store = open(folder_);
  workers_.fault = [&](const job::Job&) -> std::optional<job::StageResult> {
    job::StageResult result = planted(Blame::kCandidate, "model.safetensors is truncated");
    result.verdict = job::Verdict::kFail;
    return result;
  };
  const auto end = sit(*store);
  ASSERT_FALSE(end.ok());
  EXPECT_EQ(end.error().blame, Blame::kCandidate);
  EXPECT_NE(end.error().message.find("truncated"), std::string::npos);
  EXPECT_EQ(run_of(*store).state, db::RunState::kFailed);
  workers_.fault = {};
  EXPECT_TRUE(sit(*store).ok());  // a repaired model
}

TEST_F(SearchTest, AModelThatChangesBetweenSittingsIsNoticed) {
  auto store = open(folder_);
  hooks_.stop = [&] { return workers_.jobs >= 3 ? StopLevel::kDrain : StopLevel::kNone; };
  ASSERT_EQ(sit(*store).value(), SearchEnd::kInterrupted);
  hooks_.stop = [] { return StopLevel::kNone; };
  workers_.model_hash = "another model";
  const auto end = sit(*store);
  ASSERT_FALSE(end.ok());
  EXPECT_EQ(end.error().blame, Blame::kEnvironment);
  EXPECT_NE(end.error().message.find("model"), std::string::npos);
  workers_.model_hash = "synthetic";
  ASSERT_EQ(sit(*store).value(), SearchEnd::kBudget);
  auto clean = open(folder_ / "clean");
  ASSERT_TRUE(sit(*clean).ok());
  expect_same_decisions(*clean, *store);
}

TEST_F(SearchTest, AModelThatChangesUnderTheSearchEndsItAtOnceAndResumably) {
  auto store = open(folder_);
  int before = 0;
  workers_.fault = [&](const job::Job& job) -> std::optional<job::StageResult> {
    if (job.dense || workers_.jobs < 3) { return std::nullopt; }
    if (before == 0) { before = workers_.jobs; }
    job::StageResult result = planted(Blame::kEnvironment, "the model changed while it was in use: w was changed in m");
    result.evidence["model_changed"] = "w was changed";
    return result;
  };
  const auto end = sit(*store);
  ASSERT_FALSE(end.ok());
  EXPECT_EQ(end.error().blame, Blame::kEnvironment);
  EXPECT_NE(end.error().message.find("the model changed"), std::string::npos);
  EXPECT_LE(workers_.jobs, before + 1) << "nothing is tried again on it";
  workers_.fault = {};
  ASSERT_EQ(sit(*store).value(), SearchEnd::kBudget);
  auto clean = open(folder_ / "clean");
  ASSERT_TRUE(sit(*clean).ok());
  expect_same_decisions(*clean, *store);
}

TEST_F(SearchTest, ABaselineThatIsNeverRightEndsTheSearchUnlessItIsAccepted) {
  workers_.dead = true;
  {
    auto store = open(folder_ / "refused");
    const auto end = sit(*store);
    ASSERT_FALSE(end.ok());
    EXPECT_EQ(end.error().blame, Blame::kCandidate);
    EXPECT_NE(end.error().message.find("right in 0 of 16"), std::string::npos) << end.error().message;
    EXPECT_NE(end.error().hint.find("--accept-baseline"), std::string::npos);
    EXPECT_EQ(run_of(*store).state, db::RunState::kFailed);
  }
  options_.accept_baseline = true;
  auto store = open(folder_ / "accepted");
  ASSERT_TRUE(sit(*store).ok());
}

TEST_F(SearchTest, DenseAttentionAnswersWhateverAnyoneIsAsked) {
  options_.retest_share = 3;
  auto store = open(folder_);
  ASSERT_TRUE(sit(*store).ok());
  const study::History history = study::read_history(*store, run_of(*store)).value();
  std::set<std::string> asked;
  std::set<std::string> dense;
  for (const study::CandidateHistory& candidate : history.candidates) {
    for (const db::OutcomeRow& outcome : candidate.outcomes) {
      (study::is_dense(candidate.row) ? dense : asked).insert(outcome.problem);
    }
  }
  EXPECT_GT(asked.size(), 32u) << "somebody was asked further problems";
  for (const std::string& problem : asked) { EXPECT_TRUE(dense.contains(problem)) << problem; }
}

// Whose right answers were forced: none in the first batch, and none without forced answers.
TEST_F(SearchTest, ClimbsAreHeldAgainstThoseThatPassed) {
  options_.job.stages.insert(options_.job.stages.begin() + 2, job::Stage::kRecall);
  options_.max_evals = 24;
  for (const bool forced : {false, true}) {
    std::mutex mutex;
    std::vector<std::vector<job::Rival>> rivals;
    workers_.forced = forced;
    workers_.fault = [&](const job::Job& job) -> std::optional<job::StageResult> {
      const std::lock_guard lock(mutex);
      const bool climbs = !job.dense && job.stages.size() > 1;
      if (climbs) { rivals.push_back(job.rivals); }
      return std::nullopt;
    };
    auto store = open(folder_ / std::to_string(forced));
    ASSERT_TRUE(sit(*store).ok());
    ASSERT_EQ(rivals.size(), 24u);
    for (int64_t i = 0; i < options_.batch; ++i) { EXPECT_TRUE(rivals[static_cast<size_t>(i)].empty()); }
    EXPECT_EQ(!rivals.back().empty(), forced);
    for (size_t i = 1; i < rivals.back().size(); ++i) {
      const job::Rival& one = rivals.back()[i - 1];
      const job::Rival& other = rivals.back()[i];
      EXPECT_NE(one.answer_bytes <= other.answer_bytes, one.answer_kl <= other.answer_kl) << "one covers the other";
    }
    for (const job::Rival& rival : rivals.back()) {
      EXPECT_GT(rival.candidate, 1) << "dense attention reads more than anybody";
      EXPECT_EQ(rival.answer_kl.size(), 16u);
      EXPECT_NEAR(rival.answer_bytes, 1000 * (2 - rival.answer_kl[0]), 1e-6);
    }
  }
}

// A problem costs dense attention half a second and three finalists as much each: 0.4 of an hour has room for all that
// there are by default, 0.4 of twenty minutes for 240.
TEST_F(SearchTest, HeldOutProblemsAreSettledByTheTime) {
  DryProposer dry;
  hooks_.proposer = &dry;
  options_.max_evals = 0;
  options_.rank_speed = study::RankSpeed::kMeasured;
  options_.job.task.problems = 16;
  workers_.race_seconds = 8;
  for (const double minutes : {20.0, 60.0}) {
    options_.seconds = 60 * minutes;
    auto store = open(folder_ / std::to_string(minutes));
    ASSERT_TRUE(sit(*store).ok());
    const auto kept = study::options_from_json(nlohmann::json::parse(run_of(*store).config));
    ASSERT_TRUE(kept.ok());
    EXPECT_EQ(kept->held_out, minutes < 60 ? 240 : 0);
  }
}

// Where races take as good as nothing dense attention's rounds of retests cost nothing beside climbs; where they take a
// minute they do, and in a search that time ends fewer would be asked.
TEST_F(SearchTest, ASearchThatCountsCandidatesDecidesNothingByTheClock) {
  options_.rank_speed = study::RankSpeed::kMeasured;
  options_.retest_share = 3;
  options_.seconds = 1e5;
  const auto asked = [&](const char* name, double race_seconds) {
    workers_.race_seconds = race_seconds;
    auto store = open(folder_ / name);
    EXPECT_TRUE(sit(*store).ok());
    std::vector<std::string> rows = decisions(*store);
    const study::History history = study::read_history(*store, run_of(*store)).value();
    for (const study::CandidateHistory& candidate : history.candidates) {
      rows.push_back(std::to_string(candidate.row.id) + ": " + std::to_string(candidate.outcomes.size()) + " answers");
    }
    return rows;
  };
  EXPECT_EQ(asked("quick", 1e-4), asked("slow", 60));
}

TEST_F(SearchTest, PoliciesStayWithinTheTokenBudget) {
  options_.token_budget = 128;
  auto store = open(folder_);
  ASSERT_TRUE(sit(*store).ok());
  const study::History history = study::read_history(*store, run_of(*store)).value();
  vflow::ModelGeometry model = test_model();
  model.token_budget = options_.token_budget;
  int climbed = 0;
  int cut = 0;
  for (const study::CandidateHistory& candidate : history.candidates) {
    if (study::last_stage(candidate, job::Stage::kCompile) == nullptr || candidate.row.batch == 0) { continue; }
    ++climbed;
    cut += candidate.row.rationale.find("all that the token budget allows") != std::string::npos ? 1 : 0;
    const auto source = stored_source(*store, candidate.row);
    ASSERT_TRUE(source.ok()) << source.error().message;
    EXPECT_TRUE(vflow::check_policy(*source, model).policy.has_value()) << candidate.row.rationale;
  }
  EXPECT_EQ(climbed, options_.max_evals);
  EXPECT_GT(cut, 0) << "seeds that choose more begin with the budget";
}

TEST(Options, SurviveTheRoundTripAndRefuseUnknownKeys) {
  study::SearchOptions options = test_options();
  options.seconds = 300;
  options.seeds_folder = "policies";
  options.token_budget = 256;
  const nlohmann::json json = to_json(options);
  const auto back = study::options_from_json(json);
  ASSERT_TRUE(back.ok()) << back.error().message;
  EXPECT_EQ(to_json(*back), json);
  nlohmann::json misspelled = json;
  misspelled["max_eval"] = 3;
  EXPECT_FALSE(study::options_from_json(misspelled).ok());
}

TEST(Proposers, AnUnknownNameGetsTheNearest) {
  const auto proposer = make_proposer("evlove");
  ASSERT_FALSE(proposer.ok());
  EXPECT_NE(proposer.error().hint.find("evolve"), std::string::npos);
}

}  // namespace
}  // namespace vortex::agent
