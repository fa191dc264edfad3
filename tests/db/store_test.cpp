#include "db/store.h"

#include <gtest/gtest.h>
#include <sqlite3.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>

#include "base/sha256.h"
#include "db/lock.h"
#include "db/migrations.h"

namespace vortex::db {
namespace {

class StoreTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (std::filesystem::temp_directory_path() / "vortex-db-XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
  }
  void TearDown() override {
    std::filesystem::permissions(folder_, std::filesystem::perms::owner_all);
    std::filesystem::remove_all(folder_);
  }

  std::unique_ptr<Store> open() {
    auto store = Store::open(folder_);
    EXPECT_TRUE(store.ok()) << store.error().message;
    return std::move(store).value();
  }

  // Runs raw SQL on the database file, as a foreign program would.
  void raw_sql(const std::string& sql) const {
    sqlite3* handle = nullptr;
    ASSERT_EQ(sqlite3_open((folder_ / "vortex.db").c_str(), &handle), SQLITE_OK);
    EXPECT_EQ(sqlite3_exec(handle, sql.c_str(), nullptr, nullptr, nullptr), SQLITE_OK) << sqlite3_errmsg(handle);
    sqlite3_close(handle);
  }

  std::filesystem::path folder_;
};

Run example_run(const std::string& name) {
  Run run;
  run.name = name;
  run.config = R"({"seed":1})";
  run.started = 10.0;
  return run;
}

Candidate example_candidate(int64_t run, int64_t batch, int64_t slot, int64_t draw = 0) {
  Candidate candidate;
  candidate.run = run;
  candidate.batch = batch;
  candidate.slot = slot;
  candidate.draw = draw;
  candidate.key = "key" + std::to_string(batch) + std::to_string(slot);
  return candidate;
}

StageRow example_stage(int64_t candidate, int64_t attempt, StageRound stage) {
  StageRow row;
  row.candidate = candidate;
  row.attempt = attempt;
  row.stage = stage;
  row.verdict = job::Verdict::kPass;
  row.metrics = R"([{"name":"accuracy"}])";
  row.evidence = "{}";
  row.seconds = 1.5;
  return row;
}

OutcomeRow example_outcome(int64_t candidate, int64_t attempt, int64_t trial) {
  return {candidate, attempt, job::Stage::kRace, "chain-3", trial, trial % 2 == 0, 40, "7", "last", "abc"};
}

TEST_F(StoreTest, KeepsEverythingOverAReopen) {
  int64_t run = 0;
  int64_t child = 0;
  std::string object;
  {
    auto store = open();
    run = store->add_run(example_run("brisk-otter")).value();
    const int64_t parent = store->add_candidate(example_candidate(run, 0, 0), {}).value();
    child = store->add_candidate(example_candidate(run, 1, 0), {{0, parent, "topk_val 29 -> 21"}}).value();
    ASSERT_TRUE(store->set_candidate_state(child, CandidateState::kRunning, std::nullopt).ok());
    ASSERT_TRUE(store
                    ->add_stage(example_stage(child, 1, job::Stage::kRace),
                                {example_outcome(child, 1, 0), example_outcome(child, 1, 1)})
                    .ok());
    ASSERT_TRUE(store->set_candidate_state(child, CandidateState::kDone, job::Verdict::kPass).ok());
    ASSERT_TRUE(store->add_run_seconds(run, 2.5, 5.0).ok());
    ASSERT_TRUE(store->add_run_seconds(run, 0.5, 0.0).ok());
    ASSERT_TRUE(store->add_event(run, "started", R"({"pid":1})").ok());
    object = store->put_object("def f(): pass\n").value();
    EXPECT_EQ(store->put_object("def f(): pass\n").value(), object);
  }
  auto store = Store::open_read_only(folder_).value();
  const auto found = store->find_run("brisk-otter").value();
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->id, run);
  EXPECT_DOUBLE_EQ(found->seconds_used, 3.0);
  EXPECT_DOUBLE_EQ(found->gpu_seconds_used, 5.0);
  EXPECT_EQ(found->config, R"({"seed":1})");
  EXPECT_EQ(store->find_run(std::to_string(run)).value()->name, "brisk-otter");
  EXPECT_FALSE(store->find_run("no-such-run").value().has_value());

  const auto candidates = store->candidates(run).value();
  ASSERT_EQ(candidates.size(), 2u);
  EXPECT_EQ(candidates[1].id, child);
  EXPECT_EQ(candidates[1].verdict, job::Verdict::kPass);
  EXPECT_EQ(store->find_candidate(child).value()->state, CandidateState::kDone);
  EXPECT_FALSE(store->find_candidate(99).value().has_value());
  const auto edges = store->lineage(run).value();
  ASSERT_EQ(edges.size(), 1u);
  EXPECT_EQ(edges[0].operation, "topk_val 29 -> 21");

  const auto stages = store->stages(child).value();
  ASSERT_EQ(stages.size(), 1u);
  EXPECT_EQ(stages[0].metrics, R"([{"name":"accuracy"}])");
  EXPECT_GT(stages[0].created, 0.0);
  EXPECT_EQ(store->stages_of_run(run).value().size(), 1u);
  const auto outcomes = store->outcomes(child, 1, job::Stage::kRace).value();
  ASSERT_EQ(outcomes.size(), 2u);
  EXPECT_TRUE(outcomes[0].correct);
  EXPECT_FALSE(outcomes[1].correct);
  EXPECT_EQ(outcomes[1].tokens_hash, "abc");
  EXPECT_EQ(store->outcomes_of_run(run).value().size(), 2u);
  EXPECT_EQ(store->events(run).value().at(0).kind, "started");
  EXPECT_EQ(store->get_object(object).value(), "def f(): pass\n");
}

TEST_F(StoreTest, RunsAreListedNewestFirstAndEndWhenTheyStopRunning) {
  auto store = open();
  const int64_t first = store->add_run(example_run("one")).value();
  store->add_run(example_run("two")).value();
  EXPECT_EQ(store->runs().value().at(0).name, "two");
  ASSERT_TRUE(store->set_run_state(first, RunState::kInterrupted).ok());
  EXPECT_GT(store->find_run("one").value()->ended, 0.0);
  ASSERT_TRUE(store->set_run_state(first, RunState::kRunning).ok());
  EXPECT_EQ(store->find_run("one").value()->ended, 0.0);
}

TEST_F(StoreTest, SpendsAreKeptUntilAndAfterTheyAreSettled) {
  auto store = open();
  const int64_t run = store->add_run(example_run("r")).value();
  const int64_t other = store->add_run(example_run("s")).value();
  const int64_t call = store->add_spend({0, run, 0, 900, 0.5, false}).value();
  ASSERT_TRUE(store->add_spend({0, run, 0, 10, 0, true}).ok());
  ASSERT_TRUE(store->add_spend({0, other, 0, 1, 0, true}).ok());
  EXPECT_FALSE(store->add_spend({0, run, 0, -1, 0, true}).ok());
  EXPECT_FALSE(store->spends(run).value().at(0).settled);
  ASSERT_TRUE(store->settle_spend(call, 700, 0.25).ok());
  const auto spends = store->spends(run).value();
  ASSERT_EQ(spends.size(), 2u);
  EXPECT_TRUE(spends[0].settled);
  EXPECT_DOUBLE_EQ(spends[0].tokens, 700);
  EXPECT_DOUBLE_EQ(spends[0].dollars, 0.25);
}

TEST_F(StoreTest, ACallOfALanguageModelIsSentOnceAndEndsOnce) {
  auto store = open();
  const int64_t run = store->add_run(example_run("r")).value();
  LlmCall call;
  call.run = run;
  call.batch = 2;
  call.slot = 1;
  call.model = "local";
  call.prompt_object = store->put_object("write a policy").value();
  call.id = store->add_llm_call(call).value();
  EXPECT_FALSE(store->add_llm_call(call).ok()) << "the same attempt twice";
  call.state = CallState::kAnswered;
  call.finish = "stop";
  call.reply_object = store->put_object("here it is").value();
  call.input_tokens = 900;
  call.output_tokens = 300;
  call.dollars = 0.01;
  ASSERT_TRUE(store->end_llm_call(call).ok());
  LlmCall late = call;
  late.state = CallState::kFailed;
  ASSERT_TRUE(store->end_llm_call(late).ok());
  const auto calls = store->llm_calls(run).value();
  ASSERT_EQ(calls.size(), 1u);
  EXPECT_EQ(calls[0].state, CallState::kAnswered) << "an end is written once";
  EXPECT_EQ(store->get_object(calls[0].reply_object).value(), "here it is");
  EXPECT_EQ(calls[0].input_tokens, 900);
  EXPECT_DOUBLE_EQ(calls[0].dollars, 0.01);
}

TEST_F(StoreTest, NotesAndTheirVerdictsAreWrittenOnce) {
  auto store = open();
  const int64_t run = store->add_run(example_run("r")).value();
  const Note note{0, run, 1, 0, 0, NoteKind::kHypothesis, "less is more", R"({"metric":"speedup"})", 0};
  ASSERT_TRUE(store->add_note(note).ok());
  ASSERT_TRUE(store->add_note(note).ok());
  auto notes = store->notes(run).value();
  ASSERT_EQ(notes.size(), 1u);
  EXPECT_EQ(notes[0].prediction, note.prediction);
  ASSERT_TRUE(store->add_verdict({notes[0].id, Finding::kConfirmed, 0.2, 0.1, 0.3, "measured", 0}).ok());
  ASSERT_TRUE(store->add_verdict({notes[0].id, Finding::kRefuted, 0, 0, 0, "", 0}).ok());
  const auto verdicts = store->verdicts(run).value();
  ASSERT_EQ(verdicts.size(), 1u);
  EXPECT_EQ(verdicts[0].verdict, Finding::kConfirmed);
  EXPECT_DOUBLE_EQ(verdicts[0].hi, 0.3);
  EXPECT_FALSE(store->add_verdict({notes[0].id + 1, Finding::kConfirmed, 0, 0, 0, "", 0}).ok()) << "no such note";
}

// A workspace of the first release is brought up to date with everything in it.
TEST_F(StoreTest, AnOlderSchemaIsMigratedWithItsRows) {
  int64_t run = 0;
  {
    auto store = open();
    run = store->add_run(example_run("r")).value();
    ASSERT_TRUE(store->add_candidate(example_candidate(run, 1, 2), {}).ok());
  }
  raw_sql(
      "DROP TABLE request; DROP TABLE mark; DROP TABLE verdict; DROP TABLE note; DROP TABLE llm_call;"
      "DROP TABLE spend; ALTER TABLE run DROP COLUMN gpu_seconds_used; ALTER TABLE candidate DROP COLUMN arm;"
      "PRAGMA user_version = 1");
  EXPECT_FALSE(Store::open_read_only(folder_).ok());  // a reader may not migrate
  auto store = open();
  const auto candidates = store->candidates(run).value();
  ASSERT_EQ(candidates.size(), 1u);
  EXPECT_EQ(candidates[0].arm, Arm::kSearch);
  EXPECT_EQ(store->find_run("r").value()->gpu_seconds_used, 0);
  EXPECT_TRUE(store->spends(run).value().empty());
}

TEST_F(StoreTest, AddingTheSamePlaceTwiceReturnsTheFirstUnchanged) {
  auto store = open();
  const int64_t run = store->add_run(example_run("r")).value();
  const int64_t id = store->add_candidate(example_candidate(run, 1, 2), {}).value();
  Candidate other = example_candidate(run, 1, 2);
  other.key = "another";
  EXPECT_EQ(store->add_candidate(other, {}).value(), id);
  EXPECT_EQ(store->find_candidate(id).value()->key, "key12");
  EXPECT_NE(store->add_candidate(example_candidate(run, 1, 2, 1), {}).value(), id);
  EXPECT_EQ(store->candidates(run).value().size(), 2u);
}

TEST_F(StoreTest, AFailedCallLeavesNothingBehind) {
  auto store = open();
  const int64_t run = store->add_run(example_run("r")).value();
  EXPECT_EQ(store->add_run(example_run("r")).error().blame, Blame::kInternal);  // names are unique
  EXPECT_FALSE(store->add_candidate(example_candidate(run, 0, 0), {{0, 77, "no such parent"}}).ok());
  EXPECT_TRUE(store->candidates(run).value().empty());
  const int64_t id = store->add_candidate(example_candidate(run, 0, 0), {}).value();
  // The second outcome repeats the first: the stage row must not survive either.
  EXPECT_FALSE(
      store->add_stage(example_stage(id, 1, job::Stage::kRace), {example_outcome(id, 1, 0), example_outcome(id, 1, 0)})
          .ok());
  EXPECT_TRUE(store->stages(id).value().empty());
  EXPECT_FALSE(store->set_candidate_state(id, CandidateState::kDone, std::nullopt).ok());  // done needs a verdict
  StageRow broken = example_stage(id, 1, job::Stage::kRace);
  broken.metrics = "{not json";
  EXPECT_FALSE(store->add_stage(broken, {}).ok());
}

TEST_F(StoreTest, AProposalAndItsStagesAreOneTransaction) {
  auto store = open();
  const int64_t run = store->add_run(example_run("r")).value();
  Candidate refused = example_candidate(run, 1, 0);
  refused.state = CandidateState::kDone;
  refused.verdict = job::Verdict::kPruned;
  const std::vector<StageRow> stages = {example_stage(0, 1, job::Stage::kCheck),
                                        example_stage(0, 1, job::Stage::kNovelty)};
  const int64_t id = store->add_proposal(refused, {}, stages).value();
  EXPECT_EQ(store->find_candidate(id).value()->verdict, job::Verdict::kPruned);
  const std::vector<StageRow> kept = store->stages(id).value();
  ASSERT_EQ(kept.size(), 2U);
  EXPECT_EQ(kept[1].stage, job::Stage::kNovelty);
  EXPECT_EQ(store->add_proposal(refused, {}, stages).value(), id) << "it is there already";
  EXPECT_EQ(store->stages(id).value().size(), 2U);
  // The second stage repeats the first: nothing of it may survive.
  EXPECT_FALSE(store->add_proposal(example_candidate(run, 1, 1), {}, {stages[0], stages[0]}).ok());
  EXPECT_EQ(store->candidates(run).value().size(), 1U);
}

TEST_F(StoreTest, AMissingWorkspaceIsTheUsersMistake) {
  const auto store = Store::open_read_only(folder_ / "nowhere");
  ASSERT_FALSE(store.ok());
  EXPECT_EQ(store.error().blame, Blame::kCandidate);
  EXPECT_NE(store.error().message.find("nowhere"), std::string::npos);
}

TEST_F(StoreTest, ANewerSchemaIsRefusedAndLeftAlone) {
  open();
  raw_sql("PRAGMA user_version = " + std::to_string(schema_version() + 1));
  const auto writer = Store::open(folder_);
  ASSERT_FALSE(writer.ok());
  EXPECT_EQ(writer.error().blame, Blame::kEnvironment);
  EXPECT_NE(writer.error().message.find("newer"), std::string::npos);
  EXPECT_FALSE(Store::open_read_only(folder_).ok());
  raw_sql("PRAGMA user_version = " + std::to_string(schema_version()));
  EXPECT_TRUE(Store::open(folder_).ok());
}

// The schema lets any origin, stage and purpose in: a later program may have more of them.
TEST_F(StoreTest, AWordOfANewerProgramIsNamedAndWaitedForByNobody) {
  struct Case {
    const char* sql;
    const char* word;
    std::function<Status(Store&, int64_t run, int64_t candidate)> read;
  };
  const auto candidates = [](Store& store, int64_t run, int64_t) -> Status {
    VORTEX_TRY(store.candidates(run));
    return ok_status();
  };
  const auto one = [](Store& store, int64_t, int64_t candidate) -> Status {
    VORTEX_TRY(store.find_candidate(candidate));
    return ok_status();
  };
  const auto stages = [](Store& store, int64_t run, int64_t) -> Status {
    VORTEX_TRY(store.stages_of_run(run));
    return ok_status();
  };
  const auto calls = [](Store& store, int64_t run, int64_t) -> Status {
    VORTEX_TRY(store.llm_calls(run));
    return ok_status();
  };
  const std::vector<Case> cases = {
      {"UPDATE candidate SET origin = 'breed'", "breed", candidates},
      {"UPDATE candidate SET origin = 'breed'", "breed", one},
      {"UPDATE stage SET stage = 'speed-two'", "speed-two", stages},
      {"UPDATE llm_call SET purpose = 'criticize'", "criticize", calls},
  };
  for (const Case& c : cases) {
    std::filesystem::remove_all(folder_);
    int64_t run = 0;
    int64_t candidate = 0;
    {
      auto store = open();
      run = store->add_run(example_run("r")).value();
      candidate = store->add_candidate(example_candidate(run, 0, 0), {}).value();
      ASSERT_TRUE(store->add_stage(example_stage(candidate, 1, job::Stage::kSpeed), {}).ok());
      LlmCall call;
      call.run = run;
      ASSERT_TRUE(store->add_llm_call(call).ok());
      ASSERT_TRUE(c.read(*store, run, candidate).ok()) << c.word;
    }
    raw_sql(c.sql);
    auto store = Store::open_read_only(folder_).value();
    const Status status = c.read(*store, run, candidate);
    ASSERT_FALSE(status.ok()) << c.word;
    EXPECT_EQ(status.error().blame, Blame::kEnvironment);
    EXPECT_NE(status.error().message.find(c.word), std::string::npos) << status.error().message;
    EXPECT_NE(status.error().hint.find("newer"), std::string::npos) << status.error().hint;
    EXPECT_TRUE(is_lasting(status.error()));
  }
}

TEST_F(StoreTest, AForeignDatabaseIsRefused) {
  raw_sql("CREATE TABLE theirs (a)");
  const auto store = Store::open(folder_);
  ASSERT_FALSE(store.ok());
  EXPECT_EQ(store.error().blame, Blame::kEnvironment);
  EXPECT_NE(store.error().message.find("not a vortex database"), std::string::npos);
}

TEST_F(StoreTest, ACorruptFileIsAClearError) {
  std::ofstream(folder_ / "vortex.db") << std::string(8192, 'x');
  const auto store = Store::open(folder_);
  ASSERT_FALSE(store.ok());
  EXPECT_EQ(store.error().blame, Blame::kEnvironment);
  EXPECT_NE(store.error().message.find("vortex.db"), std::string::npos);
  EXPECT_NE(store.error().hint.find("damaged"), std::string::npos);
}

TEST_F(StoreTest, AnUnwritableWorkspaceIsAClearError) {
  std::ofstream(folder_ / "file") << "in the way";
  const auto store = Store::open(folder_ / "file" / "workspace");
  ASSERT_FALSE(store.ok());
  EXPECT_EQ(store.error().blame, Blame::kEnvironment);
  EXPECT_FALSE(store.error().hint.empty());
}

TEST_F(StoreTest, AReadOnlyStoreCannotWrite) {
  open();
  auto store = Store::open_read_only(folder_).value();
  const auto added = store->add_run(example_run("r"));
  ASSERT_FALSE(added.ok());
  EXPECT_EQ(added.error().blame, Blame::kEnvironment);
}

TEST_F(StoreTest, ADamagedOrMissingObjectIsNoticed) {
  auto store = open();
  const std::string name = store->put_object("the source").value();
  std::ofstream(folder_ / "objects" / name.substr(0, 2) / name) << "something else";
  ASSERT_FALSE(store->get_object(name).ok());
  EXPECT_NE(store->get_object(name).error().message.find("damaged"), std::string::npos);
  EXPECT_EQ(store->get_object(sha256_hex("never stored")).error().blame, Blame::kEnvironment);
  EXPECT_EQ(store->get_object("../../etc/passwd").error().blame, Blame::kInternal);
}

// A full disk, played by a file size limit in a child: the call fails as the environment's fault, and what was there
// before is intact.
TEST_F(StoreTest, AFullDiskFailsTheCallAndNothingElse) {
  int64_t run = 0;
  {
    auto store = open();
    run = store->add_run(example_run("r")).value();
    store->add_candidate(example_candidate(run, 0, 0), {}).value();
  }
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    ::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{200'000, 200'000};
    ::setrlimit(RLIMIT_FSIZE, &limit);
    auto store = Store::open(folder_);
    if (!store.ok()) { ::_exit(2); }
    StageRow row = example_stage(1, 1, job::Stage::kRace);
    row.log_tail = std::string(1'000'000, 'l');
    const auto added = (*store)->add_stage(row, {});
    if (added.ok()) { ::_exit(3); }
    if (added.error().blame != Blame::kEnvironment || added.error().hint.empty()) { ::_exit(4); }
    if ((*store)->put_object(std::string(1'000'000, 'o')).ok()) { ::_exit(5); }
    row.log_tail.clear();
    ::_exit((*store)->add_stage(row, {}).ok() ? 0 : 6);  // a small row still fits
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
  auto store = open();
  EXPECT_EQ(store->candidates(run).value().size(), 1u);
  EXPECT_EQ(store->stages(1).value().size(), 1u);
}

// A child writes stages with outcomes and says on a pipe after each call that it returned; it is killed at random
// moments. Everything that it reported must be there, whole, and nothing half.
TEST_F(StoreTest, KillingTheWriterLosesNothingThatWasReported) {
  constexpr int kOutcomes = 20;
  auto setup = open();
  const int64_t run = setup->add_run(example_run("r")).value();
  const int64_t id = setup->add_candidate(example_candidate(run, 0, 0), {}).value();
  setup.reset();
  int64_t reported = 0;
  for (int round = 0; round < 6; ++round) {
    int pipe_ends[2];
    ASSERT_EQ(::pipe(pipe_ends), 0);
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      auto store = Store::open(folder_).value();
      for (int64_t attempt = reported + 1;; ++attempt) {
        std::vector<OutcomeRow> outcomes;
        for (int trial = 0; trial < kOutcomes; ++trial) { outcomes.push_back(example_outcome(id, attempt, trial)); }
        // An attempt of the last round may have been committed but not reported: then the row exists.
        if (!store->add_stage(example_stage(id, attempt, job::Stage::kRace), outcomes).ok() && attempt > reported + 1) {
          ::_exit(1);
        }
        if (::write(pipe_ends[1], &attempt, sizeof attempt) != sizeof attempt) { ::_exit(2); }
      }
    }
    ::close(pipe_ends[1]);
    for (int calls = 0; calls < 3 + 5 * round; ++calls) {
      ASSERT_EQ(::read(pipe_ends[0], &reported, sizeof reported), static_cast<ssize_t>(sizeof reported));
    }
    ::usleep(static_cast<useconds_t>(700 * round));  // somewhere inside a later call
    ::kill(child, SIGKILL);
    ASSERT_EQ(::waitpid(child, nullptr, 0), child);
    int64_t later = 0;
    while (::read(pipe_ends[0], &later, sizeof later) == static_cast<ssize_t>(sizeof later)) { reported = later; }
    ::close(pipe_ends[0]);

    auto store = open();
    const auto stages = store->stages(id).value();
    EXPECT_GE(static_cast<int64_t>(stages.size()), reported);
    EXPECT_LE(static_cast<int64_t>(stages.size()), reported + 1);
    EXPECT_EQ(store->outcomes_of_run(run).value().size(), stages.size() * kOutcomes);
  }
  EXPECT_GT(reported, 20);
}

TEST_F(StoreTest, TheLockIsHeldByOneProcessAndFreedByItsDeath) {
  open();
  EXPECT_FALSE(lock_holder(folder_).has_value());
  int pipe_ends[2];
  ASSERT_EQ(::pipe(pipe_ends), 0);
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    const auto lock = WorkspaceLock::acquire(folder_);
    const char byte = lock.ok() ? 'y' : 'n';
    if (::write(pipe_ends[1], &byte, 1) != 1) { ::_exit(1); }
    for (;;) { ::pause(); }
  }
  char byte = 0;
  ASSERT_EQ(::read(pipe_ends[0], &byte, 1), 1);
  EXPECT_EQ(byte, 'y');
  EXPECT_EQ(lock_holder(folder_), child);
  const auto refused = WorkspaceLock::acquire(folder_);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().blame, Blame::kEnvironment);
  std::array<char, 256> host{};
  ASSERT_EQ(::gethostname(host.data(), host.size() - 1), 0);
  const std::string holder = "(process " + std::to_string(child) + " on " + host.data() + ", for ";
  EXPECT_NE(refused.error().message.find(holder), std::string::npos) << refused.error().message;
  ::kill(child, SIGKILL);
  ASSERT_EQ(::waitpid(child, nullptr, 0), child);
  EXPECT_FALSE(lock_holder(folder_).has_value());
  EXPECT_TRUE(WorkspaceLock::acquire(folder_).ok());
  ::close(pipe_ends[0]);
  ::close(pipe_ends[1]);
}

TEST_F(StoreTest, AStopRequestCanBeWrittenBesideARunningSearch) {
  auto search = open();
  const int64_t run = search->add_run(example_run("r")).value();
  auto other = open();
  ASSERT_TRUE(other->add_event(run, "stop-requested", "{}").ok());
  const auto events = search->events(run).value();
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].kind, "stop-requested");
}

}  // namespace
}  // namespace vortex::db
