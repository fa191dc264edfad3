#include "base/text.h"
#include "cli/show/option_table.h"

namespace vortex::cli {
namespace {

// Text that roff prints as it stands: its escapes are doubled, hyphens can be copied, and no line begins a request.
std::string roff(const std::string& text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool first = i == 0 || text[i - 1] == '\n';
    if (first && (text[i] == '.' || text[i] == '\'')) { out += "\\&"; }
    switch (text[i]) {
      case '\\':
        out += "\\e";
        break;
      case '-':
        out += "\\-";
        break;
      default:
        out += text[i];
    }
  }
  return out;
}

std::string bold(const std::string& text) { return "\\fB" + roff(text) + "\\fR"; }
std::string slanted(const std::string& text) { return "\\fI" + roff(text) + "\\fR"; }

std::string value_of(const OptionRow& option) {
  if (!option.choices.empty()) { return slanted(join(option.choices, "|")); }
  return slanted("VALUE");
}

std::string manual_entry(const OptionRow& option) {
  std::string name;
  for (const std::string& one : option.names) { name += (name.empty() ? "" : ", ") + bold(one); }
  if (option.names.empty()) {
    name = slanted(option.operand);
  } else if (option.takes_value) {
    name += " " + value_of(option);
  }
  return ".TP\n" + name + "\n" + roff(option.help) + (option.initial.empty() ? "" : roff(" [" + option.initial + "]")) +
         (option.required ? " (required)" : "") + "\n";
}

std::string verb_entry(const VerbRow& verb) {
  std::string out = ".SS " + roff(verb.name) + "\n" + roff(verb.help) + "\n";
  for (const OptionRow& option : verb.options) {
    if (option.names.empty()) { out += manual_entry(option); }
  }
  for (const OptionRow& option : verb.options) {
    if (!option.names.empty()) { out += manual_entry(option); }
  }
  return out;
}

constexpr const char* kRest = R"(.SH CONFIGURATION
Verbs with
.B \-\-config
take their options from a TOML file, too, by their long names.
What stands on the command line comes before the environment, that before the file, and that before the default.
.SH ENVIRONMENT
.TP
.B VORTEX_WORKSPACE, VORTEX_WORKER, VORTEX_MODEL
stand for \-\-workspace, \-\-worker and \-\-model.
.TP
.B NO_COLOR
No colours, whatever its value, unless that is empty.
.SH FILES
.TP
.I .vortex
The workspace: a SQLite database, and the objects that its rows name.
.SH EXIT STATUS
.TP
.B 0
Done.
.TP
.B 1
The input is wrong.
.TP
.B 2
A fault of vortex.
.TP
.B 3
The machine, or a service, is at fault.
.TP
.B 130
Interrupted, and resumable.
.SH EXAMPLES
.nf
vortex search \-\-model models/chain\-4m \-\-for 8h
vortex report
vortex export 7 \-\-to vortex\-torch \-\-out winner/
.fi
)";

}  // namespace

std::string manual_page(const std::vector<VerbRow>& verbs, const std::string& summary, const std::string& version) {
  std::string out = ".TH VORTEX 1 \"\" " + std::string("\"") + roff(version) +
                    "\" \"User Commands\"\n.SH NAME\nvortex \\- " +
                    "search for sparse\\-attention policies\n.SH SYNOPSIS\n.B vortex\n.I VERB\n.RI [ OPTION ...]\n" +
                    ".SH DESCRIPTION\n" + roff(summary) + "\n.SH VERBS\n";
  for (const VerbRow& verb : verbs) { out += verb_entry(verb); }
  return out + kRest;
}

}  // namespace vortex::cli
