#include "cli/show/front_plot.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "base/text.h"
#include "cli/output.h"

namespace vortex::cli {
namespace {

using Kind = PlotPoint::Kind;

constexpr size_t kRows = 10;
constexpr size_t kLeastColumns = 30;
constexpr size_t kMargin = 6;  // "1.00 |" in front of the plot

struct Shape {
  Kind kind;
  const char* drawn;
  const char* ascii;
  const char* meaning;
};
constexpr std::array kShapes = {
    Shape{Kind::kDense, "■", "=", "dense attention"}, Shape{Kind::kKept, "●", "*", "keeps its accuracy"},
    Shape{Kind::kMember, "◆", "?", "on the front"},   Shape{Kind::kLost, "▼", "v", "loses accuracy"},
    Shape{Kind::kUndecided, "◇", "o", "not decided"}, Shape{Kind::kOther, "·", ".", "passed"},
};

const Shape& shape_of(Kind kind) {
  return *std::find_if(kShapes.begin(), kShapes.end(), [&](const Shape& shape) { return shape.kind == kind; });
}

// The ends of an axis: of the values, with some room, and never so near that nothing lies between.
struct Axis {
  double lo = 0;
  double hi = 1;

  size_t place(double value, size_t cells) const {
    const double share = std::clamp((value - lo) / (hi - lo), 0.0, 1.0);
    return static_cast<size_t>(std::lround(share * static_cast<double>(cells - 1)));
  }
};

Axis axis_of(const std::vector<PlotPoint>& points, double PlotPoint::*value, double least) {
  const auto [lo, hi] = std::minmax_element(
      points.begin(), points.end(), [&](const PlotPoint& a, const PlotPoint& b) { return a.*value < b.*value; });
  const double missing = std::max(0.0, least - (*hi.*value - *lo.*value)) / 2;
  return {*lo.*value - missing, *hi.*value + missing};
}

std::string repeated(const char* text, size_t times) {
  std::string out;
  for (size_t i = 0; i < times; ++i) { out += text; }
  return out;
}

std::string legend(const std::vector<PlotPoint>& points, size_t columns, bool utf8) {
  std::string out;
  std::string line;
  for (const Shape& shape : kShapes) {
    const bool occurs =
        std::any_of(points.begin(), points.end(), [&](const PlotPoint& point) { return point.kind == shape.kind; });
    if (!occurs) { continue; }
    const std::string entry = std::string(utf8 ? shape.drawn : shape.ascii) + " " + shape.meaning;
    if (!line.empty() && text_width(line) + 2 + text_width(entry) > columns) {
      out += line + "\n";
      line.clear();
    }
    line += (line.empty() ? "" : "  ") + entry;
  }
  return out + line + "\n";
}

}  // namespace

std::vector<PlotPoint> plot_points(const std::vector<study::FrontRow>& rows) {
  std::vector<PlotPoint> points;
  for (const study::FrontRow& row : rows) {
    Kind kind = row.undecided ? Kind::kUndecided : Kind::kMember;
    if (row.claim && row.claim->problems > 0) {
      if (row.claim->kept) { kind = Kind::kKept; }
      if (row.claim->keeping == evals::Keeping::kLost) { kind = Kind::kLost; }
    }
    points.push_back({row.speed.value, row.accuracy.value, row.is_dense() ? Kind::kDense : kind});
  }
  return points;
}

std::string front_plot(std::vector<PlotPoint> points, size_t columns, bool utf8) {
  if (points.size() < 2) { return {}; }
  columns = std::max(columns, kLeastColumns);
  const size_t width = columns - kMargin - 1;
  const Axis speed = axis_of(points, &PlotPoint::speed, 0.2);
  Axis accuracy = axis_of(points, &PlotPoint::accuracy, 0.1);
  if (accuracy.hi > 1) { accuracy = {accuracy.lo - (accuracy.hi - 1), 1}; }
  std::vector<std::vector<std::string>> cells(kRows, std::vector<std::string>(width, " "));
  std::stable_sort(points.begin(), points.end(),
                   [](const PlotPoint& a, const PlotPoint& b) { return a.kind < b.kind; });
  for (const PlotPoint& point : points) {
    const Shape& shape = shape_of(point.kind);
    cells[kRows - 1 - accuracy.place(point.accuracy, kRows)][speed.place(point.speed, width)] =
        utf8 ? shape.drawn : shape.ascii;
  }
  std::string out = "accuracy\n";
  for (size_t row = 0; row < kRows; ++row) {
    const bool labelled = row == 0 || row == kRows - 1;
    std::string label = labelled ? fixed(row == 0 ? accuracy.hi : accuracy.lo, 2) : "";
    label.insert(0, kMargin - 2 - std::min(label.size(), kMargin - 2), ' ');
    std::string line = label + " " + (utf8 ? "│" : "|");
    for (const std::string& cell : cells[row]) { line += cell; }
    out += line.substr(0, line.find_last_not_of(' ') + 1) + "\n";
  }
  const std::string from = fixed(speed.lo, 2) + "x";
  const std::string to = fixed(speed.hi, 2) + "x dense's speed";
  out += std::string(kMargin - 1, ' ') + (utf8 ? "└" : "+") + repeated(utf8 ? "─" : "-", width) + "\n";
  out += std::string(kMargin, ' ') + from +
         std::string(width > from.size() + to.size() ? width - from.size() - to.size() : 1, ' ') + to + "\n";
  return out + legend(points, columns, utf8);
}

}  // namespace vortex::cli
