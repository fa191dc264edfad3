#include "cli/show/help.h"

#include <algorithm>
#include <array>
#include <vector>

#include "base/text.h"
#include "cli/arguments.h"
#include "cli/output.h"
#include "cli/show/option_table.h"

namespace vortex::cli {
namespace {

constexpr size_t kWidth = 79;
constexpr size_t kIndent = 26;  // of what is said of an option

// Where a verb stands in the program's help, and an example of it.
struct VerbGuide {
  const char* name;
  const char* group;
  const char* example;
};
constexpr const char* kSearching = "Searching";
constexpr const char* kLooking = "Looking at what was found";
constexpr const char* kTrying = "Trying a policy";
constexpr const char* kAround = "Around it";
constexpr std::array kGuide = {
    VerbGuide{"search", kSearching, "vortex search --model smollm2 --task ruler_vt --for 8h"},
    VerbGuide{"status", kSearching, "vortex status --watch"},
    VerbGuide{"stop", kSearching, "vortex stop brisk-otter --now"},
    VerbGuide{"rm", kSearching, "vortex rm brisk-otter --yes"},
    VerbGuide{"dashboard", kSearching, "vortex dashboard --port 8080"},
    VerbGuide{"worker", kSearching, "vortex worker --connect login1:7000 --token-file token"},
    VerbGuide{"report", kLooking, "vortex report --html brief.html"},
    VerbGuide{"front", kLooking, "vortex front --format csv > front.csv"},
    VerbGuide{"list", kLooking, "vortex list --verdict pass --sort speed --limit 10"},
    VerbGuide{"show", kLooking, "vortex show 7 --source > policy.py"},
    VerbGuide{"diff", kLooking, "vortex diff 7 12"},
    VerbGuide{"lineage", kLooking, "vortex lineage 12"},
    VerbGuide{"compare", kLooking, "vortex compare brisk-otter calm-heron"},
    VerbGuide{"replay", kLooking, "vortex replay front"},
    VerbGuide{"export", kLooking, "vortex export 7 --to vortex-torch --out winner/"},
    VerbGuide{"check", kTrying, "vortex check my.py my.json"},
    VerbGuide{"eval", kTrying, "vortex eval my.py --model smollm2 --problems 32"},
    VerbGuide{"generate", kTrying, "vortex generate \"Once upon\" --policy my.py --compare"},
    VerbGuide{"serve", kTrying, "vortex serve smollm2 --policy my.py --port 8000"},
    VerbGuide{"layers", kTrying, "vortex layers my.py --model smollm2"},
    VerbGuide{"vflow", kTrying, "vortex vflow ops"},
    VerbGuide{"diversity", kTrying, "vortex diversity examples/policies"},
    VerbGuide{"tokenize", kTrying, "vortex tokenize \"two words\" --model smollm2"},
    VerbGuide{"fetch", kAround, "vortex fetch HuggingFaceTB/SmolLM2-135M-Instruct --to smollm2"},
    VerbGuide{"doctor", kAround, "vortex doctor --model smollm2"},
    VerbGuide{"bench", kAround, "vortex bench step --help"},
    VerbGuide{"db", kAround, "vortex db backup saved/"},
    VerbGuide{"config", kAround, "vortex config show search --config night.toml"},
    VerbGuide{"completions", kAround, "vortex completions zsh > \"${fpath[1]}/_vortex\""},
    VerbGuide{"man", kAround, "vortex man | man -l -"},
    VerbGuide{"help", kAround, "vortex help search"},
};

const VerbGuide* guide_of(const std::string& verb) {
  const auto found = std::find_if(kGuide.begin(), kGuide.end(), [&](const VerbGuide& one) { return verb == one.name; });
  return found == kGuide.end() ? nullptr : &*found;
}

// Words from column `indent` on; the first line is begun with `begin`, on its own where that is too long.
std::string entry(const std::string& begin, const std::string& text, size_t indent) {
  std::string line = begin;
  std::string out;
  if (!line.empty() && line.size() + 2 > indent) {
    out = line + "\n";
    line.clear();
  }
  line.resize(indent, ' ');
  for (const std::string& one : wrapped_lines(text, kWidth - indent)) {
    out += line + one + "\n";
    line.assign(indent, ' ');
  }
  return out;
}

std::string option_entry(const OptionRow& option) {
  std::string names;
  for (const std::string& name : option.names) { names += (names.empty() ? "  " : ",") + name; }
  if (option.names.empty()) { names = "  " + option.operand; }
  if (!option.value.empty() && !option.names.empty()) { names += " " + option.value; }
  std::string text = option.help;
  if (!option.choices.empty()) { text += " (" + join(option.choices, ", ") + ")"; }
  if (!option.initial.empty()) { text += " [" + option.initial + "]"; }
  return entry(names, text, kIndent);
}

std::string usage(const VerbRow& verb) {
  std::string line = "usage: vortex " + verb.name;
  for (const OptionRow& option : verb.options) {
    if (option.names.empty()) { line += option.required ? " " + option.operand : " [" + option.operand + "]"; }
  }
  return line + " [options]\n";
}

}  // namespace

std::string program_help(const CLI::App& app) {
  std::string out = entry("", app.get_description(), 0) + "\nusage: vortex VERB [options]\n";
  for (const char* group : {kSearching, kLooking, kTrying, kAround}) {
    out += "\n" + std::string(group) + ":\n";
    for (const VerbGuide& guide : kGuide) {
      if (std::string(guide.group) != group) { continue; }
      const CLI::App* verb = find_verb(app, guide.name);
      if (verb != nullptr) { out += entry("  " + std::string(guide.name), verb->get_description(), 15); }
    }
  }
  return out + "\n`vortex help VERB` explains a verb, `vortex --version` tells the version.\n" +
         "Exit codes: 0 done, 1 your input is wrong, 2 a fault of vortex, 3 the machine is\n"
         "at fault, 130 interrupted and resumable.\n";
}

std::string verb_help(const CLI::App& verb) {
  const VerbRow row = verb_row(verb);
  std::string out = entry("", "vortex " + row.name + ": " + row.help, 0) + "\n" + usage(row);
  std::vector<std::string> groups;
  for (const OptionRow& option : row.options) {
    if (std::find(groups.begin(), groups.end(), option.group) == groups.end()) { groups.push_back(option.group); }
  }
  const auto last = std::find(groups.begin(), groups.end(), kEverywhere);
  if (last != groups.end()) { std::rotate(last, last + 1, groups.end()); }
  for (const std::string& group : groups) {
    out += "\n" + group + ":\n";
    for (const OptionRow& option : row.options) {
      if (option.group == group) { out += option_entry(option); }
    }
  }
  if (const VerbGuide* guide = guide_of(row.name)) { out += "\nExample:\n  " + std::string(guide->example) + "\n"; }
  return out;
}

}  // namespace vortex::cli
