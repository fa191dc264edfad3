// A night in miniature: a search of eight hours on a simulated clock, in which everything breaks that can break.
// VORTEX_NIGHTS=N runs N nights, each with other faults (scripts/soak.sh).

#include "tests/agent/night.h"

#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cstdlib>
#include <filesystem>
#include <map>
#include <set>

#include "agent/loop/search.h"
#include "db/store.h"
#include "study/history.h"
#include "study/retest.h"

namespace vortex::agent {
namespace {

namespace fs = std::filesystem;

constexpr double kHour = 3600;
constexpr double kNight = 8 * kHour;
constexpr double kLongestJump = 120;  // of the clock, forward
constexpr int kExitFinished = 0;
constexpr int kExitEnvironment = 3;

struct Night {
  uint64_t seed = 1;
  Faults faults;
  study::SearchOptions options;
  bool kills = false;
};

study::SearchOptions night_options(uint64_t seed) {
  Rng rng(stream_key(seed, 0xbed));
  study::SearchOptions options = test_options();
  options.seed = 7;  // the same search every night; what differs are the faults and the budgets
  options.gpus = 1;
  options.seconds = kNight;
  options.gpu_seconds = rng.below(3) == 0 ? 4 * kHour : kNight;
  options.max_evals = rng.below(3) == 0 ? 30 : 60;
  options.max_dollars = rng.below(3) == 0 ? 1.0 : 5.0;
  options.max_tokens = 600'000;
  options.control_share = 0.2;
  options.stage_seconds = 900;
  return options;
}

Night night_of(uint64_t seed) {
  Night night{seed, {}, night_options(seed), true};
  Rng rng(stream_key(seed, 0xdead));
  const auto moment = [&] { return 1'000 + rng.uniform() * kNight; };
  for (int i = 0; i < 3; ++i) {
    const double down = moment();
    night.faults.endpoint_down.push_back({down, down + 1200 * rng.uniform()});
    const double full = moment();
    night.faults.disk_full.push_back({full, full + 900 * rng.uniform()});
    const double jump = moment();
    night.faults.clock_jumps.push_back({jump, i == 0 ? -4000.0 : kLongestJump * rng.uniform() / 2});
  }
  night.faults.crash_every = 20;
  return night;
}

// A worker on the simulated clock: every stage takes its time, and stops when it is told to.
Result<std::vector<job::StageResult>> simulated_job(World& world, const Night& night, SyntheticWorkers& workers,
                                                    const job::Job& job,
                                                    const std::function<void(const job::StageResult&)>& on_result,
                                                    const std::function<bool()>& should_stop) {
  static const std::map<job::Stage, double> kSeconds = {{job::Stage::kCompile, 5},
                                                        {job::Stage::kValidate, 20},
                                                        {job::Stage::kRace, 200},
                                                        {job::Stage::kSpeed, 60},
                                                        {job::Stage::kConfirm, 100}};
  ++workers.jobs;
  const bool crashes = night.faults.crash_every > 0 && !world.crashed &&
                       Rng(stream_key(night.seed, static_cast<uint64_t>(world.steps), 0xc4a5))
                               .below(static_cast<uint64_t>(night.faults.crash_every)) == 0;
  world.crashed = crashes;
  std::vector<job::StageResult> results;
  for (job::Stage stage : job.stages) {
    bool stopped = false;
    for (double left = kSeconds.at(stage); left > 0 && !stopped; left -= 5) {
      world.step();
      world.pass(5, night.faults);
      world.worked_seconds += 5;
      stopped = should_stop();
    }
    job::StageResult result;
    if (stopped || crashes) {
      world.crashes += stopped ? 0 : 1;
      result.stage = stage;
      result.verdict = job::Verdict::kError;
      result.blame = Blame::kEnvironment;
      result.message = stopped ? "stopped on request" : "the worker was killed from outside";
    } else {
      result = workers.stage_result(job, stage);
      result.seconds = kSeconds.at(stage);
    }
    world.step();
    on_result(result);
    world.step();
    results.push_back(result);
    if (result.verdict != job::Verdict::kPass) { break; }
  }
  return results;
}

// One session in a process of its own; gives its exit code.
int sit(World& world, const Night& night, const fs::path& folder) {
  ::signal(SIGXFSZ, SIG_IGN);
  world.pass(0, night.faults);
  SyntheticWorkers workers;
  SearchHooks hooks = test_hooks(workers, &world.now);
  hooks.clock = [&] { return world.clock(night.faults); };
  hooks.sleep = [&](double seconds) { world.pass(seconds, night.faults); };
  hooks.run_job = [&](const auto& job, const auto& on_result, const auto& should_stop) {
    return simulated_job(world, night, workers, job, on_result, should_stop);
  };
  PaidEvolver proposer(world, night.faults);
  hooks.proposer = &proposer;
  const auto store = db::Store::open(folder);
  if (!store.ok()) { return store.error().blame == Blame::kEnvironment ? kExitEnvironment : 8; }
  auto found = (*store)->find_run("night");
  if (!found.ok()) { return kExitEnvironment; }
  if (!*found) {
    db::Run run;
    run.name = "night";
    run.config = to_json(night.options).dump();
    if (!(*store)->add_run(run).ok()) { return kExitEnvironment; }
    found = (*store)->find_run("night");
  }
  const auto end = run_search(**store, **found, night.options, test_model(), hooks);
  if (end.ok()) { return kExitFinished; }
  if (end.error().blame != Blame::kEnvironment) { std::fprintf(stderr, "%s\n", end.error().message.c_str()); }
  return end.error().blame == Blame::kEnvironment ? kExitEnvironment : 7;
}

// Sits until the search is finished, however often it is killed. Gives the number of sessions.
int live_through(World& world, const Night& night, const fs::path& folder) {
  Rng rng(stream_key(night.seed, 0xf00d));
  for (int session = 1;; ++session) {
    const bool killed = night.kills && session <= 8;
    world.fatal_step = killed ? world.steps + 1 + static_cast<int64_t>(rng.below(900)) : 0;
    const pid_t child = ::fork();
    if (child == 0) { ::_exit(sit(world, night, folder)); }
    int status = 0;
    ::waitpid(child, &status, 0);
    const int code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    if (code == kExitFinished) { return session; }
    EXPECT_TRUE(code == 9 || code == kExitEnvironment) << code;
    if (session > 60 || (code != 9 && code != kExitEnvironment)) { return -1; }
    world.now += 60;  // somebody resumes it
  }
}

// What was decided and what came out, without attempts and times.
std::vector<std::string> decisions(const study::History& history) {
  std::vector<std::string> lines;
  for (const study::CandidateHistory& candidate : history.candidates) {
    const db::Candidate& row = candidate.row;
    if (!study::is_done(row)) { continue; }
    std::string line = std::to_string(row.batch) + "." + std::to_string(row.slot) + "." + std::to_string(row.draw) +
                       " " + row.key + " " + std::string(name_of(row.origin)) + " " + std::string(name_of(row.arm));
    for (const db::StageRow& stage : study::last_climb(candidate)) {
      line += " " + db::stage_round_name(stage.stage) + "=" + std::string(name_of(stage.verdict));
    }
    lines.push_back(line);
  }
  return lines;
}

class NightTest : public testing::TestWithParam<uint64_t> {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "vortex-night-XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
  }
  void TearDown() override { fs::remove_all(folder_); }

  static study::History history_of(const fs::path& folder) {
    const auto store = db::Store::open(folder).value();
    return study::read_history(*store, *store->find_run("night").value()).value();
  }

  fs::path folder_;
};

void expect_counted_once(const study::History& history) {
  std::set<std::string> keys;
  for (const study::CandidateHistory& candidate : history.candidates) {
    std::map<db::StageRound, int> results;  // rows that count
    for (const db::StageRow& row : candidate.stages) {
      if (row.blame != Blame::kEnvironment) { ++results[row.stage]; }
    }
    const bool reached_a_worker = study::last_stage(candidate, job::Stage::kRace) != nullptr;
    if (reached_a_worker) { EXPECT_TRUE(keys.insert(candidate.row.key).second) << "evaluated twice"; }
    // A stage may be repeated by a later attempt after a crash, but one climb has each stage once.
    std::set<db::StageRound> climbed;
    for (const db::StageRow& row : study::last_climb(candidate)) {
      EXPECT_TRUE(climbed.insert(row.stage).second) << db::stage_round_name(row.stage);
    }
    for (const auto& [stage, count] : results) {
      if (study::is_retest(stage) || stage == job::Stage::kConfirm) {
        EXPECT_EQ(count, 1) << candidate.row.id << " " << db::stage_round_name(stage);
      }
    }
    // Nobody is scored for what the machine did.
    EXPECT_NE(candidate.row.verdict, job::Verdict::kError) << candidate.row.id;
  }
}

void expect_within_budgets(const World& world, const Night& night, db::Store& store) {
  const db::Run run = *store.find_run("night").value();
  double tokens = 0;
  double dollars = 0;
  const std::vector<db::Spend> spends = store.spends(run.id).value();
  for (const db::Spend& spend : spends) {
    tokens += spend.tokens;
    dollars += spend.dollars;
  }
  const study::SearchOptions& options = night.options;
  EXPECT_LE(dollars, options.max_dollars + 1e-9);
  EXPECT_LE(tokens, options.max_tokens + 1e-9);
  EXPECT_LE(world.billed_dollars, dollars + 1e-9) << "something was paid that the books do not know";
  EXPECT_LE(world.billed_tokens, tokens + 1e-9);
  constexpr double kSlack = 40;  // a look at the clock every few seconds; a pause for a full disk
  EXPECT_LE(run.seconds_used, options.seconds + kLongestJump + kSlack);
  EXPECT_LE(run.gpu_seconds_used, options.gpu_seconds + kLongestJump + kSlack);
  int evaluated = 0;
  const study::History history = study::read_history(store, run).value();
  for (const study::CandidateHistory& candidate : history.candidates) {
    const db::StageRow* novelty = study::last_stage(candidate, job::Stage::kNovelty);
    evaluated += novelty != nullptr && novelty->verdict == job::Verdict::kPass ? 1 : 0;
  }
  EXPECT_LE(evaluated, options.max_evals);
  EXPECT_GT(evaluated, 10);
}

TEST_P(NightTest, EndsWithinEveryBudgetAndCountsEveryEvaluationOnce) {
  const Night night = night_of(GetParam());
  World* world = World::share();
  ASSERT_NE(world, nullptr);
  const int sessions = live_through(*world, night, folder_ / "night");
  ASSERT_GT(sessions, 0);
  const auto store = db::Store::open(folder_ / "night").value();
  const study::History history = history_of(folder_ / "night");
  EXPECT_EQ(history.run.state, db::RunState::kFinished);
  expect_counted_once(history);
  expect_within_budgets(*world, night, *store);

  // The same search without a fault, as far as that one came: it decided the same.
  Night clean = night;
  clean.faults = {};
  clean.kills = false;
  World* calm = World::share();
  ASSERT_EQ(live_through(*calm, clean, folder_ / "clean"), 1);
  const std::vector<std::string> wanted = decisions(history_of(folder_ / "clean"));
  const std::vector<std::string> got = decisions(history);
  size_t common = 0;
  while (common < std::min(wanted.size(), got.size()) && wanted[common] == got[common]) { ++common; }
  // The last batch of either may be incomplete.
  EXPECT_GE(common + 8, std::min(wanted.size(), got.size())) << "differs at " << common << ":\n"
                                                             << got[common] << "\n"
                                                             << wanted[common];
  EXPECT_GT(got.size(), 15u);
  EXPECT_GT(world->crashes, 0);
  EXPECT_GT(sessions, 2);
  ::munmap(world, sizeof(World));
  ::munmap(calm, sizeof(World));
}

uint64_t nights() {
  const char* wanted = std::getenv("VORTEX_NIGHTS");
  return wanted == nullptr ? 2 : static_cast<uint64_t>(std::max(1, std::atoi(wanted)));
}

INSTANTIATE_TEST_SUITE_P(Seeds, NightTest, testing::Range<uint64_t>(1, nights() + 1));

}  // namespace
}  // namespace vortex::agent
