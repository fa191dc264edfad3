#pragma once

#include <cstdint>
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

// An active request's tokens, and those it is expected to add.
struct Growth {
  int64_t tokens = 0;
  int64_t more = 0;
};

// An upper bound of the pages that the requests will hold together at any time, if each adds a token a step for `more`
// steps, gives its pages back at the end of that round of `round` steps, and nobody joins. While it is within the pool
// nobody has to wait: whoever is admitted beyond that fills the pool with requests that cannot go on.
int64_t peak_pages(std::vector<Growth> requests, int block, int round);

}  // namespace vortex::engine
