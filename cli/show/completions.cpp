#include "base/text.h"
#include "cli/show/option_table.h"

namespace vortex::cli {
namespace {

std::string replaced(const std::string& text, char what, const std::string& by) {
  std::string out;
  for (const char c : text) { out += c == what ? by : std::string(1, c); }
  return out;
}

// Between single quotes, for all three shells: the quote ends, an escaped one follows, and it begins again.
std::string single_quoted(const std::string& text) { return "'" + replaced(text, '\'', "'\\''") + "'"; }

// fish knows backslashes within single quotes.
std::string fish_quoted(const std::string& text) {
  return "'" + replaced(replaced(text, '\\', "\\\\"), '\'', "\\'") + "'";
}

std::string verb_names(const std::vector<VerbRow>& verbs) {
  std::vector<std::string> names;
  for (const VerbRow& verb : verbs) { names.push_back(verb.name); }
  return join(names, " ");
}

// "search:--model|search:--for"
std::string bash_pattern(const VerbRow& verb, const OptionRow& option) {
  std::vector<std::string> patterns;
  for (const std::string& name : option.names) { patterns.push_back(verb.name + ":" + name); }
  return join(patterns, "|");
}

// In the text of an _arguments spec, brackets and colons mean something.
std::string zsh_text(const std::string& text) {
  return replaced(replaced(replaced(replaced(text, '\\', "\\\\"), '[', "\\["), ']', "\\]"), ':', "\\:");
}

std::string zsh_action(const OptionRow& option) {
  return option.choices.empty() ? "_files" : "(" + join(option.choices, " ") + ")";
}

std::string zsh_spec(const OptionRow& option, const std::string& name) {
  std::string spec =
      name + (option.takes_value && name.starts_with("--") ? "=" : "") + "[" + zsh_text(option.help) + "]";
  if (option.takes_value) {
    spec += ":" + zsh_text(name.substr(name.find_first_not_of('-'))) + ":" + zsh_action(option);
  }
  return single_quoted(spec);
}

}  // namespace

std::string bash_completion(const std::vector<VerbRow>& verbs) {
  std::string values;   // what may follow an option
  std::string options;  // of a verb
  std::string operands;
  for (const VerbRow& verb : verbs) {
    std::vector<std::string> names;
    std::vector<std::string> plain;
    for (const OptionRow& option : verb.options) {
      names.insert(names.end(), option.names.begin(), option.names.end());
      if (option.names.empty() && !option.choices.empty()) {
        operands += "    " + verb.name + ") words=" + single_quoted(join(option.choices, " ")) + " ;;\n";
      }
      if (option.names.empty() || !option.takes_value) { continue; }
      if (option.choices.empty()) {
        plain.push_back(bash_pattern(verb, option));
      } else {
        values += "    " + bash_pattern(verb, option) + ") words=" + single_quoted(join(option.choices, " ")) + " ;;\n";
      }
    }
    if (!plain.empty()) { values += "    " + join(plain, "|") + ") files=1 ;;\n"; }
    options += "    " + verb.name + ") words=" + single_quoted(join(names, " ")) + " ;;\n";
  }
  return "# bash completion of vortex: . <(vortex completions bash)\n"
         "_vortex() {\n"
         "  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} verb='' words='' files='' i\n"
         "  COMPREPLY=()\n"
         "  # bash takes --format=json for three words.\n"
         "  if [[ $cur == '=' ]]; then cur=''; elif [[ $prev == '=' ]]; then prev=${COMP_WORDS[COMP_CWORD-2]}; fi\n"
         "  for ((i = 1; i < COMP_CWORD; ++i)); do\n"
         "    if [[ ${COMP_WORDS[i]} != -* ]]; then verb=${COMP_WORDS[i]}; break; fi\n"
         "  done\n"
         "  if [[ -z $verb ]]; then\n"
         "    mapfile -t COMPREPLY < <(compgen -W " +
         single_quoted(verb_names(verbs) + " --help --version") +
         " -- \"$cur\")\n    return\n  fi\n"
         "  case $verb:$prev in\n" +
         values +
         "  esac\n"
         "  if [[ -z $words$files && $cur == -* ]]; then\n    case $verb in\n" +
         options + "    esac\n  elif [[ -z $words$files ]]; then\n    case $verb in\n" + operands +
         "    *) files=1 ;;\n    esac\n  fi\n"
         "  if [[ -n $words ]]; then\n    mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$cur\")\n  else\n"
         "    compopt -o filenames 2>/dev/null\n    mapfile -t COMPREPLY < <(compgen -f -- \"$cur\")\n  fi\n}\n"
         "complete -F _vortex vortex\n";
}

std::string zsh_completion(const std::vector<VerbRow>& verbs) {
  std::string described;
  std::string cases;
  for (const VerbRow& verb : verbs) {
    described +=
        "        " + single_quoted(replaced(verb.name + ":", '\\', "\\\\") + replaced(verb.help, ':', "\\:")) + "\n";
    std::string specs;
    int position = 0;
    for (const OptionRow& option : verb.options) {
      for (const std::string& name : option.names) { specs += " \\\n            " + zsh_spec(option, name); }
      if (!option.names.empty()) { continue; }
      const std::string place = std::to_string(++position);
      specs += " \\\n            " + single_quoted(place + ":" + zsh_text(option.operand) + ":" + zsh_action(option));
    }
    cases += "        " + verb.name + ")\n          _arguments" + specs + " ;;\n";
  }
  return "#compdef vortex\n"
         "# zsh completion of vortex: vortex completions zsh > a folder of $fpath/_vortex\n"
         "_vortex() {\n"
         "  local line state\n"
         "  _arguments -C '--help[print a help message]' '--version[print the version]' '1:verb:->verb' "
         "'*::argument:->rest'\n"
         "  case $state in\n"
         "    verb)\n      local -a verbs\n      verbs=(\n" +
         described +
         "      )\n      _describe verb verbs ;;\n"
         "    rest)\n      case $line[1] in\n" +
         cases +
         "      esac ;;\n"
         "  esac\n}\n"
         "if [[ $funcstack[1] == _vortex ]]; then _vortex \"$@\"; else compdef _vortex vortex; fi\n";
}

std::string fish_completion(const std::vector<VerbRow>& verbs) {
  std::string out = "# fish completion of vortex: vortex completions fish | source\n";
  for (const VerbRow& verb : verbs) {
    out += "complete -c vortex -f -n __fish_use_subcommand -a " + verb.name + " -d " + fish_quoted(verb.help) + "\n";
  }
  for (const VerbRow& verb : verbs) {
    const std::string head = "complete -c vortex -n '__fish_seen_subcommand_from " + verb.name + "'";
    for (const OptionRow& option : verb.options) {
      std::string line = head;
      for (const std::string& name : option.names) {
        line += name.starts_with("--") ? " -l " + name.substr(2) : " -s " + name.substr(1);
      }
      if (option.names.empty() && option.choices.empty()) { continue; }  // files, as fish does by itself
      if (option.takes_value && !option.names.empty()) { line += option.choices.empty() ? " -r" : " -x"; }
      if (option.names.empty()) { line += " -f"; }
      if (!option.choices.empty()) { line += " -a " + fish_quoted(join(option.choices, " ")); }
      out += line + " -d " + fish_quoted(option.help) + "\n";
    }
  }
  return out;
}

}  // namespace vortex::cli
