#include <iostream>
#include <memory>
#include <optional>
#include <set>

#include "base/escape.h"
#include "base/json.h"
#include "cli/show/line_diff.h"
#include "cli/verbs/verbs.h"
#include "core/model/model.h"
#include "core/vflow/graph/canonical.h"
#include "core/vflow/graph/distance.h"
#include "study/loaded_run.h"
#include "study/standing.h"

namespace vortex::cli {
namespace {

struct Side {
  int64_t id = 0;
  study::LoadedRun run;
  const study::CandidateHistory* candidate = nullptr;
  study::CandidateFiles files;
};

struct Field {
  std::string name;
  std::string a;
  std::string b;
};

Result<Side> load_side(const Context& context, int64_t id) {
  Side side;
  side.id = id;
  VORTEX_ASSIGN(side.run, study::load_run_of(context.workspace, id));
  side.candidate = side.run.history.find(id);
  if (side.candidate == nullptr) {
    return internal_error("candidate " + std::to_string(id) + " is not in its own search");
  }
  VORTEX_ASSIGN(side.files, study::files_of(*side.run.store, side.candidate->row));
  return side;
}

std::vector<std::string> summary(const Side& side) {
  const db::Candidate& row = side.candidate->row;
  const study::SearchOptions& options = side.run.options;
  const auto point = study::point_of(*side.candidate, options.rank_speed, options.seed);
  return {std::string(name_of(row.origin)), std::string(study::outcome_name(row.state, row.verdict)),
          point ? interval_text(point->accuracy, 3) : "-", point ? interval_text(point->speed.ratio, 2) : "-"};
}

nlohmann::json config_of(const Side& side) {
  auto config = parse_json(side.files.config_text);
  return config.is_object() ? config : nlohmann::json::object();
}

std::vector<Field> differing_fields(const Side& a, const Side& b) {
  std::vector<Field> fields;
  const std::vector<std::string> names = {"origin", "verdict", "accuracy", "speed over dense"};
  const std::vector<std::string> left = summary(a);
  const std::vector<std::string> right = summary(b);
  for (size_t i = 0; i < names.size(); ++i) {
    if (left[i] != right[i]) { fields.push_back({names[i], left[i], right[i]}); }
  }
  const nlohmann::json config_a = config_of(a);
  const nlohmann::json config_b = config_of(b);
  std::set<std::string> keys;
  for (const auto& item : config_a.items()) { keys.insert(item.key()); }
  for (const auto& item : config_b.items()) { keys.insert(item.key()); }
  const auto value = [](const nlohmann::json& config, const std::string& key) {
    return config.contains(key) ? config[key].dump(-1, ' ', true, nlohmann::json::error_handler_t::replace) : "-";
  };
  for (const std::string& key : keys) {
    const std::string of_a = value(config_a, key);
    const std::string of_b = value(config_b, key);
    if (of_a != of_b) { fields.push_back({"config " + key, of_a, of_b}); }
  }
  return fields;
}

std::optional<vflow::CanonicalTree> tree_of(const Side& side) {
  if (side.files.module_text.empty()) { return std::nullopt; }
  const job::Job& job = side.run.options.job;
  const auto config = model::read_model_config(job.model_path);
  if (!config.ok()) { return std::nullopt; }
  // As the search checked it: prompts of task chain have five tokens a definition and four around them.
  const int max_context = 5 * job.task.definitions + 4 + job.task.max_new_tokens;
  const vflow::ModelGeometry geometry = model::geometry_of(*config, max_context, job.kv_memory_bytes);
  const vflow::CheckReport report =
      vflow::check_policy({side.files.module_text, side.files.config_text, "policy.py", "policy.json"}, geometry);
  if (!report.policy) { return std::nullopt; }
  return vflow::canonical_tree(report.policy->program);
}

// Nothing where a side has no program that checks (dense attention, a refused candidate) or its model is gone.
std::optional<double> distance(const Side& a, const Side& b) {
  const auto tree_a = tree_of(a);
  const auto tree_b = tree_of(b);
  if (!tree_a || !tree_b) { return std::nullopt; }
  return vflow::structural_distance(*tree_a, *tree_b);
}

struct DiffArguments {
  int64_t a = 0;
  int64_t b = 0;
};

Result<int> diff(const Context& context, const DiffArguments& arguments) {
  VORTEX_ASSIGN(const Side a, load_side(context, arguments.a));
  VORTEX_ASSIGN(const Side b, load_side(context, arguments.b));
  const std::vector<Field> fields = differing_fields(a, b);
  const std::string text = line_diff(a.files.module_text, b.files.module_text);
  const std::optional<double> apart = distance(a, b);
  if (context.format() != Format::kText) {
    nlohmann::json rows = nlohmann::json::array();
    for (const Field& field : fields) { rows.push_back({{"field", field.name}, {"a", field.a}, {"b", field.b}}); }
    print_record(context.format(), "diff",
                 {{"a", a.id},
                  {"b", b.id},
                  {"fields", rows},
                  {"module_diff", text},
                  {"structural_distance", apart ? nlohmann::json(*apart) : nlohmann::json()}});
    return 0;
  }
  Table table({"field", std::to_string(a.id), std::to_string(b.id)});
  for (const Field& field : fields) { table.add({field.name, field.a, field.b}); }
  std::cout << table.text() << "\nstructural distance: "
            << (apart ? fixed(*apart, 3) : "none, since one of them has no program that checks against its model")
            << "\n";
  if (!text.empty()) { std::cout << "\n--- " << a.id << "\n+++ " << b.id << "\n" << terminal_text(text); }
  return 0;
}

}  // namespace

void add_diff(CLI::App& app, Context& context) {
  const auto arguments = std::make_shared<DiffArguments>();
  CLI::App* verb = add_verb(app, context, "diff", "how two candidates differ",
                            [&context, arguments] { return diff(context, *arguments); });
  verb->add_option("a", arguments->a, "a candidate's number")->required();
  verb->add_option("b", arguments->b, "another's")->required();
  add_workspace_option(verb, context);
  add_format_option(verb, context);
}

}  // namespace vortex::cli
