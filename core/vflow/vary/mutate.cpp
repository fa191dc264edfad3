#include "core/vflow/vary/mutate.h"

#include <algorithm>
#include <array>
#include <functional>
#include <utility>

#include "base/text.h"
#include "core/vflow/config/fixed_budget.h"
#include "core/vflow/graph/canonical.h"
#include "core/vflow/graph/prune.h"
#include "core/vflow/graph/ranges.h"
#include "core/vflow/vary/config_moves.h"
#include "core/vflow/vary/families.h"
#include "core/vflow/vary/program_moves.h"

namespace vortex::vflow {
namespace {

using Change = std::optional<std::string>;

// On the scale of ProgramMove::weight.
constexpr double kBlockSizeWeight = 8;

constexpr int kTries = 24;

double program_moves_weight() {
  double total = 0;
  for (const ProgramMove& move : program_moves()) { total += move.weight; }
  return total;
}

const ProgramMove& pick_move(Rng& rng) {
  double at = rng.uniform() * program_moves_weight();
  for (const ProgramMove& move : program_moves()) {
    at -= move.weight;
    if (at < 0) { return move; }
  }
  return program_moves().front();
}

// Settles an edited program into the policy; false if it does not type or may overflow where it did not before.
bool accept_program(Policy& policy, Program edited, const Geometry& geometry) {
  Result<Program> finished = finish_program(std::move(edited), geometry);
  if (!finished.ok() || (!stays_finite(*finished) && stays_finite(pruned(policy.program)))) { return false; }
  policy.program = std::move(*finished);
  settle_config(policy);
  return true;
}

Change change_program(Policy& policy, Rng& rng) {
  Program edited = pruned(policy.program);
  const Change text = pick_move(rng).apply(edited, rng);
  if (!text || !accept_program(policy, std::move(edited), policy.program.geometry)) { return std::nullopt; }
  return text;
}

Change change_block_size(Policy& policy, Rng& rng, const ModelGeometry& model) {
  const int before = policy.config.block_size;
  const int after = rng.below(2) == 0 ? before * 2 : before / 2;
  if (after < 4 || after > 64) { return std::nullopt; }
  const Geometry geometry = geometry_for(model, policy.program.dialect, after);
  if (!accept_program(policy, pruned(policy.program), geometry)) { return std::nullopt; }
  return "block_size " + std::to_string(before) + " -> " + std::to_string(after);
}

// Applies `change` to copies of the parent until one is new and checks; configuration changes always do in the end.
Variation vary(const Policy& parent, Rng& rng, const ModelGeometry& model,
               const std::function<Change(Policy&, Rng&)>& change) {
  const std::string key = policy_key(parent);
  for (int i = 0; i < 2 * kTries; ++i) {
    Policy child = parent;
    const Change text = i < kTries ? change(child, rng) : Change(change_config(child, rng, model));
    if (!text || policy_key(child) == key) { continue; }
    Variation variation = as_variation(std::move(child), *text, model);
    if (variation.report.policy) { return variation; }
  }
  return as_variation(parent, "no change found", model);
}

// The geometry of `a` for the program of `b`.
Result<Program> fitted(const Policy& a, const Policy& b) {
  if (a.program.dialect != b.program.dialect) { return candidate_error("the two policies are of different dialects"); }
  return retraced(pruned(b.program), a.program.geometry);
}

Change mix_configs(Policy& child, const Policy& other, Rng& rng) {
  EngineConfig& config = child.config;
  std::vector<std::string> taken;
  const auto maybe = [&](const char* name, auto& mine, const auto& theirs) {
    if (mine == theirs || rng.below(2) == 0) { return; }
    mine = theirs;
    taken.emplace_back(name);
  };
  maybe("topk_val", config.topk_val, other.config.topk_val);
  maybe("topk_ratio", config.topk_ratio, other.config.topk_ratio);
  maybe("block_reserved_bos", config.reserved_bos, other.config.reserved_bos);
  maybe("block_reserved_eos", config.reserved_eos, other.config.reserved_eos);
  maybe("layers_skip", config.layers_skip, other.config.layers_skip);
  if (taken.empty()) { return std::nullopt; }
  settle_config(child);
  return "take " + join(taken, ", ") + " from the other parent";
}

// Joins the scores of both: blended, or as the union of two selections.
Change join_scores(Policy& child, const Policy& other, Rng& rng) {
  Result<Program> theirs = fitted(child, other);
  if (!theirs.ok()) { return std::nullopt; }
  const Selection their_selection = take_selection(*theirs);
  Program open = pruned(child.program);
  Selection selection = take_selection(open);
  Sketch sketch(std::move(open));
  const int score = import_indexer_value(sketch, *theirs, their_selection.scores[0]);
  std::string text;
  if (rng.below(6) == 0 && selection.op != Op::kUnion) {
    const int k = std::max(2, child.config.topk_val / 2);
    selection = {Op::kUnion, 0, {selection.scores[0], score}, {k, k}};
    text = "union of both parents' best " + std::to_string(k) + " pages";
  } else {
    const double share = pick(rng, {0.25, 0.5, 0.5, 0.75});
    const bool normalise = rng.below(2) == 0;
    const Op join_op = rng.below(4) == 0 ? Op::kMaximum : Op::kAdd;
    selection.scores[0] = add_score(sketch, selection.scores[0], score, join_op, share, normalise);
    text = join_op == Op::kAdd ? "blend of both scores, the other's share " + format_number(share)
                               : std::string("larger of both scores");
    if (normalise) { text += ", both normalised"; }
  }
  append_selection(sketch, selection);
  if (sketch.failed() || !accept_program(child, sketch.program(), child.program.geometry)) { return std::nullopt; }
  return text;
}

// Puts a value of the other's indexer in the place of one with the same shape and format.
Change exchange_value(Policy& child, const Policy& other, Rng& rng) {
  Result<Program> theirs = fitted(child, other);
  if (!theirs.ok()) { return std::nullopt; }
  Program mine = pruned(child.program);
  std::vector<std::pair<int, int>> pairs;
  const auto inner = [](const Node& node) {
    return op_info(node.op).reach != Reach::kRoot && !node.inputs.empty() && node.op != Op::kTopKTable;
  };
  for (size_t i = 0; i < mine.indexer.nodes.size(); ++i) {
    for (size_t j = 0; j < theirs->indexer.nodes.size(); ++j) {
      const Node& a = mine.indexer.nodes[i];
      const Node& b = theirs->indexer.nodes[j];
      if (inner(a) && inner(b) && a.shape == b.shape && a.format == b.format) {
        pairs.emplace_back(static_cast<int>(i), static_cast<int>(j));
      }
    }
  }
  if (pairs.empty()) { return std::nullopt; }
  const auto [at, from] = pairs[rng.below(pairs.size())];
  const std::string names = std::string(op_info(mine.indexer.nodes[static_cast<size_t>(at)].op).name) +
                            " by the other's " +
                            std::string(op_info(theirs->indexer.nodes[static_cast<size_t>(from)].op).name);
  // The copy goes in front, so that everything that read the old value can read the new one.
  Program front = mine;
  front.indexer.nodes.clear();
  Sketch sketch(std::move(front));
  const int copy = import_indexer_value(sketch, *theirs, from);
  if (sketch.failed()) { return std::nullopt; }
  Program joined = sketch.program();
  const int shift = static_cast<int>(joined.indexer.nodes.size());
  const int added_fields = static_cast<int>(joined.fields.size() - mine.fields.size());
  const int first_builtin = static_cast<int>(
      std::find_if(mine.fields.begin(), mine.fields.end(), [](const Field& field) { return field.builtin; }) -
      mine.fields.begin());
  for (Node node : mine.indexer.nodes) {
    for (int& input : node.inputs) { input = input == at ? copy : input + shift; }
    if (node.attrs.field >= first_builtin) { node.attrs.field += added_fields; }
    joined.indexer.nodes.push_back(std::move(node));
  }
  if (!accept_program(child, std::move(joined), child.program.geometry)) { return std::nullopt; }
  return "replace " + names;
}

Change take_program(Policy& child, const Policy& other, Rng&) {
  Result<Program> theirs = fitted(child, other);
  if (!theirs.ok()) { return std::nullopt; }
  theirs->name = child.program.name;
  if (!accept_program(child, std::move(*theirs), child.program.geometry)) { return std::nullopt; }
  return "the other parent's program under this configuration";
}

}  // namespace

Variation as_variation(Policy policy, std::string description, const ModelGeometry& model) {
  PolicySource source = print_policy(policy);
  CheckReport report = check_policy(source, model);
  return {std::move(policy), std::move(description), std::move(source), std::move(report)};
}

Variation resize(const Policy& parent, bool more, Rng& rng, const ModelGeometry& model) {
  return vary(parent, rng, model, [&](Policy& child, Rng& r) -> Change {
    const double factor = more ? pick(r, {1.5, 2}) : pick(r, {0.5, 0.67});
    return scale_budget(child, factor, model);
  });
}

Variation within_token_budget(const Policy& parent, const ModelGeometry& model) {
  Policy child = parent;
  EngineConfig& config = child.config;
  const int before = config.topk_val;
  set_fixed_budget(config, std::clamp(model.token_budget / config.block_size, 1, std::max(1, before)));
  const std::string text = "topk_val " + std::to_string(before) + " -> " + std::to_string(config.topk_val);
  return as_variation(std::move(child), text + ", all that the token budget allows", model);
}

Variation mutate(const Policy& parent, Rng& rng, const ModelGeometry& model) {
  return vary(parent, rng, model, [&](Policy& child, Rng& r) -> Change {
    const double programs = program_moves_weight();
    const double at = r.uniform() * (programs + kBlockSizeWeight + config_moves_weight());
    if (at < programs) { return change_program(child, r); }
    if (at < programs + kBlockSizeWeight) { return change_block_size(child, r, model); }
    return change_config(child, r, model);
  });
}

Variation crossover(const Policy& a, const Policy& b, Rng& rng, const ModelGeometry& model) {
  return vary(a, rng, model, [&](Policy& child, Rng& r) -> Change {
    const double at = r.uniform();
    if (at < 0.4) { return join_scores(child, b, r); }
    if (at < 0.65) { return exchange_value(child, b, r); }
    if (at < 0.8) { return take_program(child, b, r); }
    return mix_configs(child, b, r);
  });
}

}  // namespace vortex::vflow
