#include "base/json.h"

#include <algorithm>

namespace vortex {

int json_depth(std::string_view text) {
  int depth = 0;
  int most = 0;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') { ++i; }
      in_string = c != '"';
    } else if (c == '"') {
      in_string = true;
    } else if (c == '[' || c == '{') {
      most = std::max(most, ++depth);
    } else if (c == ']' || c == '}') {
      depth = std::max(0, depth - 1);
    }
  }
  return most;
}

nlohmann::json parse_json(std::string_view text) {
  if (json_depth(text) > kMaxJsonDepth) { return nlohmann::json(nlohmann::json::value_t::discarded); }
  return nlohmann::json::parse(text.begin(), text.end(), nullptr, false);
}

}  // namespace vortex
