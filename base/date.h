#pragma once

#include <string_view>

namespace vortex {

// Is it a day of the calendar, as YYYY-MM-DD?
bool is_date(std::string_view text);

}  // namespace vortex
