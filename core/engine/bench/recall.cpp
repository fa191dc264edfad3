// Recall as the ladder measures it: what dense attention writes, then a policy forced through the same tokens.
#include <cstdio>

#include "base/clock.h"
#include "base/rng.h"
#include "core/engine/bench/bench.h"

namespace vortex::bench {
namespace {

constexpr int kTopTokens = 32;

std::vector<engine::ForcedRequest> random_requests(const BatchShape& shape, const Options& options, int vocab) {
  std::vector<engine::ForcedRequest> requests(static_cast<size_t>(shape.requests));
  Rng rng(stream_key(options.seed));
  for (engine::ForcedRequest& request : requests) {
    for (int i = 0; i < shape.tokens; ++i) { request.request.prompt.push_back(rng.between(0, vocab - 1)); }
    for (int i = 0; i < options.outputs; ++i) { request.continuation.push_back(rng.between(0, vocab - 1)); }
  }
  return requests;
}

struct Means {
  double mass = 0, mass_chosen = 0, index = 0, index_chosen = 0;
  int count = 0;
};

Means means_of(const std::vector<engine::Forced>& forced) {
  Means sum;
  for (const engine::Forced& one : forced) {
    for (const engine::AttentionRecall& recall : one.recall) {
      if (recall.looks == 0) { continue; }
      sum.mass += recall.mass;
      sum.mass_chosen += recall.mass_chosen;
      sum.index += recall.index;
      sum.index_chosen += recall.index_chosen;
      ++sum.count;
    }
  }
  const double n = sum.count > 0 ? sum.count : 1;
  return {sum.mass / n, sum.mass_chosen / n, sum.index / n, sum.index_chosen / n, sum.count};
}

// One forced decoding; its wall time and its parts.
struct Timed {
  std::vector<engine::Forced> forced;
  engine::RunStats stats;
  double seconds = 0;
};

Result<Timed> force(engine::Engine& engine, const std::vector<engine::ForcedRequest>& requests,
                    const engine::ForcedOptions& options) {
  Timed timed;
  const double start = monotonic_seconds();
  VORTEX_ASSIGN(timed.forced, engine.force_decode(requests, options, &timed.stats));
  timed.seconds = monotonic_seconds() - start;
  return timed;
}

Status measure(engine::Engine& engine, const std::string& text, const std::optional<vflow::Policy>& policy,
               const Options& options, Report& report) {
  VORTEX_ASSIGN(const BatchShape shape, parse_shape(text));
  std::vector<engine::ForcedRequest> requests = random_requests(shape, options, engine.model().config.vocab_size);
  const auto add = [&](const std::string& name, double value, const std::string& unit) {
    report.add_value(text + " " + name, value, unit);
  };
  VORTEX_TRY(engine.set_policy(std::nullopt));
  VORTEX_ASSIGN(const Timed dense, force(engine, requests, {kTopTokens, 0}));
  for (size_t i = 0; i < requests.size(); ++i) { requests[i].wanted = dense.forced[i].top; }
  const double start = monotonic_seconds();
  VORTEX_TRY(engine.set_policy(policy));
  const double set_seconds = monotonic_seconds() - start;
  VORTEX_ASSIGN(const Timed blind, force(engine, requests, {1, 0}));
  VORTEX_ASSIGN(const Timed looking, force(engine, requests, {1, options.look_every}));
  const double steps = options.outputs > 1 ? options.outputs - 1 : 1;
  const double looks = options.look_every > 0 ? std::max(1.0, steps / options.look_every) : 1;
  add("dense trace, all", dense.seconds, "s");
  add("dense trace, a step", 1e3 * dense.stats.decode_seconds / steps, "ms");
  add("set policy", set_seconds, "s");
  add("recall, all", looking.seconds, "s");
  add("recall, prompts", looking.stats.prefill_seconds, "s");
  add("recall, decoding", looking.stats.decode_seconds, "s");
  add("a step without a look", 1e3 * blind.stats.decode_seconds / steps, "ms");
  add("a look", 1e3 * (looking.stats.decode_seconds - blind.stats.decode_seconds) / looks, "ms");
  const Means means = means_of(looking.forced);
  if (means.count == 0) { return ok_status(); }
  add("mass_recall", means.mass, "");
  add("mass_recall_chosen", means.mass_chosen, "");
  add("index_recall", means.index, "");
  add("index_recall_chosen", means.index_chosen, "");
  return ok_status();
}

}  // namespace

Status bench_recall(const Options& options) {
  VORTEX_ASSIGN(const model::ModelConfig model, find_geometry(options));
  VORTEX_ASSIGN(const std::optional<vflow::Policy> policy, find_policy(options, model));
  VORTEX_ASSIGN(const auto engine, make_engine(options, model));
  VORTEX_ASSIGN(const bool cuda, wants_cuda(options));
  Report report(options, cuda ? "CUDA" : "CPU", 0);
  for (const std::string& text : options.shapes) { VORTEX_TRY(measure(*engine, text, policy, options, report)); }
  return report.finish();
}

}  // namespace vortex::bench
