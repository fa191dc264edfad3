#include "db/store.h"

#include <system_error>

#include "base/clock.h"
#include "base/files.h"
#include "base/sha256.h"
#include "db/check.h"
#include "db/migrations.h"
#include "db/rows.h"
#include "db/sqlite_store.h"

namespace vortex::db {
namespace {

Status insert_outcome(Connection& connection, const OutcomeRow& row) {
  Statement insert(connection,
                   std::string("INSERT INTO outcome (") + kOutcomeColumns + ") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
  insert.bind(row.candidate).bind(row.attempt).bind(row.stage).bind(row.problem).bind(row.trial);
  insert.bind(int64_t{row.correct}).bind(row.tokens).bind(row.extracted).bind(row.rule).bind(row.tokens_hash);
  return insert.run();
}

Status insert_stage(Connection& connection, const StageRow& row) {
  Statement insert(
      connection,
      "INSERT INTO stage (candidate, attempt, stage, verdict, blame, message, metrics, evidence, log_tail, "
      "seconds, created) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
  insert.bind(row.candidate).bind(row.attempt).bind(row.stage).bind(row.verdict).bind(row.blame).bind(row.message);
  insert.bind(row.metrics).bind(row.evidence).bind(row.log_tail).bind(row.seconds);
  insert.bind(row.created > 0 ? row.created : wall_seconds());
  return insert.run();
}

// WAL lets readers read beside the writer. Killing this program loses no commit. A power cut loses none before the last
// durable one (below): that of a candidate's verdict, a run's state, money spent.
Status configure_writer(Connection& connection) {
  VORTEX_TRY(connection.execute("PRAGMA journal_mode = WAL"));
  VORTEX_TRY(connection.execute("PRAGMA synchronous = NORMAL"));
  return connection.execute("PRAGMA foreign_keys = ON");
}

// Runs a write whose commit waits for the disk, and with it every commit before: the log is synced as a whole.
Status durably(Connection& connection, Statement& write) {
  VORTEX_TRY(connection.execute("PRAGMA synchronous = FULL"));
  const Status written = write.run();
  VORTEX_TRY(connection.execute("PRAGMA synchronous = NORMAL"));
  return written;
}

}  // namespace

bool is_lasting(const Error& error) {
  return error.hint == kDamagedHint || error.hint == kLostHint || error.hint == kNewerHint;
}

Result<std::unique_ptr<Store>> Store::open(const std::filesystem::path& workspace, StoreOptions options) {
  std::error_code ec;
  std::filesystem::create_directories(workspace / "objects", ec);
  if (ec) {
    return environment_error("cannot create the workspace " + workspace.string() + ": " + ec.message(),
                             "check that you may write there, or choose another --workspace");
  }
  VORTEX_ASSIGN(Connection connection, Connection::open(workspace / "vortex.db", Connection::Mode::kReadWrite));
  VORTEX_TRY(configure_writer(connection));
  VORTEX_TRY(migrate(connection));
  VORTEX_TRY(check_whole(connection, workspace / "vortex.db"));
  return std::unique_ptr<Store>(std::make_unique<SqliteStore>(workspace, std::move(connection), std::move(options)));
}

Result<std::unique_ptr<Store>> Store::open_read_only(const std::filesystem::path& workspace) {
  VORTEX_ASSIGN(Reading reading, open_for_reading(workspace));
  VORTEX_TRY(check_schema(reading.connection));
  return std::unique_ptr<Store>(
      std::make_unique<SqliteStore>(workspace, std::move(reading.connection), StoreOptions{}, std::move(reading.copy)));
}

Status SqliteStore::room() const {
  int64_t left = 0;
  if (options_.free_bytes) {
    left = options_.free_bytes();
  } else {
    std::error_code ec;
    const auto space = std::filesystem::space(workspace_, ec);
    if (ec) {
      return ok_status();  // whoever writes next is told why
    }
    left = static_cast<int64_t>(space.available);
  }
  if (left >= options_.reserve_bytes) { return ok_status(); }
  return environment_error(
      "the disk is nearly full: " + std::to_string(left >> 20) + " MiB are left for " + workspace_.string(),
      "free some space: `vortex db vacuum` may find some, and " + workspace_.string() + "/prefixes is only a cache");
}

Result<int64_t> SqliteStore::add_run(const Run& run) {
  const MutexLock guard(mutex_);
  VORTEX_TRY(room());
  Statement insert(connection_,
                   "INSERT INTO run (name, config, state, started, ended, seconds_used) VALUES (?, ?, ?, ?, ?, ?)");
  insert.bind(run.name).bind(run.config).bind(run.state).bind(run.started).bind(run.ended).bind(run.seconds_used);
  VORTEX_TRY(insert.run());
  return connection_.last_insert_id();
}

Status SqliteStore::set_run_state(int64_t run, RunState state) {
  const MutexLock guard(mutex_);
  Statement update(connection_, "UPDATE run SET state = ?, ended = ? WHERE id = ?");
  update.bind(state).bind(state == RunState::kRunning ? 0.0 : wall_seconds()).bind(run);
  return durably(connection_, update);
}

Status SqliteStore::set_run_config(int64_t run, const std::string& config) {
  const MutexLock guard(mutex_);
  Statement update(connection_, "UPDATE run SET config = ? WHERE id = ?");
  return update.bind(config).bind(run).run();
}

Status SqliteStore::add_run_seconds(int64_t run, double seconds, double gpu_seconds) {
  const MutexLock guard(mutex_);
  Statement update(connection_,
                   "UPDATE run SET seconds_used = seconds_used + ?, gpu_seconds_used = gpu_seconds_used + ? "
                   "WHERE id = ?");
  return update.bind(seconds).bind(gpu_seconds).bind(run).run();
}

Result<std::vector<Run>> SqliteStore::runs() {
  const MutexLock guard(mutex_);
  Statement select(connection_, std::string("SELECT ") + kRunColumns + " FROM run ORDER BY id DESC");
  return read_all(select, read_run);
}

Result<std::optional<Run>> SqliteStore::find_run(const std::string& name_or_id) {
  const MutexLock guard(mutex_);
  Statement select(connection_,
                   std::string("SELECT ") + kRunColumns + " FROM run WHERE name = ? OR CAST(id AS TEXT) = ?");
  select.bind(name_or_id).bind(name_or_id);
  return read_first(select, read_run);
}

Result<int64_t> SqliteStore::add_proposal(const Candidate& candidate, const std::vector<LineageEdge>& parents,
                                          const std::vector<StageRow>& stages) {
  const MutexLock guard(mutex_);
  VORTEX_TRY(room());
  Transaction transaction(connection_);
  VORTEX_TRY(transaction.begin());
  Statement find(connection_, "SELECT id FROM candidate WHERE run = ? AND batch = ? AND slot = ? AND draw = ?");
  find.bind(candidate.run).bind(candidate.batch).bind(candidate.slot).bind(candidate.draw);
  if (find.next()) { return find.integer(0); }
  VORTEX_TRY(find.status());

  Statement insert(connection_,
                   "INSERT INTO candidate (run, batch, slot, draw, key, program_hash, module_object, config_object, "
                   "origin, rationale, state, verdict, arm) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
  insert.bind(candidate.run).bind(candidate.batch).bind(candidate.slot).bind(candidate.draw).bind(candidate.key);
  insert.bind(candidate.program_hash).bind(candidate.module_object).bind(candidate.config_object);
  insert.bind(candidate.origin).bind(candidate.rationale).bind(candidate.state).bind(candidate.verdict);
  insert.bind(candidate.arm);
  VORTEX_TRY(insert.run());
  const int64_t id = connection_.last_insert_id();
  for (const LineageEdge& edge : parents) {
    Statement link(connection_, "INSERT INTO lineage (child, parent, operation) VALUES (?, ?, ?)");
    VORTEX_TRY(link.bind(id).bind(edge.parent).bind(edge.operation).run());
  }
  for (StageRow stage : stages) {
    stage.candidate = id;
    VORTEX_TRY(insert_stage(connection_, stage));
  }
  VORTEX_TRY(transaction.commit());
  return id;
}

Status SqliteStore::set_candidate_state(int64_t candidate, CandidateState state, std::optional<job::Verdict> verdict) {
  const MutexLock guard(mutex_);
  Statement update(connection_, "UPDATE candidate SET state = ?, verdict = ? WHERE id = ?");
  update.bind(state).bind(verdict).bind(candidate);
  return state == CandidateState::kDone ? durably(connection_, update) : update.run();
}

Result<std::vector<Candidate>> SqliteStore::candidates(int64_t run) {
  const MutexLock guard(mutex_);
  Statement select(connection_, std::string("SELECT ") + kCandidateColumns +
                                    " FROM candidate WHERE run = ? ORDER BY batch, slot, draw");
  return read_all(select.bind(run), read_candidate);
}

Result<std::optional<Candidate>> SqliteStore::find_candidate(int64_t id) {
  const MutexLock guard(mutex_);
  Statement select(connection_, std::string("SELECT ") + kCandidateColumns + " FROM candidate WHERE id = ?");
  return read_first(select.bind(id), read_candidate);
}

Result<std::vector<LineageEdge>> SqliteStore::lineage(int64_t run) {
  const MutexLock guard(mutex_);
  Statement select(connection_,
                   "SELECT child, parent, operation FROM lineage JOIN candidate ON candidate.id = child "
                   "WHERE run = ? ORDER BY child, parent");
  return read_all(select.bind(run), read_edge);
}

Status SqliteStore::add_stage(const StageRow& row, const std::vector<OutcomeRow>& outcomes) {
  const MutexLock guard(mutex_);
  VORTEX_TRY(room());
  Transaction transaction(connection_);
  VORTEX_TRY(transaction.begin());
  VORTEX_TRY(insert_stage(connection_, row));
  for (const OutcomeRow& outcome : outcomes) { VORTEX_TRY(insert_outcome(connection_, outcome)); }
  return transaction.commit();
}

Result<std::vector<StageRow>> SqliteStore::stages(int64_t candidate) {
  const MutexLock guard(mutex_);
  Statement select(connection_,
                   std::string("SELECT ") + kStageColumns + " FROM stage WHERE candidate = ? ORDER BY stage.id");
  return read_all(select.bind(candidate), read_stage);
}

Result<std::vector<StageRow>> SqliteStore::stages_of_run(int64_t run) {
  const MutexLock guard(mutex_);
  Statement select(connection_, std::string("SELECT ") + kStageColumns +
                                    " FROM stage JOIN candidate ON candidate.id = stage.candidate WHERE run = ? "
                                    "ORDER BY stage.id");
  return read_all(select.bind(run), read_stage);
}

Result<std::vector<OutcomeRow>> SqliteStore::outcomes(int64_t candidate, int64_t attempt, StageRound stage) {
  const MutexLock guard(mutex_);
  Statement select(connection_, std::string("SELECT ") + kOutcomeColumns +
                                    " FROM outcome WHERE candidate = ? AND attempt = ? AND stage = ? "
                                    "ORDER BY problem, trial");
  return read_all(select.bind(candidate).bind(attempt).bind(stage), read_outcome);
}

Result<std::vector<OutcomeRow>> SqliteStore::outcomes_of_run(int64_t run) {
  const MutexLock guard(mutex_);
  Statement select(connection_, std::string("SELECT ") + kOutcomeColumns +
                                    " FROM outcome WHERE candidate IN (SELECT id FROM candidate WHERE run = ?) "
                                    "ORDER BY candidate, attempt, stage, problem, trial");
  return read_all(select.bind(run), read_outcome);
}

Status SqliteStore::add_event(int64_t run, const std::string& kind, const std::string& detail_json) {
  const MutexLock guard(mutex_);
  Statement insert(connection_, "INSERT INTO event (run, created, kind, detail) VALUES (?, ?, ?, ?)");
  return insert.bind(run).bind(wall_seconds()).bind(kind).bind(detail_json).run();
}

Result<std::vector<Event>> SqliteStore::events(int64_t run) {
  const MutexLock guard(mutex_);
  Statement select(connection_, "SELECT id, run, created, kind, detail FROM event WHERE run = ? ORDER BY id");
  return read_all(select.bind(run), read_event);
}

Result<int64_t> SqliteStore::add_spend(const Spend& spend) {
  const MutexLock guard(mutex_);
  VORTEX_TRY(room());
  Statement insert(connection_, "INSERT INTO spend (run, created, tokens, dollars, settled) VALUES (?, ?, ?, ?, ?)");
  insert.bind(spend.run)
      .bind(spend.created > 0 ? spend.created : wall_seconds())
      .bind(spend.tokens)
      .bind(spend.dollars);
  insert.bind(int64_t{spend.settled});
  VORTEX_TRY(durably(connection_, insert));
  return connection_.last_insert_id();
}

Status SqliteStore::settle_spend(int64_t spend, double tokens, double dollars) {
  const MutexLock guard(mutex_);
  Statement update(connection_, "UPDATE spend SET tokens = ?, dollars = ?, settled = 1 WHERE id = ?");
  update.bind(tokens).bind(dollars).bind(spend);
  return durably(connection_, update);
}

Result<std::vector<Spend>> SqliteStore::spends(int64_t run) {
  const MutexLock guard(mutex_);
  Statement select(connection_,
                   "SELECT id, run, created, tokens, dollars, settled FROM spend WHERE run = ? ORDER BY id");
  return read_all<Spend>(select.bind(run), [](Statement& row) {
    return Spend{row.integer(0), row.integer(1), row.real(2), row.real(3), row.real(4), row.integer(5) != 0};
  });
}

std::filesystem::path SqliteStore::object_path(const std::string& name) const {
  return workspace_ / "objects" / name.substr(0, 2) / name;
}

Result<std::string> SqliteStore::put_object(const std::string& bytes) {
  const MutexLock guard(mutex_);  // two threads must not share a temporary name
  const std::string name = sha256_hex(bytes);
  std::error_code ec;
  if (std::filesystem::exists(object_path(name), ec)) { return name; }
  VORTEX_TRY(room());
  VORTEX_TRY(write_file_atomic(object_path(name), bytes));
  return name;
}

Result<std::string> SqliteStore::get_object(const std::string& name) {
  const bool is_name = name.size() == 64 && name.find_first_not_of("0123456789abcdef") == std::string::npos;
  if (!is_name) { return internal_error("not an object name: " + name); }
  auto bytes = read_file(object_path(name));
  if (!bytes.ok()) {
    std::error_code ec;
    const bool lost = !std::filesystem::exists(object_path(name), ec) && !ec;
    return environment_error("the workspace misses object " + name + ": " + bytes.error().message,
                             lost ? kLostHint : "check the disk, and that you may read the workspace");
  }
  if (sha256_hex(*bytes) != name) {
    return environment_error("object " + object_path(name).string() + " is damaged: its bytes do not hash to its name",
                             kLostHint);
  }
  return bytes;
}

}  // namespace vortex::db
