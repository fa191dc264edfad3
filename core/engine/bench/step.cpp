// Decode steps of a batch of equal lengths.
#include <cstdio>

#include "core/engine/bench/bench.h"

namespace vortex::bench {
namespace {

// Seconds a step of each sample of a batch of equal requests.
Result<std::vector<double>> time_steps(engine::Stepper& stepper, const Options& options) {
  VORTEX_TRY(stepper.run(options.steps));  // warms up
  std::vector<double> seconds;
  for (int i = 0; i < options.samples; ++i) {
    VORTEX_ASSIGN(const double of_sample, stepper.run(options.steps));
    seconds.push_back(of_sample / options.steps);
  }
  return seconds;
}

Record record_of(const std::string& what, const std::string& shape, const std::vector<double>& seconds) {
  Record record;
  record.what = what;
  record.shape = shape;
  record.seconds = quantile(seconds, 0.5);
  record.fastest = quantile(seconds, 0);
  record.slowest = quantile(seconds, 1);
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

Status bench_step(const Options& options) {
  VORTEX_ASSIGN(const model::ModelConfig model, find_geometry(options));
  VORTEX_ASSIGN(const std::optional<vflow::Policy> policy, find_policy(options, model));
  VORTEX_ASSIGN(const vflow::Dtype kv, kv_dtype_of(options));
  VORTEX_ASSIGN(const auto stepper, make_stepper(options, model));
  VORTEX_ASSIGN(const double copy, stepper->copy_bandwidth());
  VORTEX_TRY(stepper->set_policy(policy));
  Report report(options, stepper->device(), copy);
  for (const std::string& text : options.shapes) {
    VORTEX_ASSIGN(const BatchShape shape, parse_shape(text));
    const std::vector<int> lengths(static_cast<size_t>(shape.requests), shape.tokens);
    const int grown = options.steps * (options.samples + 2) / 2;  // at the middle of the measurement
    const std::vector<int> mean(static_cast<size_t>(shape.requests), shape.tokens + grown);
    const double bytes = static_cast<double>(engine::step_bytes(model, policy ? &*policy : nullptr, kv, mean).total());
    std::vector<std::string> variants = {""};
    variants.insert(variants.end(), options.without.begin(), options.without.end());
    for (const std::string& without : variants) {
      VORTEX_TRY(stepper->place(lengths));
      VORTEX_TRY(stepper->leave_out(without));
      VORTEX_ASSIGN(const std::vector<double> seconds, time_steps(*stepper, options));
      Record record = record_of(without.empty() ? "step" : "- " + without, text, seconds);
      record.policy = policy_name(options, policy);
      record.bytes = bytes;  // of the whole step
      record.tokens_per_second = shape.requests / record.seconds;
      report.add(record);
    }
    VORTEX_TRY(stepper->leave_out(""));
  }
  report.note(stepper->notes());
  return report.finish();
}

}  // namespace vortex::bench
