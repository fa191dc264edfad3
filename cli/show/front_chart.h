#pragma once

#include <string>
#include <vector>

#include "cli/show/front_table.h"
#include "study/archive.h"

namespace vortex::cli {

// The front as an SVG picture: accuracy over speed, members with their 95 % intervals and numbers (filled where
// held-out problems confirmed them), every other point that passed as a faint dot. Colours come from the page's style.
std::string front_chart(const std::vector<study::FrontRow>& front, const std::vector<study::Point>& points);

}  // namespace vortex::cli
