#include <algorithm>
#include <filesystem>
#include <iostream>
#include <memory>
#include <span>

#include "base/text.h"
#include "cli/export/formats.h"
#include "cli/policy_files.h"
#include "cli/verbs/verbs.h"
#include "core/vflow/graph/canonical.h"
#include "study/loaded_run.h"
#include "study/standing.h"

namespace vortex::cli {
namespace {

struct ExportArguments {
  int64_t candidate = 0;
  std::string format;
  std::string folder;
  bool unconfirmed = false;
  bool overwrite = false;
};

// What lies in a folder is somebody's work.
Status look_at_target(const std::filesystem::path& folder) {
  std::error_code ec;
  if (!std::filesystem::exists(folder, ec)) { return ok_status(); }
  if (std::filesystem::is_directory(folder, ec) && std::filesystem::is_empty(folder, ec)) { return ok_status(); }
  return candidate_error(folder.string() + " is there already", "name another folder, or say --overwrite");
}

// The pair must stand for what was measured: written, read back and checked, it has the candidate's key.
Status verify(const std::string& module_path, const db::Candidate& row, const job::Job& job) {
  VORTEX_ASSIGN(const vflow::PolicySource source, read_policy(module_path, ""));
  VORTEX_ASSIGN(const vflow::ModelGeometry model, geometry_of_job(job));
  VORTEX_ASSIGN(const vflow::Policy policy, checked_policy(source, model));
  if (policy_key(policy) == row.key) { return ok_status(); }
  return internal_error("the exported pair does not check back to the candidate's key");
}

// CLI11 has checked the name.
const ExportFormat& format_of_name(const std::string& name) {
  const std::span<const ExportFormat> formats = export_formats();
  return *std::find_if(formats.begin(), formats.end(), [&](const ExportFormat& format) { return format.name == name; });
}

Result<int> export_candidate(const Context& context, const ExportArguments& arguments) {
  VORTEX_ASSIGN(const study::LoadedRun run, study::load_run_of(context.workspace, arguments.candidate));
  const study::CandidateHistory* candidate = run.history.find(arguments.candidate);
  if (candidate == nullptr || study::is_dense(candidate->row)) {
    return candidate_error("candidate " + std::to_string(arguments.candidate) + " has no policy to export");
  }
  const auto claim = study::claim_on(run.history, run.options, arguments.candidate);
  const bool confirmed = claim && claim->kept;
  if (!confirmed && !arguments.unconfirmed) {
    return candidate_error("candidate " + std::to_string(arguments.candidate) +
                               " was not found to keep dense attention's accuracy on held-out problems" +
                               (claim ? " (" + std::string(evals::keeping_name(claim->keeping)) + ")" : std::string()),
                           "--unconfirmed exports it all the same, and says so inside");
  }
  if (!arguments.overwrite) { VORTEX_TRY(look_at_target(arguments.folder)); }
  const ExportFormat& format = format_of_name(arguments.format);
  VORTEX_ASSIGN(const std::filesystem::path module, format.write(run, *candidate, confirmed, arguments.folder));
  VORTEX_TRY(verify(module.string(), candidate->row, run.options.job));
  if (context.format() != Format::kText) {
    const std::string record(format.record);
    const std::string written = record == "module" ? module.string() : arguments.folder;
    print_record(context.format(), "export",
                 {{record, written}, {"key", candidate->row.key}, {"confirmed", confirmed}});
  } else {
    std::cout << format.said(module, arguments.folder, candidate->row.key) << "\n";
  }
  return 0;
}

}  // namespace

void add_export(CLI::App& app, Context& context) {
  const auto arguments = std::make_shared<ExportArguments>();
  CLI::App* verb = add_verb(app, context, "export", "writes a candidate for use elsewhere",
                            [&context, arguments] { return export_candidate(context, *arguments); });
  verb->add_option("candidate", arguments->candidate, "its number")->required();
  std::vector<std::string> names;
  std::vector<std::string> help;
  for (const ExportFormat& format : export_formats()) {
    names.emplace_back(format.name);
    help.push_back(std::string(format.name) + ": " + std::string(format.help));
  }
  verb->add_option("--to", arguments->format, join(help, "; "))->required()->check(CLI::IsMember(names));
  verb->add_option("--out", arguments->folder, "folder to write to")->required();
  verb->add_flag("--overwrite", arguments->overwrite, "also into a folder that holds something");
  verb->add_flag("--unconfirmed", arguments->unconfirmed, "also a candidate that held-out problems did not confirm");
  add_workspace_option(verb, context);
  add_format_option(verb, context);
}

}  // namespace vortex::cli
