#include "core/engine/bench/speed_cases.h"

namespace vortex::bench {
namespace {

// A policy below the tree and what it is measured at.
struct Row {
  const char* name;
  const char* policy;  // "": dense
  const char* shape;   // "": the trace
  int pages;           // attended a row; 0: the trace's ratio
};

constexpr const char* kBlockTopk = "examples/policies/block_topk.py";
constexpr const char* kQuest = "examples/policies/quest.py";

// Qwen3-1.7B. The made-up policies stand for those that agents write: what each of them is dear in, its file says.
constexpr Row kDevice[] = {
    {"dense 64x8192", "", "64x8192", 0},
    {"block_topk 64x8192", kBlockTopk, "64x8192", 64},
    {"block_topk 32x16384", kBlockTopk, "32x16384", 64},
    {"block_topk 8x16384", kBlockTopk, "8x16384", 64},
    {"block_topk 1x16384", kBlockTopk, "1x16384", 64},
    {"quest 64x8192", kQuest, "64x8192", 64},
    {"wide_state 48x8192", "tests/bench/policies/wide_state.py", "48x8192", 64},
    {"momentum_query 48x8192", "tests/bench/policies/momentum_query.py", "48x8192", 64},
    {"channel_gate 48x8192", "tests/bench/policies/channel_gate.py", "48x8192", 64},
    {"channel_exp 48x8192", "tests/bench/policies/channel_exp.py", "48x8192", 64},
    {"silu_channels 48x8192", "tests/bench/policies/silu_channels.py", "48x8192", 64},
    {"four_fields 48x8192", "tests/bench/policies/four_fields.py", "48x8192", 64},
    {"softmax_heads 48x8192", "tests/bench/policies/softmax_heads.py", "48x8192", 64},
    {"conv_channels 48x8192", "tests/bench/policies/conv_channels.py", "48x8192", 64},
    {"two_products 48x8192", "tests/bench/policies/two_products.py", "48x8192", 64},
    {"centred 48x8192", "tests/bench/policies/centred.py", "48x8192", 64},
};
constexpr Row kDeviceTrace[] = {{"dense trace", "", "", 0}, {"block_topk trace", kBlockTopk, "", 0}};
constexpr Row kDeviceFp8[] = {
    {"dense fp8 64x8192", "", "64x8192", 0},
    {"block_topk fp8 64x8192", kBlockTopk, "64x8192", 64},
};
constexpr Row kDeviceInvariant[] = {{"block_topk invariant 64x8192", kBlockTopk, "64x8192", 64}};

// Three layers of Qwen3-0.6B and its head: what fits one core and a minute.
constexpr Row kCpu[] = {
    {"dense 1x1024", "", "1x1024", 0},
    {"dense 4x4096", "", "4x4096", 0},
    {"block_topk 1x4096", kBlockTopk, "1x4096", 32},
    {"block_topk 4x4096", kBlockTopk, "4x4096", 32},
    {"quest 4x4096", kQuest, "4x4096", 32},
    {"wide_state 4x4096", "tests/bench/policies/wide_state.py", "4x4096", 32},
    {"channel_gate 4x4096", "tests/bench/policies/channel_gate.py", "4x4096", 32},
    {"block_topk trace", kBlockTopk, "", 0},
};

template <size_t count>
SpeedGroup group_of(const Options& engine, const Row (&rows)[count]) {
  SpeedGroup group{engine, {}};
  for (const Row& row : rows) {
    Options options = engine;
    if (*row.policy != '\0') { options.policy = engine.tree + "/" + row.policy; }
    if (*row.shape != '\0') { options.shapes = {row.shape}; }
    options.pages = row.pages;
    if (*row.policy != '\0' && row.pages == 0) { options.ratio = 0.0625; }
    group.cases.push_back({row.name, options});
  }
  return group;
}

std::vector<SpeedGroup> device_cases(Options options) {
  options.geometry = "qwen3-1.7b";
  options.max_batch = 64;
  options.steps = 4;
  options.samples = 3;
  Options fp8 = options;
  fp8.kv = "fp8_e4m3";
  Options invariant = options;
  invariant.batch_invariant = true;
  Options trace = options;
  trace.max_context = 32768;
  trace.requests = 240;
  trace.windows = 8;
  return {group_of(options, kDevice), group_of(fp8, kDeviceFp8), group_of(invariant, kDeviceInvariant),
          group_of(trace, kDeviceTrace)};
}

std::vector<SpeedGroup> cpu_cases(Options options) {
  options.geometry = "qwen3-0.6b";
  options.layers = 3;
  options.max_batch = 4;
  options.max_context = 4608;
  options.requests = 12;
  options.mean_output = 600;
  options.longest_output = 1600;
  options.windows = 4;
  options.steps = 1;
  options.samples = 4;
  return {group_of(options, kCpu)};
}

}  // namespace

std::vector<SpeedGroup> speed_cases(bool on_device, const Options& base) {
  return on_device ? device_cases(base) : cpu_cases(base);
}

}  // namespace vortex::bench
