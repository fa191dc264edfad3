#pragma once

#include "db/sqlite.h"

namespace vortex::db {

// Marks our files (PRAGMA application_id), so that a foreign SQLite file is never written to: "VTXC".
inline constexpr int64_t kApplicationId = 0x56545843;

// The number of the last migration: what PRAGMA user_version says after migrate().
int64_t schema_version();

// The schema that a file has, 0 for an empty one. One that a newer program wrote, or that is not ours, is refused.
Result<int64_t> read_version(Connection& connection);

// Brings the database up to schema_version(), all in one transaction; a new file starts from nothing. A file that a
// newer program wrote, or that is not ours, is refused and left alone.
Status migrate(Connection& connection);

// For readers, which may not migrate: ours, and exactly this schema?
Status check_schema(Connection& connection);

}  // namespace vortex::db
