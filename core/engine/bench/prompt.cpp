// Prompts of one request, whole: what a first token costs.
#include <algorithm>

#include "core/engine/bench/bench.h"

namespace vortex::bench {
namespace {

// Operations of a prompt's products and of its causal attention; one of a multiplication and an addition is two.
double operations(const model::ModelConfig& c, double tokens) {
  const double width = c.num_q_heads * c.head_dim;
  const double layer = c.hidden_size * (2 * width + 2.0 * c.num_kv_heads * c.head_dim + 3.0 * c.intermediate_size);
  return tokens * c.num_layers * (2 * layer + 2 * width * tokens);
}

Result<Record> measure(engine::Stepper& stepper, int tokens, int samples) {
  std::vector<double> seconds;
  for (int i = 0; i <= samples; ++i) {
    VORTEX_ASSIGN(const double taken, stepper.admit(tokens));
    VORTEX_TRY(stepper.retire(0));
    if (i > 0) { seconds.push_back(taken); }  // the first one tunes
  }
  Record record;
  record.seconds = engine::quantile(seconds, 0.5);
  record.fastest = *std::min_element(seconds.begin(), seconds.end());
  record.slowest = *std::max_element(seconds.begin(), seconds.end());
  record.tokens_per_second = tokens / record.seconds;
  return record;
}

}  // namespace

Status bench_prompt(const Options& options) {
  VORTEX_ASSIGN(const model::ModelConfig model, find_geometry(options));
  VORTEX_ASSIGN(const std::optional<vflow::Policy> policy, find_policy(options, model));
  VORTEX_ASSIGN(const Rig rig, make_rig(options, model, policy));
  engine::Stepper& stepper = *rig.stepper;
  Report report(options, stepper.device(), rig.copy);
  std::vector<std::string> stages = {""};
  stages.insert(stages.end(), options.without.begin(), options.without.end());
  for (const std::string& text : options.shapes) {
    VORTEX_ASSIGN(const BatchShape shape, parse_shape("1x" + text));
    for (const std::string& stage : stages) {
      VORTEX_TRY(stepper.place({}, {}));
      VORTEX_TRY(stepper.leave_out(stage));
      VORTEX_ASSIGN(Record record, measure(stepper, shape.tokens, options.samples));
      record.what = stage.empty() ? "prompt" : "no " + stage;
      record.shape = text;
      record.policy = policy_name(options, policy);
      report.add(record);
      if (stage.empty() && !model.latent && !model.experts) {
        report.add_value(text + " tokens", operations(model, shape.tokens) / record.seconds * 1e-12, "TFLOP/s");
      }
    }
  }
  report.note(stepper.notes());
  return report.finish();
}

}  // namespace vortex::bench
