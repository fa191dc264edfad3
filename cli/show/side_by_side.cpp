#include "cli/show/side_by_side.h"

#include <algorithm>
#include <vector>

#include "base/text.h"

namespace vortex::cli {
namespace {

constexpr std::string_view kGap = "  ";
constexpr size_t kNarrowest = 8;  // of a column

// One character of a column, and whether it is marked.
struct Cell {
  std::string text;
  bool marked = false;
};
using CellLine = std::vector<Cell>;

std::vector<CellLine> lines_of(const Column& column, bool color) {
  std::vector<CellLine> lines(1);
  const auto [begin, end] = column.mark;
  for (size_t at = 0; at < column.text.size();) {
    size_t next = at + 1;
    while (next < column.text.size() && (static_cast<unsigned char>(column.text[next]) & 0xc0) == 0x80) { ++next; }
    const bool marked = at >= begin && at < end;
    if (marked && at == begin && !color) { lines.back().push_back({"»", true}); }
    const std::string character = column.text.substr(at, next - at);
    if (character == "\n") {
      if (marked) { lines.back().push_back({"↵", true}); }
    } else {
      lines.back().push_back({character == "\t" ? " " : character, marked});
    }
    if (marked && next >= end && !color) { lines.back().push_back({"«", true}); }
    if (character == "\n") { lines.emplace_back(); }
    at = next;
  }
  return lines;
}

// Breaks lines that are longer than `width`, behind their last space if they have one.
std::vector<CellLine> wrapped(const std::vector<CellLine>& lines, size_t width) {
  std::vector<CellLine> out;
  for (const CellLine& line : lines) {
    size_t at = 0;
    while (line.size() - at > width) {
      size_t next = at + width;
      for (size_t i = next; i > at; --i) {
        if (line[i - 1].text != " ") { continue; }
        next = i;
        break;
      }
      out.emplace_back(line.begin() + static_cast<std::ptrdiff_t>(at),
                       line.begin() + static_cast<std::ptrdiff_t>(next));
      at = next;
    }
    out.emplace_back(line.begin() + static_cast<std::ptrdiff_t>(at), line.end());
  }
  return out;
}

std::string render(const CellLine& line, bool color) {
  std::string out;
  bool open = false;
  for (const Cell& cell : line) {
    if (color && cell.marked != open) { out += cell.marked ? "\033[7m" : "\033[0m"; }
    open = cell.marked;
    out += cell.text;
  }
  return color && open ? out + "\033[0m" : out;
}

std::vector<CellLine> cells_of(const Column& column, size_t width, bool color) {
  std::vector<CellLine> lines = wrapped(lines_of({"", column.title, {}}, color), width);
  const std::vector<CellLine> text = wrapped(lines_of(column, color), width);
  lines.emplace_back(width, Cell{"-"});
  lines.insert(lines.end(), text.begin(), text.end());
  return lines;
}

}  // namespace

std::string side_by_side(const Column& left, const Column& right, size_t width, bool color) {
  const size_t half = std::max(kNarrowest, (width - std::min(width, kGap.size())) / 2);
  const std::vector<CellLine> one = cells_of(left, half, color);
  const std::vector<CellLine> other = cells_of(right, half, color);
  std::string out;
  for (size_t i = 0; i < std::max(one.size(), other.size()); ++i) {
    const CellLine& a = i < one.size() ? one[i] : CellLine{};
    std::string line = render(a, color) + std::string(half - std::min(half, a.size()), ' ') + std::string(kGap);
    if (i < other.size()) { line += render(other[i], color); }
    line.erase(line.find_last_not_of(' ') + 1);
    out += line + "\n";
  }
  return out;
}

}  // namespace vortex::cli
