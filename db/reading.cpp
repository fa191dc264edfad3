#include "db/reading.h"

#include <stdlib.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace vortex::db {
namespace {

namespace fs = std::filesystem;

constexpr const char* kName = "vortex.db";
constexpr const char* kLog = "vortex.db-wal";

}  // namespace

Result<std::unique_ptr<TemporaryCopy>> TemporaryCopy::make(const fs::path& workspace) {
  std::error_code ec;
  std::string folder = (fs::temp_directory_path(ec) / "vortex-reading-XXXXXX").string();
  if (ec || ::mkdtemp(folder.data()) == nullptr) {
    return environment_error("cannot make a folder for a copy of the database: " + std::string(std::strerror(errno)),
                             "a workspace that cannot be written is read through a copy: set TMPDIR");
  }
  std::unique_ptr<TemporaryCopy> copy(new TemporaryCopy(folder));
  for (const char* name : {kName, kLog}) {
    fs::copy_file(workspace / name, copy->folder_ / name, ec);
    if (ec) { return environment_error("cannot copy " + (workspace / name).string() + ": " + ec.message()); }
  }
  return copy;
}

TemporaryCopy::~TemporaryCopy() {
  std::error_code ec;
  fs::remove_all(folder_, ec);
}

Status check_workspace_there(const fs::path& workspace) {
  std::error_code ec;
  if (fs::exists(workspace / kName, ec)) { return ok_status(); }
  return candidate_error("no workspace at " + workspace.string() + ": there is no vortex.db in it",
                         "name one with --workspace, or start a search: vortex search");
}

Result<Reading> open_for_reading(const fs::path& workspace) {
  VORTEX_TRY(check_workspace_there(workspace));
  std::error_code ec;
  // SQLite puts two files beside a database even to read it.
  if (::access(workspace.c_str(), W_OK) == 0 || fs::exists(workspace / "vortex.db-shm", ec)) {
    auto connection = Connection::open(workspace / kName, Connection::Mode::kReadOnly);
    if (connection.ok() && connection->integer("SELECT count(*) FROM sqlite_schema").ok()) {
      return Reading{nullptr, std::move(connection).value()};
    }
    if (::access(workspace.c_str(), W_OK) == 0) {
      if (!connection.ok()) { return connection.error(); }
      return Reading{nullptr, std::move(connection).value()};  // what is wrong with it, the first query tells
    }
  }
  const auto log_bytes = fs::file_size(workspace / kLog, ec);
  if (ec || log_bytes == 0) {
    VORTEX_ASSIGN(Connection connection, Connection::open(workspace / kName, Connection::Mode::kImmutable));
    return Reading{nullptr, std::move(connection)};
  }
  VORTEX_ASSIGN(auto copy, TemporaryCopy::make(workspace));
  VORTEX_ASSIGN(Connection connection, Connection::open(copy->file(), Connection::Mode::kReadWrite));
  return Reading{std::move(copy), std::move(connection)};
}

}  // namespace vortex::db
