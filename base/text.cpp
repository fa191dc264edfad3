#include "base/text.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <numeric>

namespace vortex {
namespace {

constexpr std::string_view kDots = "...";

// Where the character that the byte at `at` belongs to begins.
size_t character_start(std::string_view text, size_t at) {
  while (at > 0 && at < text.size() && (static_cast<unsigned char>(text[at]) & 0xc0U) == 0x80U) { --at; }
  return at;
}

// Levenshtein distance with one row of state.
size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 0; i < a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i + 1;
    for (size_t j = 0; j < b.size(); ++j) {
      const size_t substitute = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({row[j] + 1, row[j + 1] + 1, substitute});
    }
  }
  return row[b.size()];
}

}  // namespace

std::optional<std::string> nearest_word(std::string_view word, const std::vector<std::string>& known) {
  constexpr size_t kLongestWord = 64;  // nobody misspells a longer one, and the comparison takes their product
  if (word.size() > kLongestWord) { return std::nullopt; }
  const size_t limit = std::max<size_t>(1, word.size() / 3);
  std::optional<std::string> best;
  size_t best_distance = limit + 1;
  for (const std::string& candidate : known) {
    if (candidate.size() > word.size() + limit) { continue; }
    const size_t distance = edit_distance(word, candidate);
    if (distance < best_distance) {
      best = candidate;
      best_distance = distance;
    }
  }
  return best;
}

std::string lower_ascii(std::string_view text) {
  std::string out(text);
  for (char& c : out) { c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }
  return out;
}

std::string clipped(std::string_view text, size_t most) {
  if (text.size() <= most) { return std::string(text); }
  return std::string(text.substr(0, character_start(text, most - std::min(most, kDots.size())))) + std::string(kDots);
}

std::string clipped_middle(std::string_view text, size_t most) {
  if (text.size() <= most) { return std::string(text); }
  const size_t end = most / 3;
  size_t tail = text.size() - end;
  while (tail < text.size() && character_start(text, tail) != tail) { ++tail; }
  return clipped(text, most - end) + std::string(text.substr(tail));
}

std::string first_line(std::string_view text) { return std::string(text.substr(0, text.find('\n'))); }

std::string join(const std::vector<std::string>& parts, std::string_view separator) {
  std::string text;
  for (size_t i = 0; i < parts.size(); ++i) {
    if (i > 0) { text += separator; }
    text += parts[i];
  }
  return text;
}

std::vector<std::string> split_lines(std::string_view text) {
  std::vector<std::string> lines;
  while (!text.empty()) {
    const size_t end = text.find('\n');
    lines.emplace_back(text.substr(0, end));
    if (end == std::string_view::npos) { break; }
    text.remove_prefix(end + 1);
  }
  return lines;
}

std::string format_number(double value) {
  std::array<char, 32> buffer{};
  const auto [end, ec] = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value);
  return {buffer.data(), end};
}

std::string fixed(double value, int digits) {
  char text[64];
  std::snprintf(text, sizeof text, "%.*f", digits, value);
  return text;
}

int64_t estimated_tokens(std::string_view text) { return static_cast<int64_t>(text.size() + 3) / 4; }

}  // namespace vortex
