#include "cli/show/display.h"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <iostream>

#include "base/clock.h"
#include "base/text.h"
#include "cli/context.h"
#include "cli/output.h"

namespace vortex::cli {
namespace {

constexpr double kTellEvery = 60;  // seconds between lines that are no terminal's
constexpr double kReadEvery = 1;   // seconds between looks at the rows

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? std::string() : value;
}

const char* code_of(ScreenLine::Style style) {
  switch (style) {
    case ScreenLine::Style::kStrong:
      return "\033[1m";
    case ScreenLine::Style::kQuiet:
      return "\033[2m";
    case ScreenLine::Style::kWarning:
      return "\033[33m";
    case ScreenLine::Style::kPlain:
      break;
  }
  return "";
}

}  // namespace

Display::Display(const study::SearchOptions& options, std::string workspace, db::Run run)
    : options_(options),
      workspace_(std::move(workspace)),
      run_(std::move(run)),
      color_(use_color(STDERR_FILENO)),
      utf8_(locale_is_utf8()),
      moving_(stderr_is_terminal() && variable("TERM") != "dumb") {
  facts_.name = run_.name;
  facts_.seconds_limit = options_.seconds;
}

void Display::tick(const agent::Progress& progress, agent::StopLevel stop) {
  const MutexLock guard(mutex_);
  progress_ = progress;
  if (!moving_) {
    if (stop != acknowledged_) {
      acknowledged_ = stop;
      log_line(stop == agent::StopLevel::kDrain ? "stopping: finishing what runs; Ctrl-C again stops now"
                                                : "stopping now");
    }
    if (progress.seconds_used - told_ >= kTellEvery) {
      told_ = progress.seconds_used;
      log_line(status_line(stop));
    }
    return;
  }
  facts_.seconds_used = progress.seconds_used;
  facts_.stop = stop;
  read_facts(monotonic_seconds());
  draw();
}

void Display::read_facts(double now) {
  std::map<int64_t, std::pair<std::string, double>> since;
  facts_.running.clear();
  for (const auto& [candidate, stage] : progress_.running) {
    const auto known = since_.find(candidate);
    const bool same = known != since_.end() && known->second.first == stage;
    since[candidate] = {stage, same ? known->second.second : now};
    facts_.running.push_back({candidate, stage, now - since[candidate].second});
  }
  since_ = std::move(since);
  if (now - looked_ < kReadEvery) { return; }
  looked_ = now;
  if (live_ == nullptr) {
    const auto opened = web::LiveRun::open(workspace_, run_);
    if (!opened.ok()) { return; }  // busy: it is tried again
    live_ = *opened;
  } else if (const Result<bool> changed = live_->refresh(); !changed.ok() || !*changed) {
    return;
  }
  facts_.front = live_->section("front");
  facts_.best = live_->section("best");
  facts_.funnel = live_->section("funnel");
  facts_.spent = live_->section("spent");
  facts_.counts = live_->section("counts");
}

// Only lines that differ are written. Where the size of the screen changed, all are.
void Display::draw() {
  const ScreenSize size = terminal_size(STDERR_FILENO);
  const std::vector<ScreenLine> lines = screen_lines(facts_, size, utf8_);
  std::vector<std::string> texts;
  for (const ScreenLine& line : lines) { texts.push_back(line.text); }
  const bool same_size = size.columns == shown_size_.columns && size.rows == shown_size_.rows;
  if (texts == shown_ && same_size) { return; }
  const bool in_place = same_size && texts.size() == shown_.size();
  if (!in_place) { erase(); }
  std::string out = in_place ? "\r\033[" + std::to_string(texts.size()) + "A" : "";
  for (size_t i = 0; i < texts.size(); ++i) {
    if (!in_place || texts[i] != shown_[i]) {
      const char* code = color_ ? code_of(lines[i].style) : "";
      out += "\r\033[K" + std::string(code) + texts[i] + (*code != '\0' ? "\033[0m" : "");
    }
    out += "\n";
  }
  std::cerr << out << std::flush;
  shown_ = std::move(texts);
  shown_size_ = size;
}

// A screen that became narrower has wrapped what was drawn: it stands in more rows than it has lines.
void Display::erase() {
  if (shown_.empty()) { return; }
  const size_t columns = terminal_size(STDERR_FILENO).columns;
  size_t rows = 0;
  for (const std::string& line : shown_) { rows += std::max<size_t>(1, (text_width(line) + columns - 1) / columns); }
  std::cerr << "\r\033[" << rows << "A\033[J" << std::flush;
  shown_.clear();
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
    line += " " + first_line(summary.message);
  }
  const MutexLock guard(mutex_);
  print(line);
}

void Display::message(const std::string& text) {
  const MutexLock guard(mutex_);
  print(text);
}

void Display::close() {
  const MutexLock guard(mutex_);
  erase();
  moving_ = false;
}

// Above the moving lines. Messages hold what policies and models wrote: none of it may steer the terminal.
void Display::print(const std::string& text) {
  const bool again = !shown_.empty();
  erase();
  for (const std::string& line : split_lines(text)) { log_line(shown_text(line, line.size())); }
  if (again && moving_) { draw(); }
}

std::string Display::status_line(agent::StopLevel stop) const {
  std::string line;
  if (options_.seconds > 0) {
    line = duration_text(std::max(0.0, options_.seconds - progress_.seconds_used)) + " left  ";
  }
  line += "best " + fixed(progress_.best_speed, 2) + "x  front " + std::to_string(progress_.front) + "  evaluated " +
          std::to_string(progress_.evaluated);
  for (const auto& [verdict, count] : progress_.verdicts) { line += "  " + verdict + " " + std::to_string(count); }
  if (progress_.refused > 0) { line += "  refused " + std::to_string(progress_.refused); }
  for (const auto& [candidate, stage] : progress_.running) {
    line += "  #" + std::to_string(candidate) + " at " + stage;
  }
  if (stop == agent::StopLevel::kDrain) { line += "  (finishing what runs)"; }
  if (stop == agent::StopLevel::kKill) { line += "  (stopping)"; }
  return line;
}

}  // namespace vortex::cli
