#pragma once

#include <string>

#include "agent/loop/search.h"

namespace vortex::cli {

// Live progress of a search on stderr: a line a candidate, and where the search stands: on a terminal in one moving
// line, else in a line a minute.
class Display {
 public:
  explicit Display(const study::SearchOptions& options);

  void tick(const agent::Progress& progress, agent::StopLevel stop);
  void candidate(const agent::CandidateSummary& summary);
  void message(const std::string& text);
  // Ends the moving line.
  void close();

  const agent::Progress& progress() const { return progress_; }

 private:
  void print(const std::string& line);
  void show_moving(std::string line);
  std::string status_line(agent::StopLevel stop) const;

  double limit_;  // seconds; 0: none
  bool moving_;
  bool line_open_ = false;
  std::string shown_;  // the moving line on the screen
  double told_ = 0;    // seconds used when the last line of a minute was printed
  agent::Progress progress_;
};

}  // namespace vortex::cli
