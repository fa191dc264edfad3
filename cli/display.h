#pragma once

#include <string>

#include "agent/search.h"

namespace vortex::cli {

// Live progress of a search on stderr: one moving line on a terminal, else a line a candidate.
class Display {
 public:
  explicit Display(const agent::SearchOptions& options);

  void tick(const agent::Progress& progress, agent::StopLevel stop);
  void candidate(const agent::CandidateSummary& summary);
  void message(const std::string& text);
  // Ends the moving line.
  void close();

  const agent::Progress& progress() const { return progress_; }

 private:
  void print(const std::string& line);
  std::string status_line(agent::StopLevel stop) const;

  double limit_;  // seconds; 0: none
  bool moving_;
  bool line_open_ = false;
  agent::Progress progress_;
};

}  // namespace vortex::cli
