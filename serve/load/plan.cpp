#include "serve/load/plan.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "base/json.h"
#include "base/rng.h"
#include "base/text.h"

namespace vortex::load {
namespace {

using nlohmann::json;

double exponential(Rng& rng) { return -std::log(1.0 - rng.uniform()); }

double normal(Rng& rng) { return std::sqrt(2 * exponential(rng)) * std::cos(2 * M_PI * rng.uniform()); }

// Marsaglia, Tsang, "A simple method for generating gamma variables" (2000): of shape >= 1; smaller shapes by the power
// of a uniform variable. Scale 1.
double gamma(Rng& rng, double shape) {
  if (shape < 1) { return gamma(rng, shape + 1) * std::pow(1.0 - rng.uniform(), 1 / shape); }
  const double d = shape - 1.0 / 3.0;
  const double c = 1 / std::sqrt(9 * d);
  for (;;) {
    const double x = normal(rng);
    const double v = std::pow(1 + c * x, 3);
    if (v > 0 && std::log(1.0 - rng.uniform()) < 0.5 * x * x + d - d * v + d * std::log(v)) { return d * v; }
  }
}

// Seconds until the next request.
double gap(const MadeUp& what, Rng& rng) {
  if (what.rate == 0) { return 0; }
  switch (what.arrivals) {
    case Arrivals::kPoisson:
      return exponential(rng) / what.rate;
    case Arrivals::kGamma:
      return gamma(rng, what.smoothness) / what.smoothness / what.rate;
    case Arrivals::kConstant:
      return 1 / what.rate;
  }
  return 0;
}

int64_t whole_number(const json& line, const char* name, int64_t least) {
  const auto found = line.find(name);
  if (found == line.end() || !found->is_number()) { return -1; }
  const double value = found->get<double>();
  return value >= static_cast<double>(least) && value < 1e15 ? static_cast<int64_t>(value) : -1;
}

}  // namespace

std::vector<LoadRequest> make_up(const MadeUp& what) {
  Rng rng(stream_key(what.seed));
  std::vector<LoadRequest> requests;
  double at = 0;
  const int shared = what.shared_tokens / kBlockTokens;
  const int blocks = (what.prompt_tokens + kBlockTokens - 1) / kBlockTokens;
  for (int i = 0; i < what.requests; ++i) {
    LoadRequest request{at, what.prompt_tokens, what.output_tokens, {}};
    for (int block = 0; block < blocks; ++block) {
      const uint64_t owner = block < shared ? 0 : static_cast<uint64_t>(i) + 1;
      request.blocks.push_back(stream_key(owner, static_cast<uint64_t>(block)));
    }
    requests.push_back(std::move(request));
    at += gap(what, rng);
  }
  return requests;
}

Result<std::vector<LoadRequest>> parse_trace(std::string_view text, const std::string& name) {
  std::vector<LoadRequest> requests;
  const std::vector<std::string> lines = split_lines(text);
  for (size_t i = 0; i < lines.size(); ++i) {
    if (lines[i].empty()) { continue; }
    const json line = parse_json(lines[i]);
    const std::string place = name + ":" + std::to_string(i + 1);
    if (!line.is_object()) { return candidate_error(place + " is not a JSON object"); }
    const int64_t time = whole_number(line, "timestamp", 0);
    const int64_t input = whole_number(line, "input_length", 1);
    const int64_t output = whole_number(line, "output_length", 0);
    if (time < 0 || input < 0 || output < 0) {
      return candidate_error(place + " needs timestamp, input_length and output_length",
                             "the format is that of Mooncake's traces");
    }
    if (output == 0) { continue; }
    LoadRequest request{static_cast<double>(time) * 1e-3, static_cast<int>(input), static_cast<int>(output), {}};
    const json ids = line.value("hash_ids", json::array());
    const auto blocks = static_cast<size_t>((input + kBlockTokens - 1) / kBlockTokens);
    for (size_t block = 0; block < blocks; ++block) {
      const bool known = ids.is_array() && block < ids.size() && ids[block].is_number_integer();
      request.blocks.push_back(known ? ids[block].get<uint64_t>() : stream_key(i, block, 1));
    }
    requests.push_back(std::move(request));
  }
  if (requests.empty()) { return candidate_error(name + " has no request"); }
  return requests;
}

void apply(const Replay& replay, std::vector<LoadRequest>& requests) {
  std::stable_sort(requests.begin(), requests.end(),
                   [](const LoadRequest& a, const LoadRequest& b) { return a.at < b.at; });
  if (replay.most > 0 && requests.size() > static_cast<size_t>(replay.most)) {
    requests.resize(static_cast<size_t>(replay.most));
  }
  const double start = requests.empty() ? 0 : requests.front().at;
  for (LoadRequest& request : requests) { request.at = (request.at - start) / replay.speed; }
  if (!replay.spread) { return; }
  for (size_t first = 0; first < requests.size();) {
    size_t next = first;
    while (next < requests.size() && requests[next].at == requests[first].at) { ++next; }
    if (next < requests.size()) {
      const double step = (requests[next].at - requests[first].at) / static_cast<double>(next - first);
      for (size_t i = first + 1; i < next; ++i) { requests[i].at += step * static_cast<double>(i - first); }
    }
    first = next;
  }
}

std::vector<int32_t> prompt_of(const LoadRequest& request, int lowest, int vocab, uint64_t seed) {
  std::vector<int32_t> ids;
  ids.reserve(static_cast<size_t>(request.prompt_tokens));
  for (const uint64_t block : request.blocks) {
    Rng rng(stream_key(seed, block));
    for (int i = 0; i < kBlockTokens && static_cast<int>(ids.size()) < request.prompt_tokens; ++i) {
      ids.push_back(rng.between(lowest, vocab - 1));
    }
  }
  return ids;
}

}  // namespace vortex::load
