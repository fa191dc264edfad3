// What keeps a workspace whole: the look at its opening, `vortex db`, a disk that fills up, reading without writing.
#include "db/check.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <set>
#include <string>

#include "base/files.h"
#include "db/lock.h"
#include "db/migrations.h"
#include "db/store.h"

namespace vortex::db {
namespace {

namespace fs = std::filesystem;

class CheckTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "vortex-check-XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
    workspace_ = folder_ / "workspace";
    auto store = open();
    run_ = store->add_run({0, "brisk-otter", "{}", RunState::kRunning, 1, 0, 0, 0}).value();
    Candidate candidate;
    candidate.run = run_;
    candidate.module_object = store->put_object("a module").value();
    candidate.config_object = store->put_object("{}").value();
    module_ = candidate.module_object;
    candidate_ = store->add_candidate(candidate, {}).value();
  }
  void TearDown() override { fs::remove_all(folder_); }

  std::unique_ptr<Store> open(StoreOptions options = {}) {
    auto store = Store::open(workspace_, std::move(options));
    EXPECT_TRUE(store.ok()) << (store.ok() ? "" : store.error().message);
    return std::move(store).value();
  }
  fs::path object(const std::string& name) const { return workspace_ / "objects" / name.substr(0, 2) / name; }

  void add_stage(Store& store, int64_t attempt, size_t log_bytes) {
    StageRow row;
    row.candidate = candidate_;
    row.attempt = attempt;
    row.stage = job::Stage::kRace;
    row.verdict = job::Verdict::kPass;
    row.metrics = "[]";
    row.evidence = "{}";
    row.log_tail = std::string(log_bytes, 'l');
    ASSERT_TRUE(store.add_stage(row, {}).ok());
  }

  fs::path folder_;
  fs::path workspace_;
  int64_t run_ = 0;
  int64_t candidate_ = 0;
  std::string module_;
};

TEST_F(CheckTest, FindsWhatIsLostDamagedOrUnused) {
  const auto whole = check_workspace(workspace_);
  ASSERT_TRUE(whole.ok()) << whole.error().message;
  EXPECT_TRUE(whole->faults.empty()) << whole->faults.front();
  EXPECT_EQ(whole->objects, 2);
  EXPECT_EQ(whole->unused_objects, 0);
  EXPECT_GE(whole->rows, 2);

  open()->put_object("nobody names me").value();
  std::ofstream(object(module_)) << "something else";
  const auto damaged = check_workspace(workspace_);
  ASSERT_TRUE(damaged.ok());
  EXPECT_EQ(damaged->faults, std::vector<std::string>{"object damaged: " + module_});
  EXPECT_EQ(damaged->unused_objects, 1);

  fs::remove(object(module_));
  const auto lost = check_workspace(workspace_);
  ASSERT_TRUE(lost.ok());
  EXPECT_EQ(lost->faults, std::vector<std::string>{"object lost: " + module_});
}

// Damage in the middle of the file, where no header tells of it, is found when it is opened.
TEST_F(CheckTest, ADamagedPageIsFoundAtTheOpening) {
  {
    auto store = open();
    for (int64_t attempt = 1; attempt <= 40; ++attempt) { add_stage(*store, attempt, 3000); }
  }
  ASSERT_TRUE(vacuum(workspace_).ok());
  {
    std::fstream file(workspace_ / "vortex.db", std::ios::in | std::ios::out | std::ios::binary);
    const auto size = static_cast<std::streamoff>(fs::file_size(workspace_ / "vortex.db"));
    for (std::streamoff at = size / 2 / 4096 * 4096; at < size - 4096; at += 4096) {  // where pages begin
      file.seekp(at);
      file << std::string(600, '\xff');
    }
  }
  const auto store = Store::open(workspace_);
  ASSERT_FALSE(store.ok());
  EXPECT_EQ(store.error().blame, Blame::kEnvironment);
  EXPECT_NE(store.error().message.find("vortex.db"), std::string::npos) << store.error().message;
  EXPECT_TRUE(is_lasting(store.error())) << store.error().hint;
}

TEST_F(CheckTest, ALostObjectIsLastingAndAFullDiskIsNot) {
  auto store = open({1000, [] { return int64_t{999}; }});
  fs::remove(object(module_));
  const auto lost = store->get_object(module_);
  ASSERT_FALSE(lost.ok());
  EXPECT_EQ(lost.error().blame, Blame::kEnvironment);
  EXPECT_TRUE(is_lasting(lost.error()));
  const auto full = store->put_object("one more");
  ASSERT_FALSE(full.ok());
  EXPECT_EQ(full.error().blame, Blame::kEnvironment);
  EXPECT_FALSE(is_lasting(full.error()));
}

TEST_F(CheckTest, NothingNewBeginsOnANearlyFullDiskButWhatRunsMayEnd) {
  int64_t free_bytes = 100;
  auto store = open({1000, [&] { return free_bytes; }});
  const auto refused = store->add_run({0, "second", "{}", RunState::kRunning, 1, 0, 0, 0});
  ASSERT_FALSE(refused.ok());
  EXPECT_NE(refused.error().message.find("nearly full"), std::string::npos) << refused.error().message;
  EXPECT_FALSE(store->put_object("more").ok());
  EXPECT_TRUE(store->put_object("a module").ok()) << "it is there already";
  EXPECT_TRUE(store->set_candidate_state(candidate_, CandidateState::kDone, job::Verdict::kPass).ok());
  EXPECT_TRUE(store->set_run_state(run_, RunState::kInterrupted).ok());
  free_bytes = 1000;
  EXPECT_TRUE(store->add_run({0, "second", "{}", RunState::kRunning, 1, 0, 0, 0}).ok());
  EXPECT_TRUE(store->put_object("more").ok());
}

TEST_F(CheckTest, ABackupIsAWorkspaceAlsoWhileItIsWritten) {
  auto store = open();
  add_stage(*store, 1, 100);  // in the log, not yet in the file
  const auto report = back_up(workspace_, folder_ / "backup");
  ASSERT_TRUE(report.ok()) << report.error().message;
  EXPECT_EQ(report->objects, 2);
  add_stage(*store, 2, 100);
  std::set<std::string> left;
  for (const auto& entry : fs::directory_iterator(folder_ / "backup")) { left.insert(entry.path().filename()); }
  EXPECT_EQ(left, (std::set<std::string>{"objects", "vortex.db"}));
  auto copy = Store::open_read_only(folder_ / "backup").value();
  EXPECT_EQ(copy->stages(candidate_).value().size(), 1U);
  EXPECT_EQ(copy->get_object(module_).value(), "a module");
  EXPECT_TRUE(check_workspace(folder_ / "backup")->faults.empty());
  const auto again = back_up(workspace_, folder_ / "backup");
  ASSERT_FALSE(again.ok()) << "a backup is never written over";
  EXPECT_EQ(again.error().blame, Blame::kCandidate);
}

TEST_F(CheckTest, VacuumGivesBackRoomAndRemovesWhatNobodyNames) {
  const std::string unused = open()->put_object("nobody names me").value();
  const auto report = vacuum(workspace_);
  ASSERT_TRUE(report.ok()) << report.error().message;
  EXPECT_EQ(report->objects_removed, 1);
  EXPECT_LE(report->bytes_after, report->bytes_before);
  EXPECT_FALSE(fs::exists(object(unused)));
  EXPECT_EQ(open()->get_object(module_).value(), "a module");
}

// A database of the first release is brought up to date, and what it was stays beside it.
TEST_F(CheckTest, MigrationKeepsTheOldDatabase) {
  EXPECT_EQ(migrate_workspace(workspace_)->from, migrate_workspace(workspace_)->to);
  {
    auto connection = Connection::open(workspace_ / "vortex.db", Connection::Mode::kReadWrite);
    ASSERT_TRUE(connection.ok());
    ASSERT_TRUE(connection
                    ->execute("DROP TABLE request; DROP TABLE mark; DROP TABLE verdict; DROP TABLE note;"
                              "DROP TABLE llm_call; DROP TABLE spend; ALTER TABLE run DROP COLUMN gpu_seconds_used;"
                              "ALTER TABLE candidate DROP COLUMN arm; PRAGMA user_version = 1")
                    .ok());
  }
  const auto refused = Store::open_read_only(workspace_);
  ASSERT_FALSE(refused.ok());
  EXPECT_NE(refused.error().hint.find("vortex db migrate"), std::string::npos);
  const auto report = migrate_workspace(workspace_);
  ASSERT_TRUE(report.ok()) << report.error().message;
  EXPECT_EQ(report->from, 1);
  EXPECT_EQ(report->to, schema_version());
  EXPECT_TRUE(Store::open_read_only(workspace_).ok());
  auto kept = Connection::open(report->kept, Connection::Mode::kReadOnly);
  ASSERT_TRUE(kept.ok());
  EXPECT_EQ(kept->integer("PRAGMA user_version").value(), 1);
}

// In a process that may not write the workspace: with an empty log, and with one that holds commits.
TEST_F(CheckTest, AWorkspaceThatCannotBeWrittenCanBeRead) {
  for (const bool with_log : {false, true}) {
    SCOPED_TRACE(with_log ? "with a log" : "without a log");
    std::unique_ptr<Store> writer;
    if (with_log) {
      writer = open();
      add_stage(*writer, 1, 100);
      fs::remove(folder_ / "frozen");
      fs::copy(workspace_, folder_ / "frozen", fs::copy_options::recursive);
      fs::remove(folder_ / "frozen" / "vortex.db-shm");
    } else {
      fs::copy(workspace_, folder_ / "frozen", fs::copy_options::recursive);
    }
    ::chmod(folder_.c_str(), 0755);
    ::chmod((folder_ / "frozen").c_str(), 0555);
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      if (::geteuid() == 0 && ::setuid(65534) != 0) { ::_exit(10); }
      auto store = Store::open_read_only(folder_ / "frozen");
      if (!store.ok()) { ::_exit(1); }
      const auto stages = (*store)->stages(candidate_);
      if (!stages.ok()) { ::_exit(2); }
      if (stages->size() != (with_log ? 1U : 0U)) { ::_exit(3); }
      const auto found = (*store)->get_object(module_);
      ::_exit(found.ok() ? 0 : 4);
    }
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFEXITED(status));
    EXPECT_EQ(WEXITSTATUS(status), 0);
    ::chmod((folder_ / "frozen").c_str(), 0755);
    fs::remove_all(folder_ / "frozen");
  }
}

}  // namespace
}  // namespace vortex::db
