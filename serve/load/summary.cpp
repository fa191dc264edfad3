#include "serve/load/summary.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>

namespace vortex::load {
namespace {

using nlohmann::json;

Spread spread_of(const std::vector<double>& values) {
  return {percentile(values, 0.5), percentile(values, 0.95), percentile(values, 0.99), percentile(values, 1)};
}

// Seconds a token after the first; 0 where there is but one.
double between_tokens(const Seen& one) {
  return one.output_tokens > 1 ? (one.tokens.back() - one.tokens.front()) / (one.output_tokens - 1) : 0;
}

json to_json(const Spread& spread) {
  return {{"p50", spread.p50}, {"p95", spread.p95}, {"p99", spread.p99}, {"max", spread.most}};
}

std::string row(const char* name, const Spread& spread) {
  char text[160];
  std::snprintf(text, sizeof text, "%-24s %10.1f %10.1f %10.1f %10.1f\n", name, spread.p50 * 1e3, spread.p95 * 1e3,
                spread.p99 * 1e3, spread.most * 1e3);
  return text;
}

}  // namespace

double percentile(std::vector<double> values, double share) {
  if (values.empty()) { return 0; }
  std::sort(values.begin(), values.end());
  const auto rank = static_cast<size_t>(std::ceil(share * static_cast<double>(values.size())));
  return values[std::clamp<size_t>(rank, 1, values.size()) - 1];
}

Summary summarise(const std::vector<Seen>& seen, const Bounds& bounds) {
  Summary summary;
  std::vector<double> first;
  std::vector<double> between;
  std::vector<double> gaps;
  std::map<std::string, int> failures;
  double begin = 0;
  double end = 0;
  double output = 0;
  double prompt = 0;
  double cached = 0;
  int good = 0;
  for (const Seen& one : seen) {
    begin = &one == seen.data() ? one.sent : std::min(begin, one.sent);
    end = std::max(end, one.ended);
    if (!one.failure.empty() || one.tokens.empty()) {
      ++summary.failed;
      ++failures[one.failure.empty() ? "no text" : one.failure];
      continue;
    }
    ++summary.ended;
    output += one.output_tokens;
    prompt += one.prompt_tokens;
    cached += one.cached_tokens;
    first.push_back(one.tokens.front() - one.sent);
    if (one.output_tokens > 1) { between.push_back(between_tokens(one)); }
    for (size_t i = 1; i < one.tokens.size(); ++i) { gaps.push_back(one.tokens[i] - one.tokens[i - 1]); }
    good += first.back() <= bounds.first && between_tokens(one) <= bounds.between ? 1 : 0;
  }
  summary.failures.assign(failures.begin(), failures.end());
  summary.first = spread_of(first);
  summary.between = spread_of(between);
  summary.gaps = spread_of(gaps);
  summary.seconds = end - begin;
  summary.good = seen.empty() ? 0 : good / static_cast<double>(seen.size());
  summary.cached = prompt > 0 ? cached / prompt : 0;
  if (summary.seconds <= 0) { return summary; }
  summary.requests = summary.ended / summary.seconds;
  summary.good_requests = good / summary.seconds;
  summary.tokens = output / summary.seconds;
  summary.prompt_tokens = prompt / summary.seconds;
  return summary;
}

json to_json(const Summary& summary) {
  json failures = json::object();
  for (const auto& [why, count] : summary.failures) { failures[why] = count; }
  return {{"ended", summary.ended},
          {"failed", summary.failed},
          {"failures", failures},
          {"seconds", summary.seconds},
          {"goodput_share", summary.good},
          {"goodput_requests_per_second", summary.good_requests},
          {"requests_per_second", summary.requests},
          {"output_tokens_per_second", summary.tokens},
          {"prompt_tokens_per_second", summary.prompt_tokens},
          {"cached_share", summary.cached},
          {"ttft_seconds", to_json(summary.first)},
          {"tpot_seconds", to_json(summary.between)},
          {"gap_seconds", to_json(summary.gaps)}};
}

std::string to_text(const Summary& summary, const Bounds& bounds) {
  char text[400];
  std::snprintf(text, sizeof text, "%d requests ended, %d failed, in %.1f s\n", summary.ended, summary.failed,
                summary.seconds);
  std::string result = text;
  for (const auto& [why, count] : summary.failures) { result += "  " + std::to_string(count) + ": " + why + "\n"; }
  std::snprintf(text, sizeof text, "%-24s %10s %10s %10s %10s\n", "milliseconds", "P50", "P95", "P99", "max");
  result += text;
  result += row("to the first token", summary.first);
  result += row("a token after it", summary.between);
  result += row("gap between two", summary.gaps);
  std::snprintf(text, sizeof text,
                "goodput: %.1f %% of requests within %g s to the first and %g ms a token after it, %.2f a second\n"
                "throughput: %.2f requests, %.1f tokens of answers and %.1f of prompts a second (%.0f %% kept)\n",
                100 * summary.good, bounds.first, 1e3 * bounds.between, summary.good_requests, summary.requests,
                summary.tokens, summary.prompt_tokens, 100 * summary.cached);
  return result + text;
}

}  // namespace vortex::load
