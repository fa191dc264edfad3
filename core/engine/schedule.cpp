#include "core/engine/schedule.h"

#include <algorithm>
#include <utility>

namespace vortex::engine {

bool is_safe(std::vector<PageNeed> requests, int free_pages) {
  std::sort(requests.begin(), requests.end(),
            [](const PageNeed& a, const PageNeed& b) { return a.longest - a.held < b.longest - b.held; });
  for (const PageNeed& request : requests) {
    if (request.longest - request.held > free_pages) { return false; }
    free_pages += request.held;
  }
  return free_pages >= 0;
}

bool is_safe_after(std::vector<PageNeed> requests, const std::vector<int>& grown, std::span<const PageNeed> next,
                   int free_pages) {
  for (size_t i = 0; i < grown.size(); ++i) {
    requests[i].held += grown[i];
    free_pages -= grown[i];
  }
  for (const PageNeed& need : next) {
    requests.push_back(need);
    free_pages -= need.held;
  }
  return free_pages >= 0 && is_safe(std::move(requests), free_pages);
}

int64_t peak_pages(std::vector<Growth> requests, int block, int round) {
  for (Growth& request : requests) { request.more = (request.more + round - 1) / round * round; }
  std::sort(requests.begin(), requests.end(), [](const Growth& a, const Growth& b) { return a.more > b.more; });
  int64_t peak = 0;
  int64_t tokens = 0;  // of those that last at least as long as the current one
  int64_t count = 0;
  for (const Growth& request : requests) {
    tokens += request.tokens + block - 1;  // a page is at worst filled by one token
    ++count;
    peak = std::max(peak, (tokens + count * request.more) / block);
  }
  return peak;
}

int PromptPace::piece(int tokens, double seconds) const {
  const double affordable = token_seconds_ > 0 ? std::max(0.0, seconds / token_seconds_) : first_;
  const int enough = std::max(least_, static_cast<int>(std::min(affordable, 1e9)));
  int piece = enough;
  if (doubled_) {
    for (piece = least_; piece <= enough / 2; piece *= 2) {}
  }
  return std::min(tokens, piece);
}

}  // namespace vortex::engine
