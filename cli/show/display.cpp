#include "cli/show/display.h"

#include <unistd.h>

#include <algorithm>
#include <iostream>

#include "cli/context.h"
#include "cli/output.h"

namespace vortex::cli {
namespace {

constexpr double kTellEvery = 60;  // seconds between lines that are no terminal's

}  // namespace

Display::Display(const study::SearchOptions& options) : limit_(options.seconds), moving_(stderr_is_terminal()) {}

void Display::tick(const agent::Progress& progress, agent::StopLevel stop) {
  progress_ = progress;
  if (moving_) {
    show_moving(status_line(stop));
  } else if (progress.seconds_used - told_ >= kTellEvery) {
    told_ = progress.seconds_used;
    log_line(status_line(stop));
  }
}

// Cut to the terminal: a line that wraps cannot be taken back.
void Display::show_moving(std::string line) {
  const size_t width = terminal_width(STDERR_FILENO);
  if (line.size() >= width) { line.resize(width - 1); }
  if (line_open_ && line == shown_) { return; }
  shown_ = line;
  std::cerr << "\r\033[K" << line << std::flush;
  line_open_ = true;
}

void Display::candidate(const agent::CandidateSummary& summary) {
  std::string line = "#" + std::to_string(summary.candidate);
  line.resize(std::max(line.size() + 1, size_t{5}), ' ');
  line += name_of(summary.origin);
  line.resize(std::max(line.size() + 1, size_t{15}), ' ');
  line += name_of(summary.verdict);
  line.resize(std::max(line.size(), size_t{22}), ' ');
  if (summary.verdict == job::Verdict::kPass) {
    line += " accuracy " + interval_text(summary.accuracy, 2) + "  speed " + interval_text(summary.speed, 2) + "x";
  } else if (!summary.message.empty()) {
    line += " " + summary.message.substr(0, summary.message.find('\n'));
  }
  print(line);
}

void Display::message(const std::string& text) { print(text); }

void Display::close() {
  if (line_open_) { std::cerr << "\n"; }
  line_open_ = false;
}

void Display::print(const std::string& line) {
  if (line_open_) { std::cerr << "\r\033[K"; }
  line_open_ = false;
  log_line(line);
}

std::string Display::status_line(agent::StopLevel stop) const {
  std::string line;
  if (limit_ > 0) { line = duration_text(std::max(0.0, limit_ - progress_.seconds_used)) + " left  "; }
  line += "best " + fixed(progress_.best_speed, 2) + "x  front " + std::to_string(progress_.front) + "  evaluated " +
          std::to_string(progress_.evaluated);
  for (const auto& [verdict, count] : progress_.verdicts) { line += "  " + verdict + " " + std::to_string(count); }
  if (progress_.refused > 0) { line += "  refused " + std::to_string(progress_.refused); }
  for (const auto& [candidate, stage] : progress_.running) {
    line += "  #" + std::to_string(candidate) + (stage.empty() ? " starting" : " past " + stage);
  }
  if (stop == agent::StopLevel::kDrain) { line += "  (finishing what runs)"; }
  if (stop == agent::StopLevel::kKill) { line += "  (stopping)"; }
  return line;
}

}  // namespace vortex::cli
