#pragma once

#include <cstdint>
#include <span>
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
// And if the i-th took grown[i] more of the free pages, those behind `grown` none, and `next` came on top with what
// they hold?
bool is_safe_after(std::vector<PageNeed> requests, const std::vector<int>& grown, std::span<const PageNeed> next,
                   int free_pages);

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

// When the next piece of a prompt may be read without taking too much from those who decode. Time spent on pieces is
// owed to them until they have decoded for their share of the whole; while nobody decodes nothing is owed. Bounds a
// token's time by that of a step over the share, however many prompts come one behind the other, where pieces between
// any two steps would make it a piece's and a step's.
class DecodeShare {
 public:
  // `share` of the time, 0 (none) or more and less than 1.
  explicit DecodeShare(double share) : factor_(share / (1 - share)) {}

  // So many seconds of a prompt were read while somebody waited for the next step.
  void read(double seconds) { owed_ += seconds * factor_; }
  void decoded(double seconds) { owed_ = owed_ > seconds ? owed_ - seconds : 0; }
  void forgive() { owed_ = 0; }  // nobody decodes
  bool allows() const { return owed_ == 0; }

 private:
  double factor_;
  double owed_ = 0;
};

}  // namespace vortex::engine
