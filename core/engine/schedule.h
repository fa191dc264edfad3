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

// How much of a prompt to read before the others decode again: what a token of the last piece took tells what one of
// the next will. Tokens further back in a prompt take longer, but little from one piece to the next.
class PromptPace {
 public:
  // Tokens of a piece when nobody knows yet what a token takes, and of the smallest one that time cuts off. With
  // `doubled` pieces are `least` times a power of two, as suits those who compute a few sizes well.
  PromptPace(int first, int least, bool doubled) : first_(first), least_(least), doubled_(doubled) {}

  // Tokens of the next piece: at most `tokens`, and about what `seconds` suffice for.
  int piece(int tokens, double seconds) const;
  void took(int tokens, double seconds) { token_seconds_ = seconds / tokens; }
  // What so many tokens would take; 0 where nobody knows yet.
  double seconds(int tokens) const { return token_seconds_ * tokens; }

 private:
  int first_;
  int least_;
  bool doubled_;
  double token_seconds_ = 0;
};

}  // namespace vortex::engine
