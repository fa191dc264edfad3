#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

namespace vortex::cli {

// The options of every verb as CLI11 knows them: what completions and the manual page are made from.
struct OptionRow {
  std::vector<std::string> names;  // "--format", "-h"; empty for an operand
  std::string operand;             // its name, where it has no option names
  std::string help;
  std::string group;                 // that it stands in
  std::string value;                 // what it takes in a word, e.g. NUMBER; empty for a flag
  std::string initial;               // its default; empty: none that says anything
  std::vector<std::string> choices;  // where only these are accepted
  bool takes_value = false;
  bool required = false;
};

struct VerbRow {
  std::string name;
  std::string help;
  std::vector<OptionRow> options;
};

std::vector<VerbRow> option_table(const CLI::App& app);
VerbRow verb_row(const CLI::App& verb);
// Null where no verb is called so.
const CLI::App* find_verb(const CLI::App& app, const std::string& name);

// Scripts that a shell reads to complete commands of vortex.
std::string bash_completion(const std::vector<VerbRow>& verbs);
std::string zsh_completion(const std::vector<VerbRow>& verbs);
std::string fish_completion(const std::vector<VerbRow>& verbs);
// As roff, for `man`.
std::string manual_page(const std::vector<VerbRow>& verbs, const std::string& summary, const std::string& version);

}  // namespace vortex::cli
