#include "serve/metrics.h"

#include <algorithm>
#include <utility>

#include "base/text.h"

namespace vortex::serve {
namespace {

struct HistogramRow {
  const char* name;
  const char* help;
  bool tokens;  // counts tokens; else seconds
};

constexpr HistogramRow kHistograms[] = {
    {"vllm:time_to_first_token_seconds", "from a request's arrival to its first token", false},
    {"vllm:inter_token_latency_seconds", "from one token to the next", false},
    {"vllm:e2e_request_latency_seconds", "from a request's arrival to its end", false},
    {"vllm:request_queue_time_seconds", "from a request's arrival until its prompt is begun", false},
    {"vllm:request_prefill_time_seconds", "from there to its first token", false},
    {"vllm:request_decode_time_seconds", "from the first token to the last", false},
    {"vllm:request_prompt_tokens", "tokens of a prompt", true},
    {"vllm:request_generation_tokens", "tokens of an answer", true},
};

std::vector<double> bounds_of(const HistogramRow& row) {
  if (row.tokens) { return {1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5, 2e5}; }
  return {0.001, 0.002, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75,
          1,     2.5,   5,     7.5,  10,   20,   40,   80,   160, 320,  640, 1280};
}

// A value of a label, as the text format escapes it.
std::string escaped(const std::string& text) {
  std::string result;
  for (const char c : text) {
    if (c == '\\' || c == '"') { result += '\\'; }
    result += c == '\n' ? ' ' : c;
  }
  return result;
}

void head(const std::string& name, const char* help, const char* type, std::string& text) {
  text += "# HELP " + name + " " + help + "\n# TYPE " + name + " " + type + "\n";
}

void line(const std::string& name, const std::string& label, double value, std::string& text) {
  text += name + "{" + label + "} " + format_number(value) + "\n";
}

}  // namespace

void Histogram::add(double value) {
  const auto place = std::lower_bound(bounds_.begin(), bounds_.end(), value) - bounds_.begin();
  ++counts_[static_cast<size_t>(place)];
  sum_ += value;
}

void Histogram::write(std::string_view name, const std::string& label, std::string& text) const {
  int64_t total = 0;
  for (size_t i = 0; i < counts_.size(); ++i) {
    total += counts_[i];
    const std::string bound = i < bounds_.size() ? format_number(bounds_[i]) : "+Inf";
    line(std::string(name) + "_bucket", label + ",le=\"" + bound + "\"", static_cast<double>(total), text);
  }
  line(std::string(name) + "_sum", label, sum_, text);
  line(std::string(name) + "_count", label, static_cast<double>(total), text);
}

Metrics::Metrics(std::vector<std::string> models) : lanes_(models.size()) {
  for (const std::string& model : models) { labels_.push_back("model_name=\"" + escaped(model) + "\""); }
  for (OfLane& lane : lanes_) {
    for (const HistogramRow& row : kHistograms) { lane.histograms.emplace(row.name, Histogram(bounds_of(row))); }
    for (const char* reason : {"stop", "length", "abort", "error"}) { lane.ended[reason] = 0; }
  }
}

void Metrics::count_prompt(size_t lane, int64_t tokens, int64_t cached) {
  const MutexLock lock(mutex_);
  lanes_[lane].prompt_tokens += tokens;
  lanes_[lane].cached_tokens += cached;
}

void Metrics::count_token(size_t lane, Times& times, double now) {
  const MutexLock lock(mutex_);
  OfLane& of = lanes_[lane];
  ++of.generated_tokens;
  if (times.first == 0) {
    times.first = now;
    of.histograms.at("vllm:time_to_first_token_seconds").add(now - times.arrived);
  } else {
    of.histograms.at("vllm:inter_token_latency_seconds").add(now - times.newest);
  }
  times.newest = now;
}

void Metrics::count_end(size_t lane, const std::string& reason, const Times& times, int64_t prompt, int64_t produced,
                        double now) {
  const MutexLock lock(mutex_);
  OfLane& of = lanes_[lane];
  ++of.ended[reason];
  if (times.first == 0) { return; }
  const std::pair<const char*, double> values[] = {
      {"vllm:e2e_request_latency_seconds", now - times.arrived},
      {"vllm:request_queue_time_seconds", times.started - times.arrived},
      {"vllm:request_prefill_time_seconds", times.first - times.started},
      {"vllm:request_decode_time_seconds", times.newest - times.first},
      {"vllm:request_prompt_tokens", static_cast<double>(prompt)},
      {"vllm:request_generation_tokens", static_cast<double>(produced)},
  };
  for (const auto& [name, value] : values) { of.histograms.at(name).add(value); }
}

void Metrics::count_refused(int status) {
  const MutexLock lock(mutex_);
  ++refused_[status];
}

std::string Metrics::text(const std::vector<engine::SessionUse>& use) const {
  std::vector<OfLane> lanes;
  std::map<int, int64_t> refused;
  {
    const MutexLock lock(mutex_);
    lanes = lanes_;
    refused = refused_;
  }
  std::string text;
  const auto each = [&](const std::string& name, const char* help, const char* type, const auto& value) {
    head(name, help, type, text);
    for (size_t i = 0; i < lanes.size(); ++i) { line(name, labels_[i], static_cast<double>(value(i)), text); }
  };
  each("vllm:num_requests_running", "requests that hold pages", "gauge", [&](size_t i) { return use[i].running; });
  each("vllm:num_requests_waiting", "requests that hold none yet", "gauge", [&](size_t i) { return use[i].waiting; });
  each("vllm:kv_cache_usage_perc", "share of the KV pool's pages that are taken (0 to 1)", "gauge", [&](size_t i) {
    return use[i].pages == 0 ? 0.0 : static_cast<double>(use[i].pages - use[i].free_pages) / use[i].pages;
  });
  each("vortex:kv_pages", "pages of the KV pool", "gauge", [&](size_t i) { return use[i].pages; });
  each("vortex:kv_pages_free", "pages of the KV pool that a request can have", "gauge",
       [&](size_t i) { return use[i].free_pages; });
  each("vortex:kv_pages_kept", "those among them that hold beginnings of earlier prompts", "gauge",
       [&](size_t i) { return use[i].kept_pages; });
  each("vllm:prompt_tokens_total", "tokens of prompts", "counter", [&](size_t i) { return lanes[i].prompt_tokens; });
  each("vllm:generation_tokens_total", "tokens of answers", "counter",
       [&](size_t i) { return lanes[i].generated_tokens; });
  each("vllm:prefix_cache_queries_total", "tokens of prompts that were looked for in the cache", "counter",
       [&](size_t i) { return lanes[i].prompt_tokens; });
  each("vllm:prefix_cache_hits_total", "tokens of prompts that were found there", "counter",
       [&](size_t i) { return lanes[i].cached_tokens; });
  head("vllm:request_success_total", "ended requests", "counter", text);
  for (size_t i = 0; i < lanes.size(); ++i) {
    for (const auto& [reason, count] : lanes[i].ended) {
      line("vllm:request_success_total", labels_[i] + ",finished_reason=\"" + reason + "\"", static_cast<double>(count),
           text);
    }
  }
  for (const HistogramRow& row : kHistograms) {
    head(row.name, row.help, "histogram", text);
    for (size_t i = 0; i < lanes.size(); ++i) { lanes[i].histograms.at(row.name).write(row.name, labels_[i], text); }
  }
  head("vortex:requests_refused_total", "requests that were answered with an error", "counter", text);
  for (const auto& [status, count] : refused) {
    line("vortex:requests_refused_total", "status=\"" + std::to_string(status) + "\"", static_cast<double>(count),
         text);
  }
  return text;
}

}  // namespace vortex::serve
