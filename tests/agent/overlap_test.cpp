// Searches whose batches overlap: the next ones are proposed and climb while a batch climbs.
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <mutex>
#include <set>
#include <thread>

#include "study/held_out.h"
#include "study/retest.h"
#include "tests/agent/search_fixture.h"
#include "tests/agent/simulated_pool.h"

namespace vortex::agent {
namespace {

class OverlapTest : public SearchTest {
 protected:
  OverlapTest() {
    options_.overlap = 2;
    options_.max_evals = 24;
    options_.retest_share = 4;
    options_.rank_speed = study::RankSpeed::kMeasured;
    options_.control_share = 0.2;
  }

  // Every row that counts, in an order that says nothing of when it came.
  static std::vector<std::string> rows(db::Store& store) {
    const study::History history = study::read_history(store, *store.find_run("test").value()).value();
    std::vector<std::string> lines = decisions(store);
    for (const study::CandidateHistory& candidate : history.candidates) {
      for (const db::StageRow& stage : candidate.stages) {
        if (stage.blame == Blame::kEnvironment || !study::is_aside(stage.stage)) { continue; }
        std::string line = std::to_string(candidate.row.id) + " " + db::stage_round_name(stage.stage) + " " +
                           std::string(name_of(stage.verdict)) + " " + stage.metrics;
        for (const job::Outcome& outcome : study::outcomes_of(candidate, stage)) {
          line += " " + outcome.problem + (outcome.correct ? "+" : "-");
        }
        lines.push_back(line);
      }
    }
    std::sort(lines.begin(), lines.end());
    return lines;
  }

  static int count(const std::vector<std::string>& rows, const std::string& what) {
    return static_cast<int>(
        std::count_if(rows.begin(), rows.end(), [&](const auto& row) { return row.find(what) != std::string::npos; }));
  }

  // Who ends when is as a seed says.
  void shuffle(uint64_t seed) {
    const RunJob run_job = test_hooks(workers_, &now_).run_job;
    hooks_.run_job = [run_job, seed](const job::Job& job, const auto& on_result, const auto& should_stop) {
      Rng rng(stream_key(seed, std::hash<std::string>()(job.module_text + job.config_text), job.task.seed));
      std::this_thread::sleep_for(std::chrono::milliseconds(rng.between(0, 4)));
      return run_job(job, on_result, should_stop);
    };
  }
};

TEST_F(OverlapTest, NeitherWorkersNorTheirOrderDecideAnything) {
  auto one = open(folder_ / "one");
  ASSERT_TRUE(sit(*one).ok());
  const std::vector<std::string> wanted = rows(*one);
  for (const char* kind : {" retest-1 ", " speed-2 ", " speed-3 ", " confirm-2 "}) {
    EXPECT_GT(count(wanted, kind), 0) << kind;
  }
  std::mutex mutex;
  std::set<std::vector<int64_t>> orders;
  for (const int workers : {3, 8}) {
    SCOPED_TRACE(workers);
    options_.workers = workers;
    shuffle(static_cast<uint64_t>(workers));
    std::vector<int64_t> order;
    hooks_.on_candidate = [&](const CandidateSummary& summary) {
      const std::lock_guard lock(mutex);
      order.push_back(summary.candidate);
    };
    auto many = open(folder_ / std::to_string(workers));
    ASSERT_TRUE(sit(*many).ok());
    EXPECT_EQ(rows(*many), wanted);
    orders.insert(order);
  }
  EXPECT_GT(orders.size(), 1U) << "they did finish in different orders";
}

// A batch is proposed from what was known before the two that climb meanwhile, and uses all of that.
TEST_F(OverlapTest, ProposalsDoNotSeeTheBatchesInTheAir) {
  auto store = open(folder_);
  ASSERT_TRUE(sit(*store).ok());
  const study::History history = study::read_history(*store, run_of(*store)).value();
  int64_t nearest = 100;
  for (const study::CandidateHistory& candidate : history.candidates) {
    for (const db::LineageEdge& edge : candidate.parents) {
      nearest = std::min(nearest, candidate.row.batch - history.find(edge.parent)->row.batch);
    }
  }
  EXPECT_EQ(nearest, 1 + options_.overlap);
}

TEST_F(OverlapTest, KilledAtAnyMomentItEndsWithTheRowsOfAnUndisturbedOne) {
  options_.workers = 3;
  auto clean = open(folder_ / "clean");
  ASSERT_TRUE(sit(*clean).ok());
  const std::filesystem::path folder = folder_ / "killed";
  int status = 1;
  int sessions = 0;
  for (; sessions < 60 && status != 0; ++sessions) {
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      // Dies without a word at a stage result, before or after its row, while others climb and the next is proposed.
      const int fatal = 5 + 11 * (sessions % 4) + 3 * sessions;
      shuffle(static_cast<uint64_t>(sessions));
      const RunJob run_job = hooks_.run_job;
      std::atomic<int> counted = 0;
      hooks_.run_job = [&](const job::Job& job, const auto& on_result, const auto& should_stop) {
        return run_job(
            job,
            [&](const job::StageResult& result) {
              if (++counted == fatal && sessions % 2 == 0) { ::_exit(9); }
              on_result(result);
              if (counted >= fatal) { ::_exit(9); }
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
  EXPECT_GT(sessions, 4);
  auto store = open(folder);
  EXPECT_EQ(rows(*store), rows(*clean));
}

TEST_F(OverlapTest, StoppedInTheMiddleItEndsCleanlyAndGoesOn) {
  options_.workers = 3;
  auto clean = open(folder_ / "clean");
  ASSERT_TRUE(sit(*clean).ok());
  auto store = open(folder_ / "stopped");
  int evaluated = 0;
  int sessions = 0;
  for (bool done = false; !done; ++sessions) {
    ASSERT_LT(sessions, 60);
    const int before = workers_.jobs;
    hooks_.stop = [&, limit = 5 + 3 * (sessions % 3)] {
      if (workers_.jobs - before < limit) { return StopLevel::kNone; }
      return sessions % 2 == 0 ? StopLevel::kDrain : StopLevel::kKill;
    };
    Progress last;
    hooks_.on_tick = [&](const Progress& progress) { last = progress; };
    const auto end = sit(*store);
    ASSERT_TRUE(end.ok()) << end.error().message;
    done = *end != SearchEnd::kInterrupted;
    EXPECT_TRUE(last.running.empty());
    const std::vector<db::Candidate> candidates = store->candidates(run_of(*store).id).value();
    for (const db::Candidate& row : candidates) { EXPECT_NE(row.state, db::CandidateState::kRunning); }
    evaluated += last.evaluated;
  }
  EXPECT_GT(sessions, 5);
  EXPECT_EQ(rows(*store), rows(*clean));
  EXPECT_EQ(evaluated, options_.max_evals) << "each sitting counts its own";
}

// On a made-up clock, on which the search itself takes no time.
TEST_F(OverlapTest, ManyWorkersHaveSomethingToDo) {
  constexpr int kWorkers = 8;
  options_ = test_options();
  options_.workers = options_.batch = kWorkers;
  options_.max_evals = 12 * kWorkers;
  std::map<int, double> busy;
  for (const int overlap : {0, 2}) {
    options_.overlap = overlap;
    SimulatedPool pool(kWorkers, false);
    hooks_ = simulated_hooks(workers_, pool, 0.6, 0.5);
    std::map<int64_t, std::pair<double, double>> at;  // when a batch began, and what workers had been given by then
    hooks_.on_tick = [&](const Progress& progress) { at.try_emplace(progress.batch, pool.now(), pool.busy_seconds()); };
    auto store = open(folder_ / std::to_string(overlap));
    ASSERT_EQ(sit(*store).value(), SearchEnd::kBudget);
    const auto& [begin, done] = at.at(3);
    const auto& [end, all] = at.at(12);
    busy[overlap] = (all - done) / (kWorkers * (end - begin));
  }
  EXPECT_LT(busy[0], 0.7);
  EXPECT_GT(busy[2], 0.93);
}

// Once nothing climbs any more, workers would wait for one round after the other.
TEST_F(OverlapTest, AtTheEndRoundsOfOneCandidateAreAskedAtOnce) {
  constexpr int kWorkers = 8;
  options_.workers = options_.batch = kWorkers;
  options_.max_evals = 6 * kWorkers;
  options_.rank_speed = study::RankSpeed::kModelled;
  std::map<int, std::map<job::Stage, int>> together;  // by overlap: rounds that began with another one of its policy
  for (const int overlap : {0, 2}) {
    options_.overlap = overlap;
    SimulatedPool pool(kWorkers, false);
    hooks_ = simulated_hooks(workers_, pool, 0.6, 0.5);
    const RunJob run_job = hooks_.run_job;
    int climbs = 0;
    std::map<std::pair<std::string, double>, int> begun;
    hooks_.run_job = [&](const job::Job& job, const auto& on_result, const auto& should_stop) {
      climbs += job.stages.size() > 1 ? 1 : 0;
      const bool aside = job.stages.size() == 1 && !job.dense && climbs > options_.max_evals;
      const auto key = std::pair(job.module_text + job.config_text, pool.now());
      if (aside && begun[key]++ > 0) { ++together[overlap][job.stages.front()]; }
      return run_job(job, on_result, should_stop);
    };
    auto store = open(folder_ / std::to_string(overlap));
    ASSERT_EQ(sit(*store).value(), SearchEnd::kBudget);
  }
  EXPECT_TRUE(together[0].empty());
  EXPECT_GT(together[2][job::Stage::kRace], 3);
  EXPECT_GT(together[2][job::Stage::kConfirm], 1);
}

TEST_F(OverlapTest, WhoReadsEveryRowCannotWriteBesideClimbs) {
  auto store = open(folder_);
  options_.proposer = "command";
  options_.writer.command = "true";
  const Status refused = check_search(*store, options_);
  ASSERT_FALSE(refused.ok());
  EXPECT_NE(refused.error().message.find("overlap"), std::string::npos) << refused.error().message;
  options_.overlap = 0;
  EXPECT_TRUE(check_search(*store, options_).ok());
}

TEST(ThreadPool, UrgentTasksGoFirstAndARefusalEndsAll) {
  ThreadPool pool(1);
  Mutex mutex;
  std::vector<std::string> done;
  std::atomic<bool> go = false;
  std::atomic<bool> open = true;
  const auto task = [&](const std::string& name, bool waits) {
    return Pool::Task{[&] { return open.load(); },
                      [&, name, waits] {
                        while (waits && !go) { std::this_thread::yield(); }
                        const MutexLock lock(mutex);
                        done.push_back(name);
                      }};
  };
  const int64_t climbs = pool.start({task("climb", true), task("climb", false)}, false);
  const int64_t next = pool.start({task("next climb", false)}, false);
  const int64_t round = pool.start({task("retest", false), task("another", false)}, true);
  go = true;
  int ticks = 0;
  for (const int64_t lot : {climbs, round, next}) {
    pool.wait(lot, [&] { ++ticks; });
  }
  EXPECT_GE(ticks, 3);
  {
    const MutexLock lock(mutex);
    const bool began = done.front() == "climb";  // the thread may have been slower than the lots
    const std::vector<std::string> wanted =
        began ? std::vector<std::string>{"climb", "retest", "another", "climb", "next climb"}
              : std::vector<std::string>{"retest", "another", "climb", "climb", "next climb"};
    EXPECT_EQ(done, wanted);
    done.clear();
  }
  open = false;
  pool.wait(pool.start({task("too late", false)}, false), [] {});
  EXPECT_TRUE(done.empty());
}

}  // namespace
}  // namespace vortex::agent
