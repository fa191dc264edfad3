#include "core/vflow/vary/config_moves.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "base/text.h"
#include "core/vflow/graph/prune.h"
#include "core/vflow/vary/families.h"

namespace vortex::vflow {
namespace {

constexpr int kLargestTopK = 256;

struct ScheduleChoice {
  const char* name;
  const char* text;
};
constexpr std::array kSchedules = {
    ScheduleChoice{"the default rule", ""},
    ScheduleChoice{"a budget growing with the square root of the pages",
                   "return max(topk_val + block_reserved_bos + block_reserved_eos, "
                   "(int)(2.0 * sqrt((float)cached_block_len)));"},
    ScheduleChoice{"a budget growing slowly beyond 256 pages",
                   "const int base = topk_val + block_reserved_bos + block_reserved_eos;\n"
                   "if (cached_block_len > 256) return base + (cached_block_len - 256) / 32;\n"
                   "return base;"},
};

void set_schedule(EngineConfig& config, const char* text) {
  std::vector<Diagnostic> diagnostics;
  config.schedule_policy = text;
  config.schedule = config.schedule_policy.empty()
                        ? Schedule()
                        : Schedule::compile(config.schedule_policy, "vortex_schedule_policy", diagnostics);
}

int most_pages(const ModelGeometry& model, const EngineConfig& config) {
  return std::max(2, model.max_context / config.block_size);
}

std::string changed(const std::string& what, double from, double to) {
  return what + " " + format_number(from) + " -> " + format_number(to);
}

std::string change_topk(Policy& policy, Rng& rng, const ModelGeometry& model) {
  EngineConfig& config = policy.config;
  const int before = config.topk_val;
  const double factor = pick(rng, {0.5, 0.67, 0.8, 0.9, 1.1, 1.25, 1.5, 2});
  const int largest = std::min(kLargestTopK, most_pages(model, config));
  int after = std::clamp(static_cast<int>(std::lround(before * factor)), 1, largest);
  if (after == before) { after = before < largest ? before + 1 : std::max(1, before - 1); }
  config.topk_val = after;
  return changed("topk_val", before, after);
}

}  // namespace

std::string scale_budget(Policy& policy, double factor, const ModelGeometry& model) {
  EngineConfig& config = policy.config;
  const int before = config.topk_val;
  const int largest = std::min(kLargestTopK, most_pages(model, config));
  config.topk_val = std::clamp(static_cast<int>(std::lround(before * factor)), 1, largest);
  config.topk_ratio = std::min(1.0, config.topk_ratio * factor);
  return changed("topk_val", before, config.topk_val);
}

namespace {

std::string change_ratio(Policy& policy, Rng& rng, const ModelGeometry&) {
  double& ratio = policy.config.topk_ratio;
  const double before = ratio;
  while (ratio == before) { ratio = pick(rng, {0, 0.02, 0.03, 0.05, 0.0625, 0.1, 0.125}); }
  return changed("topk_ratio", before, ratio);
}

std::string change_reserved(Policy& policy, Rng& rng, const ModelGeometry&) {
  const bool first = rng.below(2) == 0;
  int& reserved = first ? policy.config.reserved_bos : policy.config.reserved_eos;
  const int before = reserved;
  reserved = before <= 1 || rng.below(2) == 0 ? before + 1 : before - 1;
  return changed(first ? "block_reserved_bos" : "block_reserved_eos", before, reserved);
}

std::string change_layers(Policy& policy, Rng& rng, const ModelGeometry& model) {
  std::vector<int>& skip = policy.config.layers_skip;
  std::sort(skip.begin(), skip.end());
  skip.erase(std::unique(skip.begin(), skip.end()), skip.end());
  const int most = std::max(0, model.layers - 1);  // one layer at least stays sparse
  const bool add = skip.empty() || (rng.below(2) == 0 && static_cast<int>(skip.size()) < most);
  if (!add) {
    const size_t at = rng.below(skip.size());
    const int layer = skip[at];
    skip.erase(skip.begin() + static_cast<int>(at));
    return "layer " + std::to_string(layer) + " sparse instead of dense";
  }
  if (most == 0) { return change_topk(policy, rng, model); }
  int layer = 0;
  do {
    layer = static_cast<int>(rng.below(static_cast<uint64_t>(model.layers)));
  } while (std::find(skip.begin(), skip.end(), layer) != skip.end());
  skip.insert(std::upper_bound(skip.begin(), skip.end(), layer), layer);
  return "layer " + std::to_string(layer) + " dense instead of sparse";
}

std::string change_schedule(Policy& policy, Rng& rng, const ModelGeometry&) {
  const std::string before = policy.config.schedule_policy;
  const ScheduleChoice* choice = &kSchedules[0];
  do { choice = &kSchedules[rng.below(kSchedules.size())]; } while (before == choice->text);
  set_schedule(policy.config, choice->text);
  return std::string("schedule_policy: ") + choice->name;
}

struct ConfigMove {
  double weight;
  std::string (*apply)(Policy&, Rng&, const ModelGeometry&);
};
constexpr std::array kConfigMoves = {
    ConfigMove{18, change_topk},    ConfigMove{10, change_layers},  ConfigMove{5, change_ratio},
    ConfigMove{5, change_reserved}, ConfigMove{3, change_schedule},
};

}  // namespace

EngineConfig random_config(Rng& rng, const ModelGeometry& model) {
  EngineConfig config;
  config.block_size = static_cast<int>(pick(rng, {8, 16, 16, 32}));
  config.topk_val = std::min(rng.between(4, 32), most_pages(model, config));
  config.topk_ratio = pick(rng, {0, 0, 0.03, 0.0625});
  config.reserved_bos = rng.between(1, 2);
  config.reserved_eos = rng.between(1, 3);
  config.layers_skip.clear();
  if (model.layers > 1 && rng.below(2) == 0) { config.layers_skip.push_back(0); }
  if (model.layers > 2 && rng.below(3) == 0) { config.layers_skip.push_back(rng.between(1, model.layers - 1)); }
  config.max_seq_lens = model.max_context;
  if (rng.below(8) == 0) { set_schedule(config, kSchedules[rng.below(kSchedules.size())].text); }
  return config;
}

void require_runtime_keys(const Program& program, EngineConfig& config) {
  for (const Node& node : program.indexer.nodes) {
    if (node.op == Op::kSave) { config.disable_radix_cache = true; }
    if (node.op != Op::kUnion) { continue; }
    const std::pair<std::string, std::string> backend = {"vortex_attention_backend", "\"trtllm\""};
    std::erase_if(config.passthrough, [&](const auto& entry) { return entry.first == backend.first; });
    config.passthrough.push_back(backend);
  }
}

void settle_config(Policy& policy) {
  policy.config.block_size = policy.program.geometry.block_size;
  policy.config.module_name = policy.program.name;
  for (const Node& node : policy.program.indexer.nodes) {
    if (node.op == Op::kTopKTable) { policy.config.topk_val = std::min(policy.config.topk_val, node.attrs.k); }
  }
  require_runtime_keys(policy.program, policy.config);
}

double config_moves_weight() {
  double total = 0;
  for (const ConfigMove& move : kConfigMoves) { total += move.weight; }
  return total;
}

std::string change_config(Policy& policy, Rng& rng, const ModelGeometry& model) {
  double at = rng.uniform() * config_moves_weight();
  for (const ConfigMove& move : kConfigMoves) {
    at -= move.weight;
    if (at < 0) { return move.apply(policy, rng, model); }
  }
  return change_topk(policy, rng, model);
}

Policy plain_policy(const ModelGeometry& model, Dialect dialect) {
  Policy policy;
  Rng rng(0);
  const Geometry geometry = geometry_for(model, dialect, policy.config.block_size);
  // The first family fits every geometry.
  policy.program = family_program(score_families().front(), dialect, geometry, rng).value();
  policy.program.name = "block_topk";
  policy.config.layers_skip.clear();
  settle_config(policy);
  return policy;
}

}  // namespace vortex::vflow
