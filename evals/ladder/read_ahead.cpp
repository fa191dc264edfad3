#include "evals/ladder/read_ahead.h"

#include <filesystem>

#include "core/engine/prefix.h"
#include "evals/ladder/session.h"
#include "evals/ladder/setup.h"

namespace vortex::evals {
namespace {

namespace fs = std::filesystem;

int64_t bytes_kept(const fs::path& folder) {
  int64_t bytes = 0;
  std::error_code ec;
  for (const auto& entry : fs::directory_iterator(folder, ec)) {
    std::error_code gone;  // a worker may have removed it meanwhile
    const uintmax_t size = entry.file_size(gone);
    if (!gone) { bytes += static_cast<int64_t>(size); }
  }
  return bytes;
}

// False: there is no room for more, or nobody wants any.
Result<bool> read_task(const AheadReader& reader, const job::TaskSpec& task, const std::function<bool()>& stop) {
  job::Job job = reader.job;
  job.task = task;
  job.stages = {job::Stage::kRace};
  VORTEX_ASSIGN(const std::unique_ptr<Session> session, prepare_session(job));
  engine::EngineOptions options;
  options.threads = 1;
  options.max_batch = 1;
  options.max_context = longest_context(*session);
  options.kept = reader.kept;
  const fs::path folder = job.prefix_folder;
  VORTEX_ASSIGN(const auto engine, make_engine(reader.model, options, false, folder));
  for (const PreparedProblem& problem : session->problems) {
    if (stop()) { return false; }
    std::error_code ec;
    if (fs::exists(folder / engine::prefix_file_name(engine->model(), problem.prompt), ec)) { continue; }
    const auto bytes = static_cast<int64_t>(engine::prefix_bytes(engine->model(), problem.prompt));
    if (bytes_kept(folder) + bytes > job.prefix_bytes) { return false; }
    VORTEX_TRY(engine->prefix(problem.prompt, folder));
  }
  return true;
}

}  // namespace

Status read_ahead(const AheadReader& reader, const std::vector<job::TaskSpec>& tasks,
                  const std::function<bool()>& stop) {
  for (const job::TaskSpec& task : tasks) {
    if (stop()) { break; }
    VORTEX_ASSIGN(const bool more, read_task(reader, task, stop));
    if (!more) { break; }
  }
  return ok_status();
}

}  // namespace vortex::evals
