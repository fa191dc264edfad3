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
  nlohmann::json a;
  nlohmann::json b;
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

nlohmann::json summary(const Side& side) {
  const db::Candidate& row = side.candidate->row;
  const study::SearchOptions& options = side.run.options;
  const auto point = study::point_of(*side.candidate, options.rank_speed, options.seed);
  return {{"origin", name_of(row.origin)},
          {"verdict", study::outcome_name(row.state, row.verdict)},
          {"accuracy", point ? interval_json(point->accuracy) : nlohmann::json()},
          {"speed over dense", point ? interval_json(point->speed.ratio) : nlohmann::json()}};
}

// What a policy runs with: what its file leaves out has the default's value. Names of files say nothing of it.
nlohmann::json effective_config(const Side& side) {
  if (side.files.config_text.empty()) { return nlohmann::json::object(); }
  std::vector<vflow::Diagnostic> ignored;
  const vflow::EngineConfig config = vflow::parse_config(side.files.config_text, "policy.json", ignored);
  nlohmann::json all = {{"vortex_block_size", config.block_size},
                        {"vortex_workload_chunk_size", config.workload_chunk_size},
                        {"vortex_topk_val", config.topk_val},
                        {"vortex_topk_ratio", config.topk_ratio},
                        {"vortex_block_reserved_bos", config.reserved_bos},
                        {"vortex_block_reserved_eos", config.reserved_eos},
                        {"vortex_layers_skip", config.layers_skip},
                        {"vortex_max_seq_lens", config.max_seq_lens},
                        {"vortex_dtype", vflow::dtype_name(config.dtype)},
                        {"kv_cache_dtype", vflow::dtype_name(config.kv_dtype)},
                        {"vortex_schedule_policy", config.schedule_policy},
                        {"disable_radix_cache", config.disable_radix_cache},
                        {"mem_fraction_static", config.mem_fraction_static},
                        {"tp_size", config.tp_size}};
  for (const auto& [key, text] : config.passthrough) { all[key] = parse_json(text); }
  return all;
}

void add_differing(const nlohmann::json& a, const nlohmann::json& b, const std::string& prefix,
                   std::vector<Field>& fields) {
  std::set<std::string> names;
  for (const nlohmann::json* side : {&a, &b}) {
    for (const auto& item : side->items()) { names.insert(item.key()); }
  }
  for (const std::string& name : names) {
    const nlohmann::json of_a = a.value(name, nlohmann::json());
    const nlohmann::json of_b = b.value(name, nlohmann::json());
    if (of_a != of_b) { fields.push_back({prefix + name, of_a, of_b}); }
  }
}

std::vector<Field> differing_fields(const Side& a, const Side& b) {
  std::vector<Field> fields;
  add_differing(summary(a), summary(b), "", fields);
  add_differing(effective_config(a), effective_config(b), "config ", fields);
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
  for (const Field& field : fields) { table.add({field.name, json_cell(field.a), json_cell(field.b)}); }
  if (fields.empty()) {
    std::cout << (a.id == b.id ? "that is one candidate" : "no field differs") << "\n";
  } else {
    print_table(table);
  }
  std::cout << "\nstructural distance: "
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
