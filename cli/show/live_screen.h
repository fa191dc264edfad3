#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "agent/session/hooks.h"
#include "cli/output.h"

namespace vortex::cli {

// A candidate that is being evaluated.
struct RunningNow {
  int64_t candidate = 0;
  std::string stage;
  double seconds = 0;  // so far
};

// What a search looks like from a terminal: the sections of the dashboard's overview (web/openapi.json), and what only
// the search itself knows.
struct ScreenFacts {
  std::string name;
  nlohmann::json front = nlohmann::json::array();
  nlohmann::json best;
  nlohmann::json funnel = nlohmann::json::array();
  nlohmann::json spent = nlohmann::json::array();
  nlohmann::json counts = nlohmann::json::object();
  std::vector<RunningNow> running;
  double seconds_used = 0;
  double seconds_limit = 0;  // 0: none
  agent::StopLevel stop = agent::StopLevel::kNone;
};

struct ScreenLine {
  enum class Style { kPlain, kStrong, kQuiet, kWarning };
  std::string text;
  Style style = Style::kPlain;
};

// The lines to show, each shorter than the screen is wide, and fewer than it is high: what matters least goes first.
// Without `utf8` shapes and lines are ASCII.
std::vector<ScreenLine> screen_lines(const ScreenFacts& facts, ScreenSize size, bool utf8);

// Cut to so many characters, and with everything that a terminal would obey instead of show replaced by "?".
std::string shown_text(std::string_view text, size_t columns);

}  // namespace vortex::cli
