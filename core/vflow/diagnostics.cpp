#include "core/vflow/diagnostics.h"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace vortex::vflow {
namespace {

std::string_view severity_name(Severity severity) { return severity == Severity::kError ? "error" : "warning"; }

// The source line and a caret line under it. Tabs stay tabs in the margin, so that the caret stays under its text.
std::string excerpt(const Diagnostic& diagnostic) {
  const std::string number = std::to_string(diagnostic.line);
  std::string margin;
  const int caret = diagnostic.caret > 0 ? diagnostic.caret : diagnostic.column;
  int column = 1;
  for (size_t i = 0; i < diagnostic.source_line.size() && column < caret; ++i) {
    const auto byte = static_cast<unsigned char>(diagnostic.source_line[i]);
    if ((byte & 0xC0U) == 0x80U) { continue; }
    margin += byte == '\t' ? '\t' : ' ';
    ++column;
  }
  const std::string tail(static_cast<size_t>(std::max(0, diagnostic.length - 1)), '~');
  return "  " + number + " | " + diagnostic.source_line + "\n" + std::string(number.size() + 2, ' ') + " | " + margin +
         "^" + tail + "\n";
}

}  // namespace

bool has_errors(const std::vector<Diagnostic>& diagnostics) {
  return std::any_of(diagnostics.begin(), diagnostics.end(),
                     [](const Diagnostic& d) { return d.severity == Severity::kError; });
}

std::string render(const Diagnostic& diagnostic) {
  std::string text = diagnostic.file;
  if (diagnostic.line > 0) { text += ":" + std::to_string(diagnostic.line) + ":" + std::to_string(diagnostic.column); }
  text += ": ";
  text += severity_name(diagnostic.severity);
  text += ": " + diagnostic.message + " [" + diagnostic.code + "]\n";
  if (diagnostic.line > 0) { text += excerpt(diagnostic); }
  if (!diagnostic.allowed.empty()) { text += "  allowed: " + diagnostic.allowed + "\n"; }
  if (!diagnostic.suggestion.empty()) { text += "  hint: " + diagnostic.suggestion + "\n"; }
  return text;
}

std::string render(const std::vector<Diagnostic>& diagnostics) {
  std::string text;
  for (const Diagnostic& diagnostic : diagnostics) { text += render(diagnostic); }
  return text;
}

std::string to_json(const Diagnostic& diagnostic) {
  const nlohmann::ordered_json object = {{"severity", severity_name(diagnostic.severity)},
                                         {"code", diagnostic.code},
                                         {"file", diagnostic.file},
                                         {"line", diagnostic.line},
                                         {"column", diagnostic.column},
                                         {"length", diagnostic.length},
                                         {"source_line", diagnostic.source_line},
                                         {"caret", diagnostic.caret},
                                         {"message", diagnostic.message},
                                         {"allowed", diagnostic.allowed},
                                         {"suggestion", diagnostic.suggestion}};
  // Source text is whatever a proposer sent: bytes that are not UTF-8 become U+FFFD instead of an exception.
  return object.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

}  // namespace vortex::vflow
