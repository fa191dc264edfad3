// The units of this processor side by side: prompts and decode steps, in turns.
#include <algorithm>
#include <set>
#include <utility>

#include "base/processor_clock.h"
#include "base/shared_memory.h"
#include "core/engine/bench/bench.h"
#include "core/engine/kept_model.h"
#include "core/engine/packed_model.h"
#include "core/engine/random_model.h"

namespace vortex::bench {
namespace {

// An engine on one unit, and what was measured with it.
struct Side {
  std::string unit;
  std::unique_ptr<engine::Engine> engine;
  std::unique_ptr<engine::Stepper> stepper;
  std::vector<double> seconds;
};

// One engine a unit that this machine has, all on the same packed weights.
Result<std::vector<Side>> make_sides(const Options& options, const model::ModelConfig& config) {
  model::Model model = engine::random_model(config, 1);
  VORTEX_ASSIGN(const engine::HostImage image, engine::pack_image(model));
  auto kept = std::make_shared<engine::KeptModel>();
  VORTEX_ASSIGN(kept->weights, map_descriptor(image.memory.get(), static_cast<size_t>(image.bytes)));
  kept->weight_bytes = image.bytes;
  kept->embedding = image.embedding;
  model.weights = nullptr;
  engine::EngineOptions made = engine_options(options);
  made.kept = kept;
  std::vector<Side> sides;
  for (const cpu::Unit unit : {cpu::Unit::kFloat32, cpu::Unit::kAvx512Bf16, cpu::Unit::kAmxBf16}) {
    if (!cpu::unit_supported(unit)) { continue; }
    made.unit = unit;
    Side& side = sides.emplace_back();
    side.unit = cpu::unit_name(unit);
    VORTEX_ASSIGN(side.engine, engine::make_cpu_engine(model, made));
    side.stepper = side.engine->stepper();
  }
  return sides;
}

// Runs `work(stepper)` on every side in turns, so that each has options.samples times.
template <typename Work>
Status take_turns(std::vector<Side>& sides, const Options& options, const Work& work) {
  for (Side& side : sides) { side.seconds.clear(); }
  for (int sample = 0; sample < options.samples; ++sample) {
    for (Side& side : sides) {
      const double start = processor_seconds();
      VORTEX_TRY(work(*side.stepper));
      side.seconds.push_back((processor_seconds() - start) / options.threads);
    }
  }
  return ok_status();
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

// A line a side; `tokens` and `steps` are what one time is of.
void report_turns(std::vector<Side>& sides, const std::string& what, const std::string& shape, double tokens, int steps,
                  Report& report) {
  for (const Side& side : sides) {
    const auto [fastest, slowest] = std::minmax_element(side.seconds.begin(), side.seconds.end());
    Record record;
    record.what = what;
    record.shape = shape;
    record.policy = side.unit;
    record.seconds = median(side.seconds) / steps;
    record.fastest = *fastest / steps;
    record.slowest = *slowest / steps;
    record.tokens_per_second = tokens / (record.seconds * steps);
    report.add(record);
  }
}

// How many times as fast as the first side each other one is: the median of the ratios of turns, and their quartiles.
void report_ratios(const std::vector<Side>& sides, const std::string& name, Report& report) {
  for (size_t i = 1; i < sides.size(); ++i) {
    std::vector<double> ratios;
    for (size_t turn = 0; turn < sides[i].seconds.size(); ++turn) {
      ratios.push_back(sides[0].seconds[turn] / sides[i].seconds[turn]);
    }
    std::sort(ratios.begin(), ratios.end());
    const std::string ratio = name + ", " + sides[i].unit + " over " + sides[0].unit;
    report.add_value(ratio, ratios[ratios.size() / 2], "x");
    report.add_value(ratio + ", a quarter below", ratios[ratios.size() / 4], "x");
    report.add_value(ratio + ", a quarter above", ratios[ratios.size() - 1 - ratios.size() / 4], "x");
  }
}

Status measure_prompt(std::vector<Side>& sides, int tokens, const Options& options, Report& report) {
  VORTEX_TRY(take_turns(sides, options, [&](engine::Stepper& stepper) -> Status {
    VORTEX_ASSIGN([[maybe_unused]] const double seconds, stepper.admit(tokens));
    return stepper.retire(0);
  }));
  const std::string shape = "1x" + std::to_string(tokens);
  report_turns(sides, "prompt", shape, tokens, 1, report);
  report_ratios(sides, "prompt of " + std::to_string(tokens), report);
  return ok_status();
}

Status measure_steps(std::vector<Side>& sides, const std::string& text, const BatchShape& shape, const Options& options,
                     Report& report) {
  VORTEX_TRY(take_turns(sides, options, [&](engine::Stepper& stepper) -> Status {
    VORTEX_ASSIGN([[maybe_unused]] const double seconds, stepper.run(options.steps));
    return ok_status();
  }));
  report_turns(sides, "step", text, static_cast<double>(shape.requests) * options.steps, options.steps, report);
  report_ratios(sides, "step of " + text, report);
  return ok_status();
}

// The options with room for what the shapes need, and no more.
Result<Options> sized(Options options) {
  options.max_batch = 1;
  options.max_context = 1;
  for (const std::string& text : options.shapes) {
    VORTEX_ASSIGN(const BatchShape shape, parse_shape(text));
    options.max_batch = std::max(options.max_batch, shape.requests);
    options.max_context = std::max(options.max_context, shape.tokens + options.steps * options.samples);
  }
  return options;
}

}  // namespace

Status bench_math(const Options& asked) {
  VORTEX_ASSIGN(const Options options, sized(asked));
  VORTEX_ASSIGN(model::ModelConfig model, find_geometry(options));
  model.max_position_embeddings = std::min(model.max_position_embeddings, options.max_context);
  VORTEX_ASSIGN(std::vector<Side> sides, make_sides(options, model));
  VORTEX_ASSIGN(const double copy, sides[0].stepper->copy_bandwidth());
  Report report(options, sides[0].stepper->device() + ", seconds of processor time a thread", copy);
  std::set<int> prompts;
  for (const std::string& text : options.shapes) {
    VORTEX_ASSIGN(const BatchShape shape, parse_shape(text));
    for (Side& side : sides) { VORTEX_TRY(side.stepper->place({}, {})); }
    if (prompts.insert(shape.tokens).second) { VORTEX_TRY(measure_prompt(sides, shape.tokens, options, report)); }
    const std::vector<int> lengths(static_cast<size_t>(shape.requests), shape.tokens);
    for (Side& side : sides) { VORTEX_TRY(side.stepper->place(lengths, {})); }
    VORTEX_TRY(measure_steps(sides, text, shape, options, report));
  }
  return report.finish();
}

}  // namespace vortex::bench
