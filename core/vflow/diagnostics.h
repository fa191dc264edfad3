#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace vortex::vflow {

enum class Severity { kError, kWarning };

// One finding about a policy. Written so that a person or a language model can repair the policy from it alone.
struct Diagnostic {
  Severity severity = Severity::kError;
  std::string code;         // stable kebab-case name, e.g. "shape-mismatch", "unknown-op", "op-used-twice"
  std::string file;         // as given by the caller
  int line = 0;             // 1-based; 0 when the finding has no place
  int column = 0;           // 1-based, in characters
  int length = 1;           // characters to underline
  std::string source_line;  // the text of that line, of a long one what is around the place; empty: there is no place
  int caret = 0;            // where in source_line the place is, 1-based, in characters; 0: at column
  std::string message;      // what was found and why it is wrong
  std::string allowed;      // what is allowed here; may be empty
  std::string suggestion;   // the nearest right thing; may be empty
};

bool has_errors(const std::vector<Diagnostic>& diagnostics);

// "file:line:column: error: message [code]" with the source line and a caret, then `allowed:` and `hint:` lines.
std::string render(const Diagnostic& diagnostic);
std::string render(const std::vector<Diagnostic>& diagnostics);
// One JSON object (text) with the members above.
std::string to_json(const Diagnostic& diagnostic);

}  // namespace vortex::vflow
