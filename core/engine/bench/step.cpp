// Decode steps of a batch of equal lengths.
#include <algorithm>
#include <cstdio>

#include "core/engine/bench/bench.h"

namespace vortex::bench {
namespace {

Record record_of(const std::string& what, const std::string& shape, const engine::StepTime& time) {
  Record record;
  record.what = what;
  record.shape = shape;
  record.seconds = time.median;
  record.fastest = time.fastest;
  record.slowest = time.slowest;
  return record;
}

}  // namespace

Result<BatchShape> parse_shape(const std::string& text) {
  BatchShape shape;
  if (std::sscanf(text.c_str(), "%dx%d", &shape.requests, &shape.tokens) != 2 || shape.requests < 1 ||
      shape.tokens < 1) {
    return candidate_error("a shape is REQUESTSxTOKENS, e.g. 64x8192, not " + text);
  }
  return shape;
}

engine::Batch batch_of(const BatchShape& shape) {
  return {std::vector<int>(static_cast<size_t>(shape.requests), shape.tokens), {}};
}

engine::StepSampling step_sampling(const Options& options) {
  engine::StepSampling sampling;
  sampling.warm_up = options.steps;
  sampling.samples = options.samples;
  sampling.steps = options.steps;
  return sampling;
}

namespace {

// REQUESTSxTOKENS, or fitxTOKENS: as many as pool and batch hold while they are timed, at least one.
Result<BatchShape> shape_of(const std::string& text, const engine::Stepper& stepper,
                            const engine::StepSampling& sampling) {
  BatchShape shape;
  if (std::sscanf(text.c_str(), "fitx%d", &shape.tokens) != 1 || shape.tokens < 1) { return parse_shape(text); }
  const int longest = shape.tokens + engine::tokens_to_time(sampling);
  const int64_t pages = (longest + stepper.block_size() - 1) / stepper.block_size();
  shape.requests = static_cast<int>(std::clamp<int64_t>(stepper.pages() / pages, 1, stepper.max_batch()));
  return shape;
}

// One step apart, to say how far it comes: products are tuned and the step's graph is made before it.
Status step_once(const Options& options, engine::Stepper& stepper, const engine::Batch& batch,
                 const std::string& shape) {
  VORTEX_TRY(stepper.place(batch.lengths, {}));
  say(options, shape + " is placed");
  VORTEX_ASSIGN(const double seconds, stepper.run(1));
  say(options, shape + ": a first step, " + std::to_string(seconds * 1e3) + " ms");
  return ok_status();
}

}  // namespace

Status bench_step(const Options& options) {
  VORTEX_ASSIGN(const model::ModelConfig model, find_geometry(options));
  VORTEX_ASSIGN(const std::optional<vflow::Policy> policy, find_policy(options, model));
  VORTEX_ASSIGN(const Rig rig, make_rig(options, model, policy));
  engine::Stepper& stepper = *rig.stepper;
  const engine::StepSampling sampling = step_sampling(options);
  Report report(options, stepper.device(), rig.copy);
  for (const std::string& asked : options.shapes) {
    VORTEX_ASSIGN(const BatchShape shape, shape_of(asked, stepper, sampling));
    const std::string text = std::to_string(shape.requests) + "x" + std::to_string(shape.tokens);
    const engine::Batch batch = batch_of(shape);
    if (options.progress) { VORTEX_TRY(step_once(options, stepper, batch, text)); }
    const vflow::Policy* set = policy ? &*policy : nullptr;
    const engine::RankBytes bytes =
        engine::rank_bytes(model, options.ranks, set, stepper.kv_dtype(), batch.lengths, stepper.expert_dtype());
    std::vector<std::string> variants = {""};
    variants.insert(variants.end(), options.without.begin(), options.without.end());
    for (const std::string& without : variants) {
      VORTEX_TRY(stepper.leave_out(without));
      VORTEX_ASSIGN(const engine::StepTime time, engine::time_steps(stepper, batch, sampling));
      Record record = record_of(without.empty() ? "step" : "- " + without, text, time);
      record.policy = policy_name(options, policy);
      record.bytes = static_cast<double>(bytes.card.total());  // of the whole step, on one card
      const double special = engine::special_results(model, set, batch.lengths) / options.ranks;
      record.limit = engine::limit_bytes(bytes.card, special, {rig.copy, stepper.special_rate()});
      record.tokens_per_second = shape.requests / record.seconds;
      report.add(record);
      say(options, text + (without.empty() ? "" : " without " + without) + " is timed");
    }
    if (options.ranks > 1) {
      report.add_value(text + " sent by a rank", static_cast<double>(bytes.link) * 1e-6, "MB");
      report.add_value(text + " exchanges", bytes.exchanges, "");
      report.add_value(text + " limit with exchanges", engine::least_seconds(bytes, rig.copy) * 1e3, "ms");
    }
    VORTEX_TRY(stepper.leave_out(""));
  }
  report.note(stepper.notes());
  return report.finish();
}

}  // namespace vortex::bench
