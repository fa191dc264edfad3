#include "evals/tasks/text.h"

namespace vortex::evals {

std::string filled(std::string_view text, const std::vector<std::pair<std::string, std::string>>& places) {
  std::string out;
  while (!text.empty()) {
    const std::pair<std::string, std::string>* next = nullptr;
    size_t at = std::string_view::npos;
    for (const auto& place : places) {
      const size_t found = text.find(place.first);
      if (found < at) {
        at = found;
        next = &place;
      }
    }
    out += text.substr(0, at);
    if (next == nullptr) { break; }
    out += next->second;
    text.remove_prefix(at + next->first.size());
  }
  return out;
}

std::string_view without_thinking(std::string_view output) {
  constexpr std::string_view kEnd = "</think>";
  const size_t end = output.rfind(kEnd);
  return end == std::string_view::npos ? output : output.substr(end + kEnd.size());
}

std::string listed(const std::vector<std::string>& words) {
  std::string text;
  for (size_t i = 0; i < words.size(); ++i) {
    const bool last = i + 1 == words.size();
    if (i > 0) { text += words.size() > 2 ? (last ? ", and " : ", ") : " and "; }
    text += words[i];
  }
  return text;
}

}  // namespace vortex::evals
