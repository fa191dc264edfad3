// Takes policies that others wrote through everything that a policy meets before a model: check, print and read back,
// compile for the CPU, and run on random batches beside the oracle. A table, then the counts; exits 1 if a policy that
// passed the check did not agree with the oracle or with its own printed form. Refusals are listed with their reasons.
// usage: flow_check FOLDER   (every .py below it; the .json beside it is its configuration, {} if there is none)
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <regex>

#include "base/files.h"
#include "core/compile/cpu/cpu_executable.h"
#include "core/compile/reference/agreement.h"
#include "core/vflow/graph/canonical.h"

namespace vortex {
namespace {

namespace fs = std::filesystem;

constexpr int kGraderContext = 4096 + 32768;  // what the public evaluation sizes its buffers for, unless told less

// Published shapes of the models that public configurations name; Qwen3-1.7B is what leaving model_path out means.
vflow::ModelGeometry geometry(const std::string& module, const nlohmann::json& config) {
  vflow::ModelGeometry model;
  const int sized_for = config.value("vortex_max_seq_lens", kGraderContext);
  model.max_context = sized_for > 0 ? std::min(sized_for, kGraderContext) : kGraderContext;
  if (module.find("vFlowMLA") != std::string::npos) {  // GLM-4.7-Flash
    model.layers = 47;
    model.num_q_heads = 20;
    model.num_kv_heads = 1;
    model.kv_lora_rank = 512;
    model.rope_dim = 64;
    return model;
  }
  const bool four_billion = config.value("model_path", "").find("Qwen3-4B") != std::string::npos;
  model.layers = four_billion ? 36 : 28;
  model.num_q_heads = four_billion ? 32 : 16;
  model.num_kv_heads = 8;
  model.head_dim = 128;
  return model;
}

struct Counts {
  int agree = 0;
  int refused = 0;
  int failed = 0;
  compile::AgreementReport total;
};

std::string content(const fs::path& path, const std::string& otherwise) {
  const Result<std::string> text = read_file(path);
  return text.ok() ? *text : otherwise;
}

std::string codes(const std::vector<vflow::Diagnostic>& findings) {
  std::string text;
  for (const vflow::Diagnostic& finding : findings) {
    if (text.find(finding.code) == std::string::npos) { text += (text.empty() ? "" : " ") + finding.code; }
  }
  return text;
}

void row(const char* verdict, const std::string& name, const std::string& detail) {
  std::printf("%-8s %-46s %s\n", verdict, name.c_str(), detail.c_str());
}

// What stands in the way, or the empty string.
std::string run(const vflow::Policy& policy, const vflow::ModelGeometry& model, compile::AgreementReport& report) {
  const vflow::CheckReport again = check_policy(print_policy(policy), model);
  if (!again.policy || policy_key(*again.policy) != policy_key(policy)) { return "its printed form is another policy"; }
  const auto executable = compile::compile_cpu(policy);
  if (!executable.ok()) { return executable.error().message; }
  compile::AgreementOptions options;
  options.cases = 2;
  const auto compared = compare_with_oracle(policy, **executable, 2026, options);
  if (!compared.ok()) { return compared.error().message; }
  report = *compared;
  if (!report.agrees()) { return describe(report); }
  return report.rows_scored > 0 ? "" : "nothing was scored";
}

void check_one(const std::string& module, nlohmann::json config, const std::string& name, Counts& counts) {
  config["vortex_module_name"] = name;
  const vflow::ModelGeometry model = geometry(module, config);
  const vflow::CheckReport checked = check_policy({module, config.dump()}, model);
  if (!checked.policy) {
    ++counts.refused;
    return row("refused", name, codes(checked.diagnostics) + ": " + checked.diagnostics[0].message);
  }
  compile::AgreementReport report;
  const std::string problem = run(*checked.policy, model, report);
  counts.total.rows_scored += report.rows_scored;
  counts.total.same_choice += report.same_choice;
  if (!problem.empty()) {
    ++counts.failed;
    return row("FAILED", name, problem);
  }
  ++counts.agree;
  row("agrees", name,
      std::to_string(checked.policy->program.indexer.nodes.size()) + " operations, " +
          std::to_string(report.rows_scored) + " rows, " + std::to_string(report.same_choice) + " as the oracle; " +
          codes(checked.diagnostics));
}

int check_folder(const fs::path& folder) {
  std::vector<fs::path> modules;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.path().extension() == ".py") { modules.push_back(entry.path()); }
  }
  std::sort(modules.begin(), modules.end());
  const std::regex registered("@register\\([\"']([^\"']+)[\"']\\)");
  Counts counts;
  for (const fs::path& path : modules) {
    const std::string module = content(path, "");
    const std::string text = content(fs::path(path).replace_extension(".json"), "{}");
    const nlohmann::json config = nlohmann::json::parse(text, nullptr, false);
    if (!config.is_object()) {
      ++counts.failed;
      row("FAILED", path.filename(), "its configuration is not a JSON object");
      continue;
    }
    for (auto match = std::sregex_iterator(module.begin(), module.end(), registered); match != std::sregex_iterator();
         ++match) {
      check_one(module, config, (*match)[1], counts);
    }
  }
  std::printf("%d agree, %d refused, %d failed; %d rows scored, %d of them with exactly the oracle's pages\n",
              counts.agree, counts.refused, counts.failed, counts.total.rows_scored, counts.total.same_choice);
  return counts.failed == 0 && counts.agree > 0 ? 0 : 1;
}

}  // namespace
}  // namespace vortex

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fputs("usage: flow_check FOLDER\n", stderr);
    return 1;
  }
  return vortex::check_folder(argv[1]);
}
