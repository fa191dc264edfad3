#include "fleet/workshop.h"

#include <filesystem>

namespace vortex::fleet {
namespace {

namespace fs = std::filesystem;

// What the search says of the sandbox goes beside what this machine's owner says.
Status add_layers(const std::string& text, const std::string& option, std::vector<sandbox::Layer>& layers) {
  VORTEX_ASSIGN(const std::vector<sandbox::Layer> more, sandbox::layers_from_text(text, option));
  layers.insert(layers.end(), more.begin(), more.end());
  return ok_status();
}

}  // namespace

Status LocalWorkshop::make_executor(const Setup& setup) {
  executor_ = {};
  executor_.worker_path = options_.worker_path;
  executor_.scratch_root = (fs::path(options_.folder) / "scratch").string();
  executor_.memory_bytes = setup.memory_bytes;
  executor_.model_files = look_at_folder(model_);
  executor_.jail = options_.jail;
  VORTEX_TRY(add_layers(setup.require_sandbox, "--require-sandbox", executor_.jail.required));
  VORTEX_TRY(add_layers(setup.sandbox_without, "--sandbox-without", executor_.jail.off));
  if (!executor_.jail.required.empty()) {
    VORTEX_TRY(sandbox::check_required(sandbox::jail_support(executor_.jail).layers, executor_.jail));
  }
  for (const job::StageInfo& info : job::kLadder) {
    if (info.in_worker && setup.stage_seconds > 0) { executor_.deadlines[info.stage] = setup.stage_seconds; }
  }
  return ok_status();
}

// The same job with this machine's paths.
job::Job LocalWorkshop::at_home(job::Job job) const {
  job.model_path = model_;
  if (!job.prefix_folder.empty()) { job.prefix_folder = (fs::path(options_.folder) / "prefixes").string(); }
  return job;
}

Status LocalWorkshop::prepare(const Setup& setup, const FetchPiece& fetch, const std::function<bool()>& should_stop) {
  std::string text = to_json(setup).dump();
  if (text == prepared_) { return ok_status(); }
  prepared_.clear();
  slots_.reset();
  keeper_folder_.reset();
  VORTEX_ASSIGN(model_, find_model(setup.model, setup.job.model_path, options_.folder, fetch, should_stop));
  VORTEX_TRY(make_executor(setup));
  sandbox::WeightKeeperOptions keeper;
  keeper.worker_path = options_.worker_path;
  VORTEX_ASSIGN(keeper_folder_, sandbox::ScratchFolder::make(executor_.scratch_root));
  keeper.folder = keeper_folder_->path();
  keeper.environment = sandbox::worker_environment(keeper.folder);
  keeper.on_notice = options_.on_notice;
  VORTEX_TRY(sandbox::check_worker_slots(1, setup.job));
  slots_ = sandbox::make_worker_slots(1, {at_home(setup.job), setup.ahead}, setup.keep, keeper);
  executor_.slots = slots_.get();
  prepared_ = std::move(text);
  return ok_status();
}

Result<std::vector<job::StageResult>> LocalWorkshop::run(const job::Job& job,
                                                         const std::function<void(const job::StageResult&)>& on_result,
                                                         const std::function<bool()>& should_stop) {
  return sandbox::run_job(at_home(job), executor_, on_result, should_stop);
}

}  // namespace vortex::fleet
