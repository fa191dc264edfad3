#include "evals/tasks/text.h"

#include <algorithm>
#include <array>

namespace vortex::evals {
namespace {

struct ThoughtMarks {
  std::string_view open;
  std::string_view close;
};

// Qwen, DeepSeek and most others; Mistral; Seed-OSS; Kimi.
constexpr std::array<ThoughtMarks, 4> kThoughts = {{
    {"<think>", "</think>"},
    {"[THINK]", "[/THINK]"},
    {"<seed:think>", "</seed:think>"},
    {"\u25c1think\u25b7", "\u25c1/think\u25b7"},
}};

}  // namespace

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

std::optional<std::string_view> without_thinking(std::string_view output) {
  size_t said = 0;
  for (const ThoughtMarks& marks : kThoughts) {
    const size_t end = output.rfind(marks.close);
    if (end != std::string_view::npos) { said = std::max(said, end + marks.close.size()); }
  }
  const std::string_view answer = output.substr(said);
  for (const ThoughtMarks& marks : kThoughts) {
    if (answer.find(marks.open) != std::string_view::npos) { return std::nullopt; }
  }
  return answer;
}

std::string_view opened_thought(std::string_view prompt) {
  const size_t end = prompt.find_last_not_of(" \n\r\t");
  const std::string_view text = prompt.substr(0, end == std::string_view::npos ? 0 : end + 1);
  for (const ThoughtMarks& marks : kThoughts) {
    if (text.ends_with(marks.open)) { return marks.open; }
  }
  return {};
}

bool is_thought_mark(std::string_view token) {
  return std::any_of(kThoughts.begin(), kThoughts.end(),
                     [&](const ThoughtMarks& marks) { return token == marks.open || token == marks.close; });
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
