#pragma once

#include <filesystem>
#include <memory>

#include "base/result.h"
#include "db/sqlite.h"

namespace vortex::db {

// A folder of its own with a copy of a database; removed with this object.
class TemporaryCopy {
 public:
  // Copies <workspace>/vortex.db and the log beside it.
  static Result<std::unique_ptr<TemporaryCopy>> make(const std::filesystem::path& workspace);
  ~TemporaryCopy();
  TemporaryCopy(const TemporaryCopy&) = delete;
  TemporaryCopy& operator=(const TemporaryCopy&) = delete;

  std::filesystem::path file() const { return folder_ / "vortex.db"; }

 private:
  explicit TemporaryCopy(std::filesystem::path folder) : folder_(std::move(folder)) {}
  std::filesystem::path folder_;
};

// A connection for reading; where the workspace cannot be written, on the file as it stands or, when its log holds
// commits that are not in it yet, on a copy of both.
struct Reading {
  std::unique_ptr<TemporaryCopy> copy;
  Connection connection;
};
// Of a verb that makes no workspace: an error where there is none.
Status check_workspace_there(const std::filesystem::path& workspace);

Result<Reading> open_for_reading(const std::filesystem::path& workspace);

}  // namespace vortex::db
