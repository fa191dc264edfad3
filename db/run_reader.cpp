#include "db/run_reader.h"

#include <string>

#include "db/migrations.h"
#include "db/rows.h"

namespace vortex::db {
namespace {

int64_t read_id(Statement& row) { return row.integer(0); }
std::string read_text(Statement& row) { return row.text(0); }

}  // namespace

Result<std::unique_ptr<RunReader>> RunReader::open(const std::filesystem::path& workspace, int64_t run) {
  VORTEX_ASSIGN(Connection connection, Connection::open(workspace / "vortex.db", Connection::Mode::kReadOnly));
  VORTEX_TRY(check_schema(connection));
  return std::unique_ptr<RunReader>(new RunReader(std::move(connection), run));
}

Result<int64_t> RunReader::data_version() { return connection_.integer("PRAGMA data_version"); }

// All below go by ids: "+run" keeps SQLite from walking the whole index of the run for each piece.

Result<Run> RunReader::run() {
  Statement select(connection_, std::string("SELECT ") + kRunColumns + " FROM run WHERE id = ?");
  VORTEX_ASSIGN(const std::optional<Run> run, read_first(select.bind(run_), read_run));
  if (!run) { return candidate_error("there is no run " + std::to_string(run_)); }
  return *run;
}

Result<RunReader::Range> RunReader::candidate_range(int64_t after) {
  Statement select(connection_,
                   "SELECT ifnull(min(id), 0), ifnull(max(id), -1) FROM candidate WHERE id > ? AND +run = ?");
  select.bind(after).bind(run_).next();
  VORTEX_TRY(select.status());
  return Range{select.integer(0), select.integer(1)};
}

Result<std::vector<Candidate>> RunReader::candidates(Range range) {
  Statement select(connection_, std::string("SELECT ") + kCandidateColumns +
                                    " FROM candidate WHERE id BETWEEN ? AND ? AND +run = ? ORDER BY id");
  return read_all(select.bind(range.first).bind(range.last).bind(run_), read_candidate);
}

Result<std::vector<StageRow>> RunReader::stages(Range range) {
  Statement select(connection_, std::string("SELECT ") + kShortStageColumns +
                                    " FROM candidate CROSS JOIN stage ON stage.candidate = candidate.id "
                                    "WHERE candidate.id BETWEEN ? AND ? AND +run = ? ORDER BY candidate.id, stage.id");
  return read_all(select.bind(range.first).bind(range.last).bind(run_), read_stage);
}

Result<std::vector<OutcomeRow>> RunReader::outcomes(Range range) {
  Statement select(connection_, std::string("SELECT ") + kShortOutcomeColumns +
                                    " FROM outcome WHERE candidate BETWEEN ? AND ? "
                                    "AND (stage = 'race' OR stage LIKE 'retest-%') "
                                    "ORDER BY candidate, attempt, stage, problem, trial");
  return read_all(select.bind(range.first).bind(range.last), read_outcome);
}

Result<std::vector<LineageEdge>> RunReader::lineage(Range range) {
  Statement select(connection_,
                   "SELECT child, parent, operation FROM lineage WHERE child BETWEEN ? AND ? ORDER BY child, parent");
  return read_all(select.bind(range.first).bind(range.last), read_edge);
}

Result<std::vector<int64_t>> RunReader::touched_since(int64_t stage) {
  Statement select(connection_,
                   "SELECT DISTINCT candidate FROM stage CROSS JOIN candidate ON candidate.id = stage.candidate "
                   "WHERE stage.id > ? AND +run = ? ORDER BY candidate");
  return read_all(select.bind(stage).bind(run_), read_id);
}

Result<int64_t> RunReader::newest_stage() { return connection_.integer("SELECT ifnull(max(id), 0) FROM stage"); }

Result<std::vector<Event>> RunReader::events_since(int64_t event) {
  Statement select(connection_,
                   "SELECT id, run, created, kind, detail FROM event WHERE run = ? AND id > ? ORDER BY id");
  return read_all(select.bind(run_).bind(event), read_event);
}

Result<std::map<std::string, double>> RunReader::stage_seconds() {
  Statement select(connection_,
                   "SELECT stage, sum(seconds) FROM stage CROSS JOIN candidate ON candidate.id = stage.candidate "
                   "WHERE +run = ? GROUP BY stage");
  std::map<std::string, double> seconds;
  select.bind(run_);
  while (select.next()) { seconds[select.text(0)] = select.real(1); }
  VORTEX_TRY(select.status());
  return seconds;
}

Result<std::vector<std::string>> RunReader::gpu_evidence() {
  Statement select(connection_,
                   "SELECT json_extract(evidence, '$.gpu') FROM stage "
                   "CROSS JOIN candidate ON candidate.id = stage.candidate WHERE +run = ? AND stage = 'speed' "
                   "AND json_type(evidence, '$.gpu') = 'object'");
  return read_all(select.bind(run_), read_text);
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
