#include "cli/show/option_table.h"

#include <algorithm>
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

// What an option takes, in a word. Ranges and the like are checked, and told where they are broken.
std::string value_word(const CLI::Option& option) {
  if (option.get_expected_max() == 0) { return {}; }
  const std::string type = option.get_type_name();
  if (type.starts_with("INT") || type.starts_with("UINT") || type.starts_with("FLOAT")) { return "NUMBER"; }
  return type.empty() || type.starts_with("TEXT") ? "TEXT" : type.substr(0, type.find(':'));
}

std::string default_of(const CLI::Option& option) {
  const std::string text = option.get_default_str();
  const bool says_nothing = text == "\"\"" || text == "{}" || text == "[]" || text == "false";
  return option.get_expected_max() == 0 || says_nothing ? std::string() : text;
}

OptionRow row_of(const CLI::Option& option) {
  OptionRow row;
  for (const std::string& name : option.get_lnames()) { row.names.push_back("--" + name); }
  for (const std::string& name : option.get_snames()) { row.names.push_back("-" + name); }
  if (row.names.empty()) { row.operand = option.get_name(true); }
  row.help = option.get_description();
  row.group = row.names.empty() ? "What it works on" : option.get_group();
  row.value = value_word(option);
  row.initial = default_of(option);
  row.choices = choices_of(option);
  row.takes_value = option.get_expected_max() > 0;
  row.required = option.get_required();
  return row;
}

}  // namespace

VerbRow verb_row(const CLI::App& verb) {
  VerbRow row{verb.get_name(), verb.get_description(), {}};
  for (const CLI::Option* option : verb.get_options()) { row.options.push_back(row_of(*option)); }
  const auto is_operand = [](const OptionRow& option) { return option.names.empty(); };
  std::stable_partition(row.options.begin(), row.options.end(), is_operand);
  return row;
}

const CLI::App* find_verb(const CLI::App& app, const std::string& name) {
  const auto found = app.get_subcommands([&](const CLI::App* verb) { return verb->get_name() == name; });
  return found.empty() ? nullptr : found.front();
}

std::vector<VerbRow> option_table(const CLI::App& app) {
  std::vector<VerbRow> verbs;
  for (const CLI::App* verb : app.get_subcommands([](const CLI::App*) { return true; })) {
    verbs.push_back(verb_row(*verb));
  }
  return verbs;
}

}  // namespace vortex::cli
