#include "core/vflow/config/config_scan.h"

#include <algorithm>

namespace vortex::vflow {
namespace {

// Past the string that starts at `at` (which is a quote).
size_t skip_string(std::string_view text, size_t at) {
  for (++at; at < text.size() && text[at] != '"'; ++at) {
    if (text[at] == '\\') { ++at; }
  }
  return std::min(at + 1, text.size());
}

}  // namespace

ConfigScan scan_config(std::string_view text) {
  ConfigScan scan;
  int depth = 0;
  bool value_open = false;
  const auto close_value = [&](size_t end) {
    if (!value_open) { return; }
    while (end > 0 &&
           (text[end - 1] == ' ' || text[end - 1] == '\n' || text[end - 1] == '\r' || text[end - 1] == '\t')) {
      --end;
    }
    Span& span = scan.members.back().value_span;
    span.end = std::max(span.begin, static_cast<uint32_t>(end));
    value_open = false;
  };
  for (size_t at = 0; at < text.size();) {
    const char c = text[at];
    if (c == '"') {
      const size_t end = skip_string(text, at);
      if (depth == 1 && !value_open) {
        const Span span{static_cast<uint32_t>(at), static_cast<uint32_t>(end)};
        scan.members.push_back({text.substr(at + 1, end - at > 2 ? end - at - 2 : 0), span, span});
      }
      at = end;
      continue;
    }
    if (c == '{' || c == '[') { scan.depth = std::max(scan.depth, ++depth); }
    if (c == '}' || c == ']') {
      if (depth == 1) { close_value(at); }
      --depth;
    }
    if (c == ',' && depth == 1) { close_value(at); }
    if (c == ':') { ++scan.keys; }
    if (c == ':' && depth == 1 && !scan.members.empty() && !value_open) {
      size_t begin = at + 1;
      while (begin < text.size() &&
             (text[begin] == ' ' || text[begin] == '\n' || text[begin] == '\r' || text[begin] == '\t')) {
        ++begin;
      }
      scan.members.back().value_span = {static_cast<uint32_t>(begin), static_cast<uint32_t>(begin)};
      value_open = true;
    }
    ++at;
  }
  return scan;
}

}  // namespace vortex::vflow
