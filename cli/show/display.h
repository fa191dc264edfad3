#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "agent/loop/search.h"
#include "base/thread_annotations.h"
#include "cli/show/live_screen.h"
#include "web/server/live_run.h"

namespace vortex::cli {

// Live progress of a search on stderr: a line a candidate, and where the search stands: on a terminal in a few lines at
// its lower end that are drawn anew (the front with intervals, the funnel, what runs, what is left), else in a line a
// minute. Thread-safe.
class Display {
 public:
  // `run`: as the store has it.
  Display(const study::SearchOptions& options, std::string workspace, db::Run run);

  void tick(const agent::Progress& progress, agent::StopLevel stop);
  void candidate(const agent::CandidateSummary& summary);
  void message(const std::string& text);
  // Takes the moving lines away.
  void close();

  agent::Progress progress() const {
    const MutexLock guard(mutex_);
    return progress_;
  }

 private:
  void print(const std::string& line) VORTEX_REQUIRES(mutex_);
  void read_facts(double now) VORTEX_REQUIRES(mutex_);
  void draw() VORTEX_REQUIRES(mutex_);
  void erase() VORTEX_REQUIRES(mutex_);
  std::string status_line(agent::StopLevel stop) const VORTEX_REQUIRES(mutex_);

  mutable Mutex mutex_;
  const study::SearchOptions options_;
  const std::string workspace_;
  const db::Run run_;
  const bool color_;
  const bool utf8_;
  bool moving_ VORTEX_GUARDED_BY(mutex_);
  double told_ VORTEX_GUARDED_BY(mutex_) = 0;  // seconds used when the last line of a minute was printed
  agent::StopLevel acknowledged_ VORTEX_GUARDED_BY(mutex_) = agent::StopLevel::kNone;  // where nothing moves
  double looked_ VORTEX_GUARDED_BY(mutex_) = -1e9;  // monotonic; when the rows were read last
  std::shared_ptr<web::LiveRun> live_ VORTEX_GUARDED_BY(mutex_);
  // Candidate -> stage, and when it began.
  std::map<int64_t, std::pair<std::string, double>> since_ VORTEX_GUARDED_BY(mutex_);
  ScreenFacts facts_ VORTEX_GUARDED_BY(mutex_);
  std::vector<std::string> shown_ VORTEX_GUARDED_BY(mutex_);  // the moving lines on the screen, without colours
  ScreenSize shown_size_ VORTEX_GUARDED_BY(mutex_);           // of the screen when they were drawn
  agent::Progress progress_ VORTEX_GUARDED_BY(mutex_);
};

}  // namespace vortex::cli
