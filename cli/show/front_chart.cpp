#include "cli/show/front_chart.h"

#include <algorithm>
#include <cmath>

#include "base/escape.h"

namespace vortex::cli {
namespace {

constexpr double kWidth = 880;
constexpr double kHeight = 420;
constexpr double kLeft = 56;
constexpr double kRight = 24;
constexpr double kTop = 26;
constexpr double kBottom = 44;

struct Range {
  double lo = 0;
  double hi = 1;
  double step = 0.2;
};

// Round numbers around [lo, hi], about five steps.
Range nice_range(double lo, double hi) {
  const double raw = std::max(hi - lo, 1e-6) / 5;
  const double power = std::pow(10.0, std::floor(std::log10(raw)));
  double step = power;
  for (double factor : {1.0, 2.0, 5.0, 10.0}) {
    step = factor * power;
    if (step >= raw) { break; }
  }
  return {std::floor(lo / step) * step, std::ceil(hi / step) * step, step};
}

class Chart {
 public:
  Chart(Range speed, Range accuracy) : speed_(speed), accuracy_(accuracy) {}

  double x(double speed) const {
    return kLeft + (speed - speed_.lo) / (speed_.hi - speed_.lo) * (kWidth - kLeft - kRight);
  }
  double y(double accuracy) const {
    return kHeight - kBottom - (accuracy - accuracy_.lo) / (accuracy_.hi - accuracy_.lo) * (kHeight - kTop - kBottom);
  }

  void line(double x1, double y1, double x2, double y2, const std::string& style) {
    out_ += "<line class=\"" + style + "\" x1=\"" + fixed(x1, 1) + "\" y1=\"" + fixed(y1, 1) + "\" x2=\"" +
            fixed(x2, 1) + "\" y2=\"" + fixed(y2, 1) + "\"/>\n";
  }
  void dot(double cx, double cy, double radius, const std::string& style, const std::string& title) {
    out_ += "<circle class=\"" + style + "\" cx=\"" + fixed(cx, 1) + "\" cy=\"" + fixed(cy, 1) + "\" r=\"" +
            fixed(radius, 1) + "\"><title>" + html_text(title) + "</title></circle>\n";
  }
  void text(double at_x, double at_y, const std::string& anchor, const std::string& style, const std::string& text) {
    out_ += "<text class=\"" + style + "\" x=\"" + fixed(at_x, 1) + "\" y=\"" + fixed(at_y, 1) + "\" text-anchor=\"" +
            anchor + "\">" + html_text(text) + "</text>\n";
  }

  void axes() {
    for (double value = speed_.lo; value <= speed_.hi + 1e-9; value += speed_.step) {
      line(x(value), kTop, x(value), kHeight - kBottom, "axis");
      text(x(value), kHeight - kBottom + 18, "middle", "", fixed(value, speed_.step < 0.1 ? 2 : 1) + "x");
    }
    for (double value = accuracy_.lo; value <= accuracy_.hi + 1e-9; value += accuracy_.step) {
      line(kLeft, y(value), kWidth - kRight, y(value), "axis");
      text(kLeft - 8, y(value) + 4, "end", "", fixed(value, accuracy_.step < 0.1 ? 2 : 1));
    }
    text(kWidth - kRight, kHeight - 6, "end", "", "speed over dense attention");
    text(4, 11, "start", "", "accuracy");
  }

  // What the front reaches: every point below and left of the staircase is beaten.
  void staircase(std::vector<std::pair<double, double>> members) {
    std::sort(members.begin(), members.end(), std::greater<>());
    std::string path;
    double best = 0;
    for (const auto& [speed, accuracy] : members) {
      if (accuracy <= best) { continue; }
      path += (path.empty() ? "M" : "L") + fixed(x(speed), 1) + "," + fixed(y(std::max(best, accuracy_.lo)), 1) + "L" +
              fixed(x(speed), 1) + "," + fixed(y(accuracy), 1);
      best = accuracy;
    }
    if (!path.empty()) { path += "L" + fixed(kLeft, 1) + "," + fixed(y(best), 1); }
    out_ += "<path class=\"front\" d=\"" + path + "\"/>\n";
  }

  std::string svg() const {
    return "<svg viewBox=\"0 0 " + fixed(kWidth, 0) + " " + fixed(kHeight, 0) +
           "\" role=\"img\" aria-label=\"Accuracy over speed: the front with 95 % intervals\">\n" + out_ + "</svg>";
  }

 private:
  Range speed_;
  Range accuracy_;
  std::string out_;
};

}  // namespace

std::string front_chart(const std::vector<study::FrontRow>& front, const std::vector<study::Point>& points) {
  if (front.empty()) { return {}; }
  double slow = 1;
  double fast = 1;
  double low = 1;
  double high = 0;
  for (const study::FrontRow& row : front) {
    slow = std::min(slow, row.speed.lo);
    fast = std::max(fast, row.speed.hi);
    low = std::min(low, row.accuracy.lo);
    high = std::max(high, row.accuracy.hi);
  }
  for (const study::Point& point : points) {
    slow = std::min(slow, point.speed.ratio.value);
    fast = std::max(fast, point.speed.ratio.value);
    low = std::min(low, point.accuracy.value);
  }
  Chart chart(nice_range(slow, fast), nice_range(low, std::max(high, low + 0.05)));
  chart.axes();
  for (const study::Point& point : points) {
    chart.dot(chart.x(point.speed.ratio.value), chart.y(point.accuracy.value), 2.5, "other",
              "candidate " + std::to_string(point.candidate));
  }
  std::vector<std::pair<double, double>> members;
  for (const study::FrontRow& row : front) {
    if (!row.undecided) { members.emplace_back(row.speed.value, row.accuracy.value); }
  }
  chart.staircase(members);
  for (const study::FrontRow& row : front) {
    const double x = chart.x(row.speed.value);
    const double y = chart.y(row.accuracy.value);
    chart.line(chart.x(row.speed.lo), y, chart.x(row.speed.hi), y, "interval");
    chart.line(x, chart.y(row.accuracy.lo), x, chart.y(row.accuracy.hi), "interval");
    const std::string style = row.is_dense() ? "dense" : row.confirmed ? "member confirmed" : "member";
    const std::string name = row.is_dense() ? "dense" : std::to_string(row.id);
    chart.dot(x, y, 5, style,
              name + ": accuracy " + interval_text(row.accuracy, 3) + ", speed " + interval_text(row.speed, 2));
    chart.text(x + 8, y - 8, "start", "label", name);
  }
  return chart.svg();
}

}  // namespace vortex::cli
