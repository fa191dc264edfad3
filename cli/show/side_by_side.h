#pragma once

#include <cstddef>
#include <string>
#include <utility>

namespace vortex::cli {

// A text with a part to be marked: [begin, end) in bytes at the edges of characters; empty: nothing is marked.
struct Column {
  std::string title;
  std::string text;
  std::pair<size_t, size_t> mark;
};

// Two texts beside each other, `width` characters in all, with their titles above: lines are broken at spaces where
// they have any. The marked part stands between » and «, or in reverse video with `color`.
std::string side_by_side(const Column& left, const Column& right, size_t width, bool color);

}  // namespace vortex::cli
