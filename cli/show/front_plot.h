#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "study/front.h"

namespace vortex::cli {

// One point of a plot: where it lies, and its shape.
struct PlotPoint {
  double speed = 1;
  double accuracy = 0;
  enum class Kind {
    kOther,
    kUndecided,
    kLost,
    kMember,
    kKept,
    kDense
  } kind = Kind::kOther;  // the later ones lie above
};

// Of the members of a front.
std::vector<PlotPoint> plot_points(const std::vector<study::FrontRow>& rows);

// Accuracy over speed in characters, with axes, a legend of the shapes that occur, and nothing wider than `columns`
// (at least 30); without `utf8` in ASCII. Empty for less than two points.
std::string front_plot(std::vector<PlotPoint> points, size_t columns, bool utf8);

}  // namespace vortex::cli
