#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "base/result.h"
#include "db/sqlite.h"
#include "db/store.h"

namespace vortex::db {

// Fails (environment, lasting) when the pages of a database do not fit together. Reads all of it.
Status check_whole(Connection& connection, const std::filesystem::path& file);

// What a thorough look at a workspace found. Nothing is changed.
struct CheckReport {
  std::vector<std::string> faults;  // each a sentence; empty: all is well
  int64_t rows = 0;                 // of all tables
  int64_t objects = 0;              // that rows name
  int64_t unused_objects = 0;       // files in objects/ that no row names
  int64_t bytes = 0;                // of the database file
};
Result<CheckReport> check_workspace(const std::filesystem::path& workspace);

// Are the sources of these candidates there? Looks for files alone and reads none. Fails (environment, lasting) with
// how many are lost.
Status find_sources(const std::filesystem::path& workspace, const std::vector<Candidate>& candidates);

// Copies a workspace as it is at one moment into the folder `to`, which must not hold one: the database, also while a
// search writes it, and the objects that its rows name. Caches are left out. Errors: environment, or candidate when
// `to` is in use.
struct BackupReport {
  int64_t bytes = 0;  // of the database
  int64_t objects = 0;
};
Result<BackupReport> back_up(const std::filesystem::path& workspace, const std::filesystem::path& to);

// Removes what writes of objects left that were cut off with their process. Returns how many files.
int sweep_unfinished(const std::filesystem::path& workspace);

// Gives back the room that the database does not need, and removes objects that no row names. For the holder of the
// workspace's lock.
struct VacuumReport {
  int64_t bytes_before = 0;
  int64_t bytes_after = 0;
  int64_t objects_removed = 0;
};
Result<VacuumReport> vacuum(const std::filesystem::path& workspace);

// Brings a database that an older program wrote up to this one's schema, and keeps what it was beside it. For the
// holder of the workspace's lock.
struct MigrationReport {
  int64_t from = 0;
  int64_t to = 0;              // `from` where there was nothing to do
  std::filesystem::path kept;  // the database as it was; empty where there was nothing to do
};
Result<MigrationReport> migrate_workspace(const std::filesystem::path& workspace);

// Removes a search with everything that its rows say, in one transaction; its objects go with the next vacuum. For the
// holder of the workspace's lock.
Status remove_run(const std::filesystem::path& workspace, int64_t run);

}  // namespace vortex::db
