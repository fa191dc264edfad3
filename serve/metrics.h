#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/thread_annotations.h"
#include "core/engine/session.h"

namespace vortex::serve {

// Counts in buckets, as Prometheus wants them.
class Histogram {
 public:
  explicit Histogram(std::vector<double> bounds) : bounds_(std::move(bounds)), counts_(bounds_.size() + 1, 0) {}
  void add(double value);
  // Appends the lines of the metric `name` with `label` (model_name="...").
  void write(std::string_view name, const std::string& label, std::string& text) const;

 private:
  std::vector<double> bounds_;
  std::vector<int64_t> counts_;
  double sum_ = 0;
};

// When things happened to a request, in seconds of one clock; 0: not yet.
struct Times {
  double arrived = 0;
  double started = 0;  // its prompt was begun
  double first = 0;    // its first token
  double newest = 0;
};

// What a server counts, told under the names that dashboards of vLLM know. All functions may be called from any thread.
class Metrics {
 public:
  // What clients call each lane.
  explicit Metrics(std::vector<std::string> models);

  void count_prompt(size_t lane, int64_t tokens, int64_t cached);
  void count_token(size_t lane, Times& times, double now);  // a new token, at `now`
  // An ended choice: "stop", "length", "abort" or "error".
  void count_end(size_t lane, const std::string& reason, const Times& times, int64_t prompt, int64_t produced,
                 double now);
  void count_refused(int status);

  // The text of /metrics.
  std::string text(const std::vector<engine::SessionUse>& use) const;

 private:
  struct OfLane {
    int64_t prompt_tokens = 0;
    int64_t cached_tokens = 0;
    int64_t generated_tokens = 0;
    std::map<std::string, int64_t> ended;
    std::map<std::string, Histogram> histograms;
  };

  std::vector<std::string> labels_;
  mutable Mutex mutex_;
  std::vector<OfLane> lanes_ VORTEX_GUARDED_BY(mutex_);
  std::map<int, int64_t> refused_ VORTEX_GUARDED_BY(mutex_);
};

}  // namespace vortex::serve
