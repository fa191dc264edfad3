#include "cli/show/option_table.h"

#include <sstream>

namespace vortex::cli {
namespace {

// CLI11 tells what an option accepts as its type: "TEXT:{text,json,jsonl}".
std::vector<std::string> choices_of(const CLI::Option& option) {
  const std::string type = option.get_type_name();
  const size_t begin = type.find('{');
  const size_t end = type.find('}', begin);
  std::vector<std::string> choices;
  if (begin == std::string::npos || end == std::string::npos) { return choices; }
  std::istringstream list(type.substr(begin + 1, end - begin - 1));
  for (std::string choice; std::getline(list, choice, ',');) { choices.push_back(choice); }
  return choices;
}

OptionRow row_of(const CLI::Option& option) {
  OptionRow row;
  for (const std::string& name : option.get_lnames()) { row.names.push_back("--" + name); }
  for (const std::string& name : option.get_snames()) { row.names.push_back("-" + name); }
  if (row.names.empty()) { row.operand = option.get_name(true); }
  row.help = option.get_description();
  row.choices = choices_of(option);
  row.takes_value = option.get_expected_max() > 0;
  row.required = option.get_required();
  return row;
}

}  // namespace

std::vector<VerbRow> option_table(const CLI::App& app) {
  std::vector<VerbRow> verbs;
  for (const CLI::App* verb : app.get_subcommands([](const CLI::App*) { return true; })) {
    VerbRow row{verb->get_name(), verb->get_description(), {}};
    for (const CLI::Option* option : verb->get_options()) { row.options.push_back(row_of(*option)); }
    verbs.push_back(std::move(row));
  }
  return verbs;
}

}  // namespace vortex::cli
