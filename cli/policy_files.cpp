#include "cli/policy_files.h"

#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/files.h"
#include "base/json.h"
#include "cli/context.h"
#include "core/compile/limits.h"
#include "core/model/model.h"
#include "evals/tasks/task.h"

namespace vortex::cli {

namespace fs = std::filesystem;

Result<vflow::PolicySource> read_policy(const std::string& module_path, const std::string& config_path) {
  vflow::PolicySource source;
  source.module_file = module_path;
  source.config_file = config_path.empty() ? fs::path(module_path).replace_extension(".json").string() : config_path;
  VORTEX_ASSIGN(source.module_text, read_file(source.module_file));
  VORTEX_ASSIGN(source.config_text, read_file(source.config_file));
  return source;
}

Status check_config(const vflow::PolicySource& source) {
  std::vector<vflow::Diagnostic> diagnostics;
  vflow::parse_config(source.config_text, source.config_file, diagnostics);
  const bool wrong = std::any_of(diagnostics.begin(), diagnostics.end(), [](const vflow::Diagnostic& diagnostic) {
    return diagnostic.severity == vflow::Severity::kError;
  });
  if (!wrong) { return ok_status(); }
  return candidate_error(source.config_file + " does not check\n" + render(diagnostics));
}

Result<std::string> model_of(const vflow::PolicySource& source, const std::string& model) {
  if (!model.empty()) { return model; }
  const auto config = parse_json(source.config_text);
  const auto named = config.is_object() ? config.find("model_path") : config.end();
  if (config.is_object() && named != config.end() && named->is_string()) {
    const fs::path path = named->get<std::string>();
    const fs::path beside = fs::path(source.config_file).parent_path() / path;
    std::vector<fs::path> folders = {path, beside};
    if (path.is_relative()) {
      for (const fs::path& root : shipped_roots()) { folders.push_back(root / path); }
    }
    for (const fs::path& folder : folders) {
      if (fs::exists(folder / "config.json")) { return folder.lexically_normal().string(); }
    }
  }
  VORTEX_TRY(check_config(source));
  return candidate_error("which model? the configuration names no folder that is here", "name it with --model DIR");
}

vflow::BackendLimits limits_of_device(const std::string& device) {
  if (device == "cpu") { return compile::cpu_limits(); }
#ifdef VORTEX_WITH_CUDA
  const bool there = ::access("/dev/nvidia0", F_OK) == 0;
#else
  const bool there = false;
#endif
  return device == "cuda" || there ? compile::cuda_limits() : vflow::BackendLimits{};
}

Result<vflow::ModelGeometry> geometry_of_job(const job::Job& job) {
  VORTEX_ASSIGN(const model::ModelConfig config, model::read_model_config(job.model_path));
  int max_context = evals::context_bound(job.task);
  for (const job::TaskSpec& task : job.gate) { max_context = std::max(max_context, evals::context_bound(task)); }
  if (job.confirm_task) { max_context = std::max(max_context, evals::context_bound(*job.confirm_task)); }
  // A workload may ask for more than the model has positions; it is cut to them.
  return model::geometry_of(config, std::min(max_context, config.max_position_embeddings), job.kv_memory_bytes);
}

Result<vflow::Policy> checked_policy(const vflow::PolicySource& source, const vflow::ModelGeometry& model) {
  vflow::CheckReport report = vflow::check_policy(source, model);
  if (!report.policy) { return candidate_error(source.module_file + " does not check\n" + render(report.diagnostics)); }
  return std::move(*report.policy);
}

}  // namespace vortex::cli
