#include "db/check.h"

#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <set>

#include "base/files.h"
#include "base/sha256.h"
#include "db/migrations.h"
#include "db/reading.h"

namespace vortex::db {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMostFaults = 20;  // told of one kind
constexpr size_t kNameDigits = 64;  // of an object

// A query for each column that names objects: they are called so.
constexpr const char* kObjectQueries =
    "SELECT 'SELECT DISTINCT \"' || c.name || '\" FROM \"' || t.name || '\"' FROM sqlite_schema t "
    "JOIN pragma_table_info(t.name) c WHERE t.type = 'table' AND c.name LIKE '%\\_object' ESCAPE '\\'";

Result<std::set<std::string>> named_objects(Connection& connection) {
  VORTEX_ASSIGN(const std::vector<std::string> queries, connection.texts(kObjectQueries));
  std::set<std::string> objects;
  for (const std::string& query : queries) {
    VORTEX_ASSIGN(const std::vector<std::string> names, connection.texts(query));
    objects.insert(names.begin(), names.end());
  }
  objects.erase("");
  return objects;
}

fs::path object_file(const fs::path& workspace, const std::string& name) {
  return workspace / "objects" / name.substr(0, 2) / name;
}

// Files in objects/ that no row names, leftovers of writes that were cut off among them.
std::vector<fs::path> unused_files(const fs::path& workspace, const std::set<std::string>& named) {
  std::vector<fs::path> unused;
  std::error_code ec;
  for (auto entry = fs::recursive_directory_iterator(workspace / "objects", ec);
       !ec && entry != fs::recursive_directory_iterator(); entry.increment(ec)) {
    if (entry->is_regular_file(ec) && named.count(entry->path().filename().string()) == 0) {
      unused.push_back(entry->path());
    }
  }
  return unused;
}

void add_faults(const std::string& what, const std::vector<std::string>& found, std::vector<std::string>& faults) {
  for (size_t i = 0; i < found.size() && i < kMostFaults; ++i) { faults.push_back(what + found[i]); }
  if (found.size() > kMostFaults) {
    faults.push_back(what + "and " + std::to_string(found.size() - kMostFaults) + " more");
  }
}

Status check_objects(const fs::path& workspace, const std::set<std::string>& named, CheckReport& report) {
  std::vector<std::string> lost;
  std::vector<std::string> damaged;
  for (const std::string& name : named) {
    const auto bytes = name.size() == kNameDigits ? read_file(object_file(workspace, name)) : internal_error("no name");
    if (!bytes.ok()) {
      lost.push_back(name);
    } else if (sha256_hex(*bytes) != name) {
      damaged.push_back(name);
    }
  }
  add_faults("object lost: ", lost, report.faults);
  add_faults("object damaged: ", damaged, report.faults);
  report.objects = static_cast<int64_t>(named.size());
  report.unused_objects = static_cast<int64_t>(unused_files(workspace, named).size());
  return ok_status();
}

int64_t size_of(const fs::path& file) {
  std::error_code ec;
  const auto bytes = fs::file_size(file, ec);
  return ec ? 0 : static_cast<int64_t>(bytes);
}

}  // namespace

Status check_whole(Connection& connection, const fs::path& file) {
  VORTEX_ASSIGN(const std::vector<std::string> found, connection.texts("PRAGMA quick_check(1)"));
  if (found.size() == 1 && found.front() == "ok") { return ok_status(); }
  return environment_error(file.string() + " is damaged: " + (found.empty() ? "no answer" : found.front()),
                           kDamagedHint);
}

Result<CheckReport> check_workspace(const fs::path& workspace) {
  VORTEX_ASSIGN(Reading reading, open_for_reading(workspace));
  Connection& connection = reading.connection;
  VORTEX_TRY(check_schema(connection));
  CheckReport report;
  report.bytes = size_of(workspace / "vortex.db");
  VORTEX_ASSIGN(std::vector<std::string> found, connection.texts("PRAGMA integrity_check"));
  if (found != std::vector<std::string>{"ok"}) { add_faults("database: ", found, report.faults); }
  VORTEX_ASSIGN(found, connection.texts("SELECT \"table\" || ' row ' || rowid || ' names a row of ' || parent || "
                                        "' that is not there' FROM pragma_foreign_key_check"));
  add_faults("", found, report.faults);
  VORTEX_ASSIGN(const std::vector<std::string> tables,
                connection.texts("SELECT name FROM sqlite_schema WHERE type = 'table'"));
  for (const std::string& table : tables) {
    VORTEX_ASSIGN(const int64_t rows, connection.integer("SELECT count(*) FROM \"" + table + "\""));
    report.rows += rows;
  }
  VORTEX_ASSIGN(const std::set<std::string> named, named_objects(connection));
  VORTEX_TRY(check_objects(workspace, named, report));
  return report;
}

Status find_sources(const fs::path& workspace, const std::vector<Candidate>& candidates) {
  std::set<std::string> lost;
  for (const Candidate& candidate : candidates) {
    for (const std::string& name : {candidate.module_object, candidate.config_object}) {
      std::error_code ec;
      if (!name.empty() && !fs::exists(object_file(workspace, name), ec)) { lost.insert(name); }
    }
  }
  if (lost.empty()) { return ok_status(); }
  return environment_error(std::to_string(lost.size()) + " of the sources of " + std::to_string(candidates.size()) +
                               " candidates are gone, the first is " + object_file(workspace, *lost.begin()).string(),
                           kLostHint);
}

Result<BackupReport> back_up(const fs::path& workspace, const fs::path& to) {
  std::error_code ec;
  if (fs::exists(to / "vortex.db", ec)) {
    return candidate_error("there is a workspace at " + to.string() + " already",
                           "name a folder that is not there yet");
  }
  VORTEX_ASSIGN(Reading reading, open_for_reading(workspace));
  VORTEX_TRY(check_schema(reading.connection));
  fs::create_directories(to / "objects", ec);
  if (ec) { return environment_error("cannot create " + to.string() + ": " + ec.message()); }
  // Under another name until all of it is there: a backup that was cut off is none.
  const fs::path unfinished = to / "vortex.db.unfinished";
  fs::remove(unfinished, ec);
  VORTEX_TRY(reading.connection.copy_to(unfinished));
  std::set<std::string> named;
  {
    // Closed again before the file gets its name: SQLite keeps notes beside an open database, under the old one.
    VORTEX_ASSIGN(Connection copy, Connection::open(unfinished, Connection::Mode::kReadWrite));
    VORTEX_ASSIGN(named, named_objects(copy));
  }
  for (const std::string& name : named) {
    VORTEX_ASSIGN(const std::string bytes, read_file(object_file(workspace, name)));
    VORTEX_TRY(write_file_atomic(object_file(to, name), bytes));
  }
  fs::rename(unfinished, to / "vortex.db", ec);
  if (ec) { return environment_error("cannot finish " + to.string() + ": " + ec.message()); }
  return BackupReport{size_of(to / "vortex.db"), static_cast<int64_t>(named.size())};
}

int sweep_unfinished(const fs::path& workspace) {
  constexpr std::string_view kMark = ".tmp.";  // of write_file_atomic, before the process that writes
  int swept = 0;
  for (const fs::path& file : unused_files(workspace, {})) {
    const std::string name = file.filename().string();
    const size_t mark = name.find(kMark);
    if (mark == std::string::npos) { continue; }
    const int writer = std::atoi(name.c_str() + mark + kMark.size());
    std::error_code ec;
    if (writer != ::getpid() && (writer <= 0 || (::kill(writer, 0) != 0 && errno == ESRCH)) && fs::remove(file, ec)) {
      ++swept;
    }
  }
  return swept;
}

Result<VacuumReport> vacuum(const fs::path& workspace) {
  VORTEX_ASSIGN(Connection connection, Connection::open(workspace / "vortex.db", Connection::Mode::kReadWrite));
  VORTEX_TRY(check_schema(connection));
  VORTEX_TRY(check_whole(connection, workspace / "vortex.db"));
  VacuumReport report;
  VORTEX_TRY(connection.execute("PRAGMA wal_checkpoint(TRUNCATE)"));
  report.bytes_before = size_of(workspace / "vortex.db");
  VORTEX_TRY(connection.execute("VACUUM"));
  VORTEX_TRY(connection.execute("PRAGMA wal_checkpoint(TRUNCATE)"));
  report.bytes_after = size_of(workspace / "vortex.db");
  VORTEX_ASSIGN(const std::set<std::string> named, named_objects(connection));
  std::error_code ec;
  for (const fs::path& file : unused_files(workspace, named)) {
    if (fs::remove(file, ec)) { ++report.objects_removed; }
  }
  return report;
}

Result<MigrationReport> migrate_workspace(const fs::path& workspace) {
  const fs::path file = workspace / "vortex.db";
  VORTEX_ASSIGN(Connection connection, Connection::open(file, Connection::Mode::kReadWrite));
  VORTEX_ASSIGN(const int64_t version, read_version(connection));
  MigrationReport report{version, version, {}};
  if (version == schema_version()) { return report; }
  VORTEX_TRY(check_whole(connection, file));
  report.kept = file.string() + ".schema-" + std::to_string(version);
  std::error_code ec;
  fs::remove(report.kept, ec);  // of an attempt that was cut off
  VORTEX_TRY(connection.copy_to(report.kept));
  VORTEX_TRY(migrate(connection));
  report.to = schema_version();
  return report;
}

Status remove_run(const fs::path& workspace, int64_t run) {
  VORTEX_ASSIGN(Connection connection, Connection::open(workspace / "vortex.db", Connection::Mode::kReadWrite));
  VORTEX_TRY(check_schema(connection));
  const std::string of_run = " WHERE run = " + std::to_string(run) + ";";
  const std::string its = " IN (SELECT id FROM candidate" + of_run.substr(0, of_run.size() - 1) + ");";
  // What names others goes before them.
  return connection.execute(
      "PRAGMA foreign_keys = ON; BEGIN IMMEDIATE;"
      "DELETE FROM outcome WHERE candidate" +
      its + "DELETE FROM stage WHERE candidate" + its + "DELETE FROM mark WHERE candidate" + its +
      "DELETE FROM lineage WHERE child" + its + "DELETE FROM verdict WHERE note IN (SELECT id FROM note" +
      of_run.substr(0, of_run.size() - 1) + ");" + "DELETE FROM note" + of_run + "DELETE FROM llm_call" + of_run +
      "DELETE FROM spend" + of_run + "DELETE FROM request" + of_run + "DELETE FROM event" + of_run +
      "DELETE FROM candidate" + of_run + "DELETE FROM run WHERE id = " + std::to_string(run) + "; COMMIT;");
}

}  // namespace vortex::db
