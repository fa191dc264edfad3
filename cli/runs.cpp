#include "cli/runs.h"

namespace vortex::cli {
namespace {

void tell_newer(const std::string& newer, const std::string& run) {
  if (!newer.empty()) { log_line("search " + newer + " is newer but has no result yet; this is " + run); }
}

}  // namespace

Result<study::LoadedRun> chosen_run(const Context& context, const std::string& name) {
  VORTEX_ASSIGN(study::LoadedRun run, study::load_run(context.workspace, name));
  tell_newer(run.newer, run.history.run.name);
  return run;
}

Result<study::Digest> chosen_digest(const Context& context, const std::string& name) {
  VORTEX_ASSIGN(study::Digest digest, study::read_digest(context.workspace, name));
  VORTEX_ASSIGN(const std::string newer, study::newer_search(*digest.store, name, digest.run));
  tell_newer(newer, digest.run.name);
  return digest;
}

}  // namespace vortex::cli
