#pragma once

#include <vector>

namespace vortex::engine {

// Pages that an active request holds, and holds at its greatest length.
struct PageNeed {
  int held = 0;
  int longest = 0;
};

// Can all requests still reach their greatest length one after the other, each giving its pages back at its end? Then
// somebody can always go on, whoever waits meanwhile (Dijkstra's banker's algorithm, EWD 623, for one resource).
bool is_safe(std::vector<PageNeed> requests, int free_pages);

}  // namespace vortex::engine
