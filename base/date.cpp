#include "base/date.h"

#include <charconv>
#include <chrono>

namespace vortex {

bool is_date(std::string_view text) {
  if (text.size() != 10 || text[4] != '-' || text[7] != '-') { return false; }
  int parts[3] = {};
  const std::string_view places[] = {text.substr(0, 4), text.substr(5, 2), text.substr(8, 2)};
  for (size_t i = 0; i < 3; ++i) {
    const char* end = places[i].data() + places[i].size();
    const auto [stop, error] = std::from_chars(places[i].data(), end, parts[i]);
    if (error != std::errc() || stop != end || parts[i] < 1) { return false; }
  }
  return std::chrono::year_month_day(std::chrono::year(parts[0]), std::chrono::month(static_cast<unsigned>(parts[1])),
                                     std::chrono::day(static_cast<unsigned>(parts[2])))
      .ok();
}

}  // namespace vortex
