#include "core/engine/schedule.h"

#include <algorithm>

namespace vortex::engine {

bool is_safe(std::vector<PageNeed> requests, int free_pages) {
  std::sort(requests.begin(), requests.end(),
            [](const PageNeed& a, const PageNeed& b) { return a.longest - a.held < b.longest - b.held; });
  for (const PageNeed& request : requests) {
    if (request.longest - request.held > free_pages) return false;
    free_pages += request.held;
  }
  return free_pages >= 0;
}

}  // namespace vortex::engine
