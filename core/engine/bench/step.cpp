// Decode steps of a batch of equal lengths.
#include <cstdio>

#include "core/engine/bench/bench.h"

namespace vortex::bench {
namespace {

struct StepShape {
  int requests = 0;
  int tokens = 0;
};

Result<StepShape> parse_shape(const std::string& text) {
  StepShape shape;
  if (std::sscanf(text.c_str(), "%dx%d", &shape.requests, &shape.tokens) != 2 || shape.requests < 1 ||
      shape.tokens < 1) {
    return candidate_error("a shape is REQUESTSxTOKENS, e.g. 64x8192, not " + text);
  }
  return shape;
}

}  // namespace

Status bench_step(const Options& options) {
  VORTEX_ASSIGN(const model::ModelConfig model, find_geometry(options));
  VORTEX_ASSIGN(const std::optional<vflow::Policy> policy, find_policy(options, model));
  VORTEX_ASSIGN(const vflow::Dtype kv, kv_dtype_of(options));
  VORTEX_ASSIGN(const auto stepper, make_stepper(options, model));
  VORTEX_ASSIGN(const double copy, stepper->copy_bandwidth());
  VORTEX_TRY(stepper->set_policy(policy));
  Report report(options.format, stepper->device() + "; " + options.geometry + ", random weights", copy);
  for (const std::string& text : options.shapes) {
    VORTEX_ASSIGN(const StepShape shape, parse_shape(text));
    const std::vector<int> lengths(static_cast<size_t>(shape.requests), shape.tokens);
    VORTEX_TRY(stepper->place(lengths));
    VORTEX_TRY(stepper->run(options.steps));  // warms up
    std::vector<double> seconds;
    for (int i = 0; i < options.samples; ++i) {
      VORTEX_ASSIGN(const double of_sample, stepper->run(options.steps));
      seconds.push_back(of_sample / options.steps);
    }
    const int grown = options.steps * (options.samples + 2) / 2;  // at the middle of the measurement
    const std::vector<int> mean(static_cast<size_t>(shape.requests), shape.tokens + grown);
    Record record;
    record.what = "step";
    record.shape = text;
    record.policy = policy_name(options, policy);
    record.seconds = quantile(seconds, 0.5);
    record.fastest = quantile(seconds, 0);
    record.slowest = quantile(seconds, 1);
    record.bytes = static_cast<double>(engine::step_bytes(model, policy ? &*policy : nullptr, kv, mean).total());
    record.tokens_per_second = shape.requests / record.seconds;
    report.add(record);
  }
  report.note(stepper->notes());
  report.finish();
  return ok_status();
}

}  // namespace vortex::bench
