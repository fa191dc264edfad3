#include "cli/show/line_diff.h"

#include <algorithm>
#include <vector>

#include "base/text.h"

namespace vortex::cli {
namespace {

constexpr size_t kContext = 3;
constexpr size_t kMaxPairs =
    size_t{4} << 20;  // of lines that are compared: whoever wrote them does not choose our memory

struct Line {
  char mark = ' ';  // ' ' in both, '-' in the first, '+' in the second
  std::string text;
  size_t a = 0;  // lines of the first and second text before it
  size_t b = 0;
};

// Everything of the first, then everything of the second.
std::vector<Line> replaced(const std::vector<std::string>& a, const std::vector<std::string>& b) {
  std::vector<Line> lines;
  for (size_t i = 0; i < a.size(); ++i) { lines.push_back({'-', a[i], i, 0}); }
  for (size_t j = 0; j < b.size(); ++j) { lines.push_back({'+', b[j], a.size(), j}); }
  return lines;
}

std::vector<Line> align(const std::vector<std::string>& a, const std::vector<std::string>& b) {
  if (!b.empty() && a.size() > kMaxPairs / b.size()) { return replaced(a, b); }
  // common[i][j]: length of the longest common subsequence of a from i on and b from j on.
  std::vector<std::vector<size_t>> common(a.size() + 1, std::vector<size_t>(b.size() + 1, 0));
  for (size_t i = a.size(); i-- > 0;) {
    for (size_t j = b.size(); j-- > 0;) {
      common[i][j] = a[i] == b[j] ? common[i + 1][j + 1] + 1 : std::max(common[i + 1][j], common[i][j + 1]);
    }
  }
  std::vector<Line> lines;
  size_t i = 0;
  size_t j = 0;
  while (i < a.size() || j < b.size()) {
    if (i < a.size() && j < b.size() && a[i] == b[j]) {
      lines.push_back({' ', a[i], i, j});
      ++i;
      ++j;
    } else if (i < a.size() && (j == b.size() || common[i + 1][j] >= common[i][j + 1])) {
      lines.push_back({'-', a[i], i, j});
      ++i;
    } else {
      lines.push_back({'+', b[j], i, j});
      ++j;
    }
  }
  return lines;
}

// "start,count" as unified diffs write it: an empty range names the line before it.
std::string range(size_t before, size_t count) {
  return std::to_string(count == 0 ? before : before + 1) + "," + std::to_string(count);
}

std::string hunk(const std::vector<Line>& lines, size_t begin, size_t end) {
  std::string body;
  size_t from_a = 0;
  size_t from_b = 0;
  for (size_t i = begin; i < end; ++i) {
    from_a += lines[i].mark != '+';
    from_b += lines[i].mark != '-';
    body += lines[i].mark + lines[i].text + "\n";
  }
  return "@@ -" + range(lines[begin].a, from_a) + " +" + range(lines[begin].b, from_b) + " @@\n" + body;
}

}  // namespace

std::string line_diff(std::string_view a, std::string_view b) {
  const std::vector<Line> lines = align(split_lines(a), split_lines(b));
  std::string text;
  size_t at = 0;
  while (at < lines.size()) {
    const auto is_change = [](const Line& line) { return line.mark != ' '; };
    const auto change = std::find_if(lines.begin() + static_cast<std::ptrdiff_t>(at), lines.end(), is_change);
    if (change == lines.end()) { break; }
    const auto first = static_cast<size_t>(change - lines.begin());
    size_t last = first;  // of the hunk's changes: those that are nearer than two contexts are one hunk
    for (size_t i = first; i < lines.size() && i <= last + 2 * kContext + 1; ++i) {
      if (is_change(lines[i])) { last = i; }
    }
    const size_t begin = std::max(at, first - std::min(first, kContext));
    at = std::min(lines.size(), last + kContext + 1);
    text += hunk(lines, begin, at);
  }
  return text;
}

}  // namespace vortex::cli
