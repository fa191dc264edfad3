#include <algorithm>
#include <iostream>
#include <memory>

#include "cli/verbs/verbs.h"
#include "study/digest.h"
#include "study/facts.h"

namespace vortex::cli {
namespace {

struct Searched {
  db::Run run;
  study::Facts facts;
  nlohmann::json options;  // a flat object
};

Result<Searched> load_side(const Context& context, const std::string& name) {
  Searched side;
  VORTEX_ASSIGN(const study::Digest digest, study::read_digest(context.workspace, name));
  VORTEX_ASSIGN(side.facts, study::facts_of(digest.view(), study::Undecided::kLeftOut));
  side.run = digest.run;
  side.options = study::to_json(digest.options).flatten();
  return side;
}

std::string option_name(std::string pointer) {
  pointer.erase(0, 1);
  std::replace(pointer.begin(), pointer.end(), '/', '.');
  return pointer;
}

nlohmann::json result_of(const Searched& side) {
  const study::Facts& facts = side.facts;
  const auto members =
      std::count_if(facts.front.begin(), facts.front.end(), [](const study::FrontRow& row) { return !row.undecided; });
  int passed = 0;
  for (const auto& [name, origin] : facts.origins) { passed += origin.passed; }
  nlohmann::json record = {{"state", side.run.state},
                           {"seconds_used", side.run.seconds_used},
                           {"candidates", facts.candidates},
                           {"evaluated", facts.evaluated},
                           {"passed", passed},
                           {"front", members},
                           {"hypervolume", interval_json(facts.hypervolume)},
                           {"dollars", facts.spent.back().used},
                           {"claimed_candidate", nullptr},
                           {"claimed_speed", nullptr},
                           {"accuracy_difference", nullptr}};
  if (facts.best) {
    record["claimed_candidate"] = facts.best->row.id;
    record["claimed_speed"] = interval_json(facts.best->claim.speed->ratio);
    record["accuracy_difference"] = interval_json(facts.best->claim.difference);
  }
  return record;
}

std::string cell(const std::string& name, const nlohmann::json& value) {
  return name == "seconds_used" ? duration_text(value.get<double>()) : json_cell(value);
}

// Options that differ; what is the same says nothing.
std::vector<std::string> differing(const Searched& a, const Searched& b) {
  std::vector<std::string> names;
  const auto look = [&](const Searched& one, const Searched& other) {
    for (const auto& [name, value] : one.options.items()) {
      const auto found = other.options.find(name);
      if (found == other.options.end() || *found != value) { names.push_back(name); }
    }
  };
  look(a, b);
  look(b, a);
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  return names;
}

struct CompareArguments {
  std::string a;
  std::string b;
};

Result<int> compare(const Context& context, const CompareArguments& arguments) {
  VORTEX_ASSIGN(const Searched a, load_side(context, arguments.a));
  VORTEX_ASSIGN(const Searched b, load_side(context, arguments.b));
  const nlohmann::json of_a = result_of(a);
  const nlohmann::json of_b = result_of(b);
  nlohmann::json options = nlohmann::json::array();
  bool same_question = true;
  for (const std::string& name : differing(a, b)) {
    same_question = same_question && !name.starts_with("/job/task/") && name != "/job/model_path";
    options.push_back({{"option", option_name(name)},
                       {"a", a.options.value(name, nlohmann::json())},
                       {"b", b.options.value(name, nlohmann::json())}});
  }
  if (context.format() != Format::kText) {
    print_record(context.format(), "comparison",
                 {{"a", a.run.name},
                  {"b", b.run.name},
                  {"options", options},
                  {"same_question", same_question},
                  {"result_a", of_a},
                  {"result_b", of_b}});
    return 0;
  }
  Table table({"", a.run.name, b.run.name});
  for (const nlohmann::json& option : options) {
    table.add({option["option"].get<std::string>(), json_cell(option["a"]), json_cell(option["b"])});
  }
  for (const char* name : {"state", "seconds_used", "candidates", "evaluated", "passed", "front", "hypervolume",
                           "claimed_candidate", "claimed_speed", "accuracy_difference", "dollars"}) {
    std::string shown = name;
    std::replace(shown.begin(), shown.end(), '_', ' ');
    table.add({shown, cell(name, of_a[name]), cell(name, of_b[name])});
  }
  print_table(table);
  if (!same_question) { log_line("they searched on another model or task: their numbers answer different questions"); }
  return 0;
}

}  // namespace

void add_compare(CLI::App& app, Context& context) {
  const auto arguments = std::make_shared<CompareArguments>();
  CLI::App* verb = add_verb(app, context, "compare", "two searches: options that differ, and what each came to",
                            [&context, arguments] { return compare(context, *arguments); });
  verb->add_option("a", arguments->a, "a search, by name or number")->required();
  verb->add_option("b", arguments->b, "another one")->required();
  add_workspace_option(verb, context);
  add_format_option(verb, context);
}

}  // namespace vortex::cli
