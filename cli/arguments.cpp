#include "cli/arguments.h"

#include <array>
#include <cstdlib>
#include <sstream>
#include <string_view>
#include <utility>

#include "base/files.h"
#include "base/text.h"

namespace vortex::cli {
namespace {

constexpr std::array kEnvironment = {
    std::pair{"VORTEX_WORKSPACE", "workspace"},
    std::pair{"VORTEX_WORKER", "worker"},
    std::pair{"VORTEX_MODEL", "model"},
};

std::vector<std::string> option_names(const CLI::App& verb) {
  std::vector<std::string> names;
  for (const CLI::Option* option : verb.get_options()) {
    for (const std::string& name : option->get_lnames()) { names.push_back(name); }
  }
  return names;
}

// Of a verb that has verbs of its own.
std::vector<std::string> names_of_parts(const CLI::App& verb) {
  std::vector<std::string> names;
  if (verb.get_parent() == nullptr) { return names; }
  for (const CLI::App* part : verb.get_subcommands([](const CLI::App*) { return true; })) {
    names.push_back(part->get_name());
  }
  return names;
}

bool has_option(const CLI::App& verb, const std::string& name) {
  const std::vector<std::string> names = option_names(verb);
  return std::find(names.begin(), names.end(), name) != names.end();
}

std::string suggestion(const std::string& name, const CLI::App& verb) {
  const auto nearest = nearest_word(name, option_names(verb));
  if (verb.get_parent() == nullptr) { return "options stand behind the verb: vortex VERB --" + name; }
  return nearest ? "did you mean --" + *nearest + "?" : "`vortex " + verb.get_name() + " --help` lists the options";
}

// The value of --config on the command line; empty when there is none.
std::string config_path(const std::vector<std::string>& arguments) {
  std::string path;
  for (size_t i = 0; i < arguments.size(); ++i) {
    if (arguments[i] == "--config" && i + 1 < arguments.size()) { path = arguments[i + 1]; }
    if (arguments[i].starts_with("--config=")) { path = arguments[i].substr(9); }
  }
  return path;
}

Status read_config(const CLI::App& verb, const std::string& path, CompleteArguments& complete) {
  VORTEX_ASSIGN(const std::string text, read_file(path));
  std::vector<CLI::ConfigItem> items;
  try {
    std::istringstream stream(text);
    items = CLI::ConfigTOML().from_config(stream);
  } catch (const CLI::Error& error) { return candidate_error(path + ": " + error.what()); }
  for (const CLI::ConfigItem& item : items) {
    if (item.name == "++" || item.name == "--") {
      continue;  // CLI11's marks of sections
    }
    if (!has_option(verb, item.name) || item.name == "config" || item.name == "help") {
      const auto nearest = nearest_word(item.name, option_names(verb));
      return candidate_error(path + ": unknown key: " + item.fullname(),
                             nearest ? "did you mean " + *nearest + "?"
                                     : "keys are the long options of `vortex " + verb.get_name() + " --help`");
    }
    complete.origins[item.name] = path;
    const bool is_flag = verb.get_option("--" + item.name)->get_expected_max() == 0;
    for (const std::string& input : item.inputs) {
      if (!is_flag) { complete.words.push_back("--" + item.name + "=" + input); }
      if (is_flag && input == "true") { complete.words.push_back("--" + item.name); }
    }
  }
  return ok_status();
}

// "--for=8h" -> "for"; empty for what is no long option.
std::string long_option_of(const std::string& word) {
  return word.starts_with("--") ? word.substr(2, word.find('=') - 2) : std::string();
}

// Of two limits the one that counts must not be the one that stands behind.
constexpr std::array kSaidOnce = {"for", "gpu-time", "max-evals", "max-dollars"};

Status refuse_twice(const CLI::App& verb, const std::vector<std::string>& arguments) {
  std::map<std::string, std::string> said;
  for (size_t i = 1; i < arguments.size() && arguments[i] != "--"; ++i) {
    const std::string name = long_option_of(arguments[i]);
    const bool once = std::find(kSaidOnce.begin(), kSaidOnce.end(), name) != kSaidOnce.end();
    if (!once || !has_option(verb, name)) { continue; }
    const size_t equals = arguments[i].find('=');
    std::string value = equals != std::string::npos ? arguments[i].substr(equals + 1)
                        : i + 1 < arguments.size()  ? arguments[i + 1]
                                                    : "";
    const auto [first, is_new] = said.try_emplace(name, value);
    if (is_new) { continue; }
    return candidate_error("--" + name + " is given twice: " + first->second + " and " + value, "say it once");
  }
  return ok_status();
}

}  // namespace

Result<CompleteArguments> complete_arguments(const CLI::App& verb, const std::vector<std::string>& arguments) {
  VORTEX_TRY(refuse_twice(verb, arguments));
  CompleteArguments complete;
  complete.words = {arguments.front()};
  const std::string config = has_option(verb, "config") ? config_path(arguments) : "";
  if (!config.empty()) { VORTEX_TRY(read_config(verb, config, complete)); }
  for (const auto& [variable, option] : kEnvironment) {
    const char* value = std::getenv(variable);
    if (value != nullptr && *value != '\0' && has_option(verb, option)) {
      complete.words.push_back("--" + std::string(option) + "=" + value);
      complete.origins[option] = variable;
    }
  }
  for (size_t i = 1; i < arguments.size(); ++i) { complete.origins.erase(long_option_of(arguments[i])); }
  complete.words.insert(complete.words.end(), arguments.begin() + 1, arguments.end());
  return complete;
}

Error describe_parse_error(const CLI::App& verb, const CLI::ParseError& error) {
  for (const std::string& left : verb.remaining()) {
    if (!left.starts_with("-")) { continue; }
    const std::string name =
        left.substr(left.find_first_not_of('-') == std::string::npos ? left.size() : left.find_first_not_of('-'));
    return candidate_error("unknown option: " + left, suggestion(name.substr(0, name.find('=')), verb));
  }
  const std::vector<std::string> parts = names_of_parts(verb);
  if (!parts.empty() && verb.get_subcommands().empty()) {
    const std::vector<std::string> left = verb.remaining();
    return candidate_error(
        left.empty() ? "which part of " + verb.get_name() + "?" : verb.get_name() + " does not know " + left.front(),
        "vortex " + verb.get_name() + " " + join(parts, ", "));
  }
  const std::string what = error.what();
  // CLI11's "Could not convert: NAME = VALUE"; all that is converted are numbers.
  constexpr std::string_view kNoNumber = "Could not convert: ";
  if (const size_t equals = what.find(" = "); what.starts_with(kNoNumber) && equals != std::string::npos) {
    return candidate_error(
        what.substr(kNoNumber.size(), equals - kNoNumber.size()) + ": not a number: " + what.substr(equals + 3),
        "see `vortex " + verb.get_name() + " --help`");
  }
  return candidate_error(what, "see `vortex " + verb.get_name() + " --help`");
}

}  // namespace vortex::cli
