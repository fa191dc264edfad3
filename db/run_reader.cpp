#include "db/run_reader.h"

#include <string>

#include "db/migrations.h"

namespace vortex::db {
namespace {

Candidate read_candidate(Statement& row) {
  return {row.integer(0), row.integer(1), row.integer(2), row.integer(3), row.integer(4), row.text(5),  row.text(6),
          row.text(7),    row.text(8),    row.text(9),    row.text(10),   row.text(11),   row.text(12), row.text(13)};
}

StageRow read_stage(Statement& row) {
  return {row.integer(0), row.integer(1), row.integer(2), row.text(3), row.text(4), row.text(5),
          row.text(6),    row.text(7),    "{}",           {},          row.real(8), row.real(9)};
}

OutcomeRow read_outcome(Statement& row) {
  return {row.integer(0),      row.integer(1), row.text(2), row.text(3), row.integer(4),
          row.integer(5) != 0, row.integer(6), {},          {},          {}};
}

LineageEdge read_edge(Statement& row) { return {row.integer(0), row.integer(1), row.text(2)}; }

Event read_event(Statement& row) { return {row.integer(0), row.integer(1), row.real(2), row.text(3), row.text(4)}; }

int64_t read_id(Statement& row) { return row.integer(0); }

}  // namespace

Result<std::unique_ptr<RunReader>> RunReader::open(const std::filesystem::path& workspace, int64_t run) {
  VORTEX_ASSIGN(Connection connection, Connection::open(workspace / "vortex.db", Connection::Mode::kReadOnly));
  VORTEX_TRY(check_schema(connection));
  return std::unique_ptr<RunReader>(new RunReader(std::move(connection), run));
}

Result<int64_t> RunReader::data_version() { return connection_.integer("PRAGMA data_version"); }

Result<Run> RunReader::run() {
  Statement select(connection_,
                   "SELECT id, name, config, state, started, ended, seconds_used, gpu_seconds_used FROM run "
                   "WHERE id = ?");
  select.bind(run_);
  const bool found = select.next();
  VORTEX_TRY(select.status());
  if (!found) { return candidate_error("there is no run " + std::to_string(run_)); }
  return Run{select.integer(0), select.text(1), select.text(2), select.text(3),
             select.real(4),    select.real(5), select.real(6), select.real(7)};
}

Result<RunReader::Range> RunReader::candidate_range() {
  Statement select(connection_, "SELECT ifnull(min(id), 0), ifnull(max(id), -1) FROM candidate WHERE run = ?");
  select.bind(run_).next();
  VORTEX_TRY(select.status());
  return Range{select.integer(0), select.integer(1)};
}

Result<std::vector<Candidate>> RunReader::candidates(Range range) {
  Statement select(connection_,
                   "SELECT id, run, batch, slot, draw, key, program_hash, module_object, config_object, origin, "
                   "rationale, state, verdict, arm FROM candidate WHERE id BETWEEN ? AND ? AND run = ? ORDER BY id");
  return read_all(select.bind(range.first).bind(range.last).bind(run_), read_candidate);
}

Result<std::vector<StageRow>> RunReader::stages(Range range) {
  Statement select(connection_,
                   "SELECT stage.id, candidate, attempt, stage, stage.verdict, blame, message, metrics, seconds, "
                   "created FROM stage JOIN candidate ON candidate.id = stage.candidate "
                   "WHERE stage.candidate BETWEEN ? AND ? AND run = ? ORDER BY stage.candidate, stage.id");
  return read_all(select.bind(range.first).bind(range.last).bind(run_), read_stage);
}

Result<std::vector<OutcomeRow>> RunReader::outcomes(Range range) {
  Statement select(connection_,
                   "SELECT candidate, attempt, stage, problem, trial, correct, tokens FROM outcome "
                   "WHERE candidate BETWEEN ? AND ? ORDER BY candidate, attempt, stage, problem, trial");
  return read_all(select.bind(range.first).bind(range.last), read_outcome);
}

Result<std::vector<LineageEdge>> RunReader::lineage(Range range) {
  Statement select(connection_,
                   "SELECT child, parent, operation FROM lineage WHERE child BETWEEN ? AND ? ORDER BY child, parent");
  return read_all(select.bind(range.first).bind(range.last), read_edge);
}

Result<std::vector<int64_t>> RunReader::touched_since(int64_t stage) {
  Statement select(connection_,
                   "SELECT DISTINCT candidate FROM stage JOIN candidate ON candidate.id = stage.candidate "
                   "WHERE stage.id > ? AND run = ? ORDER BY candidate");
  return read_all(select.bind(stage).bind(run_), read_id);
}

Result<int64_t> RunReader::newest_stage() { return connection_.integer("SELECT ifnull(max(id), 0) FROM stage"); }

Result<std::vector<Event>> RunReader::events_since(int64_t event) {
  Statement select(connection_,
                   "SELECT id, run, created, kind, detail FROM event WHERE run = ? AND id > ? ORDER BY id");
  return read_all(select.bind(run_).bind(event), read_event);
}

Result<double> RunReader::last_stage_before(double time) {
  Statement select(connection_,
                   "SELECT ifnull(max(created), 0) FROM stage JOIN candidate ON candidate.id = stage.candidate "
                   "WHERE run = ? AND created < ?");
  select.bind(run_).bind(time).next();
  VORTEX_TRY(select.status());
  return select.real(0);
}

}  // namespace vortex::db
