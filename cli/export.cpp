#include <filesystem>
#include <iostream>
#include <memory>

#include "cli/loaded_run.h"
#include "cli/policy_files.h"
#include "cli/verbs.h"
#include "core/base/files.h"
#include "core/vflow/canonical.h"

namespace vortex::cli {
namespace {

struct ExportArguments {
  int64_t candidate = 0;
  std::string format;
  std::string folder;
  bool unconfirmed = false;
};

// The pair must stand for what was measured: written, read back and checked, it has the candidate's key.
Status verify(const std::string& module_path, const db::Candidate& row, const evals::Job& job) {
  VORTEX_ASSIGN(const vflow::PolicySource source, read_policy(module_path, ""));
  VORTEX_ASSIGN(const vflow::ModelGeometry model, geometry_of_job(job));
  VORTEX_ASSIGN(const vflow::Policy policy, checked_policy(source, model));
  if (policy_key(policy) == row.key) return ok_status();
  return internal_error("the exported pair does not check back to the candidate's key");
}

Result<int> export_candidate(const Context& context, const ExportArguments& arguments) {
  VORTEX_ASSIGN(const LoadedRun run, load_run_of(context, arguments.candidate));
  const agent::CandidateHistory* candidate = run.history.find(arguments.candidate);
  if (candidate == nullptr || candidate->row.origin == "dense") {
    return candidate_error("candidate " + std::to_string(arguments.candidate) + " has no policy to export");
  }
  const db::StageRow* confirm = agent::last_stage(*candidate, "confirm");
  const bool confirmed = confirm != nullptr && confirm->verdict == "pass";
  if (!confirmed && !arguments.unconfirmed) {
    return candidate_error(
        "candidate " + std::to_string(arguments.candidate) + " was not confirmed on held-out problems",
        "--unconfirmed exports it all the same, and says so inside");
  }
  VORTEX_ASSIGN(CandidateFiles files, files_of(*run.store, candidate->row));
  const auto config = nlohmann::json::parse(files.config_text, nullptr, false);
  const std::string name = config.value("vortex_module_name", "policy_" + std::to_string(arguments.candidate));
  if (!confirmed) files.module_text = "# Not confirmed on held-out problems.\n" + files.module_text;
  const std::filesystem::path module_path = std::filesystem::path(arguments.folder) / (name + ".py");
  nlohmann::ordered_json written = nlohmann::ordered_json::parse(files.config_text, nullptr, false);
  if (written.is_object()) written["vortex_module_path"] = name + ".py";
  VORTEX_TRY(write_file_atomic(module_path, files.module_text));
  VORTEX_TRY(write_file_atomic(std::filesystem::path(module_path).replace_extension(".json"), written.dump(2) + "\n"));
  VORTEX_TRY(verify(module_path.string(), candidate->row, run.options.job));
  if (context.format() == Format::kText) {
    std::cout << "wrote " << module_path.string() << " and its .json; they check back to " << candidate->row.key
              << "\n";
  } else {
    print_record(context.format(), "export",
                 {{"module", module_path.string()}, {"key", candidate->row.key}, {"confirmed", confirmed}});
  }
  return 0;
}

}  // namespace

void add_export(CLI::App& app, Context& context) {
  const auto arguments = std::make_shared<ExportArguments>();
  CLI::App* verb = add_verb(app, context, "export", "writes a candidate for use elsewhere",
                            [&context, arguments] { return export_candidate(context, *arguments); });
  verb->add_option("candidate", arguments->candidate, "its number")->required();
  verb->add_option("--to", arguments->format, "vortex-torch: a .py and .json pair")
      ->required()
      ->check(CLI::IsMember({"vortex-torch"}));
  verb->add_option("--out", arguments->folder, "folder to write to")->required();
  verb->add_flag("--unconfirmed", arguments->unconfirmed, "also a candidate that held-out problems did not confirm");
  add_workspace_option(verb, context);
  add_format_option(verb, context);
}

}  // namespace vortex::cli
