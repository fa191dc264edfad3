#include "core/vflow/vary/generate.h"

#include <algorithm>
#include <cmath>

#include "core/vflow/graph/prune.h"
#include "core/vflow/graph/ranges.h"
#include "core/vflow/vary/config_moves.h"
#include "core/vflow/vary/families.h"
#include "core/vflow/vary/sketch.h"

namespace vortex::vflow {
namespace {

constexpr int64_t kLargestValue = 8192;  // elements a page: keeps a random program cheap to run
constexpr int64_t kLargestFilter = 16;   // elements a tap of Conv1d: it is written out in the source
constexpr double kTame = 1e6;            // operands of products stay below, so nothing overflows

bool chance(Rng& rng, double probability) { return rng.uniform() < probability; }

template <typename T>
const T& any_of(Rng& rng, const std::vector<T>& values) {
  return values[rng.below(values.size())];
}

class Generator {
 public:
  Generator(Rng& rng, const GenerateOptions& options, Program base)
      : rng_(rng), options_(options), sketch_(std::move(base)) {}

  Result<Program> run() {
    grow_cache();
    grow_indexer();
    finish();
    if (sketch_.failed()) { return candidate_error("a random program did not type"); }
    return merged(sketch_.program());
  }

 private:
  struct Value {
    int node;
    int uses = 0;
  };

  Graph& graph(Side side) { return side == Side::kCache ? sketch_.program().cache : sketch_.program().indexer; }
  std::vector<Bounds>& ranges(Side side) { return side == Side::kCache ? cache_ranges_ : indexer_ranges_; }
  const Node& node(Side side, int index) { return graph(side).nodes[static_cast<size_t>(index)]; }
  Bounds range(Side side, int index) { return ranges(side)[static_cast<size_t>(index)]; }

  // Ranges of nodes that were appended since the last call.
  void follow(Side side) {
    std::vector<Bounds>& known = ranges(side);
    const Graph& nodes = graph(side);
    while (known.size() < nodes.nodes.size()) {
      known.push_back(value_range(sketch_.program(), side, static_cast<int>(known.size()), known, field_ranges_));
    }
  }

  void offer(Side side, int index) {
    if (index < 0) { return; }
    follow(side);
    std::vector<Value>& values = side == Side::kCache ? cache_values_ : indexer_values_;
    const auto known =
        std::find_if(values.begin(), values.end(), [&](const Value& value) { return value.node == index; });
    if (known == values.end()) { values.push_back({index}); }
  }

  // Values that nothing reads yet come first, so that most of what is made is used.
  int choose(Side side) {
    std::vector<Value>& values = side == Side::kCache ? cache_values_ : indexer_values_;
    double total = 0;
    const auto weight = [](const Value& value) { return value.uses == 0 ? 4.0 : 1.0; };
    for (const Value& value : values) { total += weight(value); }
    double at = rng_.uniform() * total;
    for (Value& value : values) {
      at -= weight(value);
      if (at >= 0) { continue; }
      ++value.uses;
      return value.node;
    }
    return values.back().node;
  }

  Op choose_op(Side side) {
    double total = 0;
    const auto weight = [&](const OpInfo& info) {
      return (side == Side::kCache ? info.on_cache : info.on_indexer) ? info.weight : 0;
    };
    for (const OpInfo& info : op_table()) { total += weight(info); }
    double at = rng_.uniform() * total;
    for (const OpInfo& info : op_table()) {
      at -= weight(info);
      if (at < 0) { return info.op; }
    }
    return Op::kMean;
  }

  // Tries one random node; -1 when it does not type, grows too large or may overflow.
  int step(Side side) {
    const Op op = choose_op(side);
    std::vector<int> inputs;
    for (int i = 0; i < op_info(op).arity; ++i) { inputs.push_back(choose(side)); }
    for (int input : inputs) {
      const Bounds in = range(side, input);
      if (op_info(op).tame_operands && in.magnitude() > kTame) { return -1; }
    }
    if (takes(op_info(op), Arg::kWeight) && node(side, inputs[0]).shape.size() > kLargestFilter) { return -1; }
    const Attrs attrs = draw_attrs(side, op, inputs);
    Program& program = sketch_.program();
    const Result<int> made = append_node(program, side, op, inputs, attrs, draw_shape(op, side, inputs));
    if (!made.ok()) { return -1; }
    follow(side);
    if (node(side, *made).shape.size() > kLargestValue || range(side, *made).magnitude() > kLargestMagnitude) {
      graph(side).nodes.pop_back();
      ranges(side).pop_back();
      return -1;
    }
    return *made;
  }

  // The table's numbers where it has any: they keep exponentials small and take logarithms of positive numbers.
  Attrs draw_attrs(Side side, Op op, const std::vector<int>& inputs) {
    const OpInfo& info = op_info(op);
    Attrs attrs = default_attrs(op);
    const Shape shape = node(side, inputs[0]).shape;
    if (!info.draws.empty()) {
      for (const Draw& draw : info.draws) { set_arg(attrs, draw.arg, drawn(draw, range(side, inputs[0]))); }
    } else if (takes(info, Arg::kWeight)) {
      attrs.constant = draw_filter(shape);
    } else if (takes(info, Arg::kKronAxes)) {
      attrs.kron_axes = 1 + static_cast<unsigned>(rng_.below(3));
    } else if (takes(info, Arg::kStart)) {
      draw_slice(shape, attrs);
    } else {
      draw_dim(side, op, attrs);
    }
    return attrs;
  }

  double drawn(const Draw& draw, Bounds in) {
    const double value = draw.values.size() == 1 ? draw.values[0] : draw.values[rng_.below(draw.values.size())];
    return draw.over_magnitude ? nice(value / std::max(1.0, in.magnitude())) : value;
  }

  void draw_slice(Shape shape, Attrs& attrs) {
    attrs.dim = rng_.between(1, 2);
    const int size = attrs.dim == 1 ? shape.rows : shape.cols;
    attrs.start = rng_.between(0, size / 2);
    attrs.end = rng_.between(attrs.start, size);
    attrs.alpha = pick(rng_, {1, 1, 2, 0.5});
    attrs.beta = pick(rng_, {0, 0, 0.25, -1});
  }

  void draw_dim(Side side, Op op, Attrs& attrs) {
    for (const ArgInfo& arg : op_info(op).args) {
      const bool over_pages = op_info(op).reach == Reach::kRow;
      if (arg.arg == Arg::kDim && !over_pages) {
        attrs.dim = rng_.between(side == Side::kIndexer && chance(rng_, 0.3) ? 0 : 1, 2);
      }
      if (arg.arg == Arg::kInterleave) { attrs.k = 1 << rng_.between(1, 3); }
    }
  }

  // A short filter, the same for all inner elements, of binary fractions.
  int draw_filter(Shape shape) {
    const int taps = rng_.between(1, 3);
    Constant filter{{taps, shape.rows, shape.cols}, {}, {}};
    for (int tap = 0; tap < taps; ++tap) {
      const float weight = static_cast<float>(pick(rng_, {1, 0.5, 0.25, -0.25}));
      filter.data.insert(filter.data.end(), static_cast<size_t>(shape.size()), weight);
    }
    return sketch_.constant(std::move(filter));
  }

  Shape draw_shape(Op op, Side side, const std::vector<int>& inputs) {
    if (op != Op::kReshape) { return {}; }
    const Shape shape = node(side, inputs[0]).shape;
    std::vector<Shape> choices;
    for (int rows = 1; rows <= shape.size(); rows *= 2) {
      if (shape.size() % rows == 0) { choices.push_back({rows, static_cast<int>(shape.size() / rows)}); }
    }
    return any_of(rng_, choices);
  }

  void grow_cache() {
    const bool mla = sketch_.program().dialect == Dialect::kMla;
    offer(Side::kCache, sketch_.cache_field(mla ? "latent" : "k"));
    if (!mla && chance(rng_, 0.5)) { offer(Side::kCache, sketch_.cache_field("v")); }
    const int steps = rng_.between(1, std::max(1, options_.max_cache_ops));
    constexpr int kTriesAStep = 8;
    for (int made = 0, tries = 0; made < steps && tries < kTriesAStep * steps; ++tries) {
      const int value = step(Side::kCache);
      offer(Side::kCache, value);
      made += value >= 0;
    }
    store_fields();
  }

  // Every cache value that nothing reads becomes a field, if it is no larger than half a page.
  void store_fields() {
    const Geometry& geometry = sketch_.program().geometry;
    const int64_t largest = static_cast<int64_t>(geometry.block_size) * geometry.head_dim / 2;
    for (const Value& value : cache_values_) {
      if (value.uses > 0 || node(Side::kCache, value.node).op == Op::kField) { continue; }
      if (node(Side::kCache, value.node).shape.size() > largest) { continue; }
      fields_.push_back(sketch_.store("f" + std::to_string(fields_.size()), value.node));
      field_ranges_.push_back(range(Side::kCache, value.node));
      follow(Side::kCache);
    }
    if (!fields_.empty()) { return; }
    const int key = cache_values_.front().node;
    fields_.push_back(sketch_.store("f0", sketch_.cache(Op::kMean, {key}, attrs_dim(Op::kMean, 1))));
    field_ranges_.push_back(kInputRange);
    follow(Side::kCache);
  }

  void grow_indexer() {
    offer(Side::kIndexer, sketch_.query());
    for (const std::string& field : fields_) {
      offer(Side::kIndexer, chance(rng_, 0.3) ? sketch_.load(field) : sketch_.indexer_field(field));
    }
    if (sketch_.program().dialect == Dialect::kGqa && chance(rng_, 0.1)) {
      offer(Side::kIndexer, sketch_.indexer_field(chance(rng_, 0.5) ? "k" : "v"));
    }
    if (chance(rng_, 0.12)) { offer(Side::kIndexer, learned_query()); }
    const int steps = rng_.between(1, std::max(1, options_.max_indexer_ops));
    const int state_at = options_.save_load && chance(rng_, 0.25) ? rng_.between(1, steps) : 0;
    constexpr int kTriesAStep = 8;
    for (int made = 0, tries = 0; made < steps && tries < kTriesAStep * steps; ++tries) {
      const int value = step(Side::kIndexer);
      offer(Side::kIndexer, value);
      made += value >= 0;
      if (value >= 0 && made == state_at) { keep_state(value); }
    }
  }

  // GeMM of the query with a small constant matrix.
  int learned_query() {
    const int width = sketch_.program().geometry.head_dim;
    const int layers = rng_.between(1, 2);
    const int rows = rng_.between(1, 2);
    Constant matrix{{layers, rows, width}, {}, {}};
    for (int i = 0; i < layers * rows * width; ++i) {
      matrix.data.push_back(static_cast<float>(rng_.between(-8, 8)) / 8);
    }
    if (layers > 1) { matrix.layer_lookup = {0, 1, 0}; }
    Attrs attrs;
    attrs.constant = sketch_.constant(std::move(matrix));
    const int parameter = sketch_.indexer(Op::kParameter, {}, attrs);
    return sketch_.indexer(Op::kGemm, {sketch_.query(), parameter});
  }

  // A value carried over decode steps: a decaying sum, or the largest or smallest so far.
  void keep_state(int value) {
    const Node& source = node(Side::kIndexer, value);
    const Bounds in = range(Side::kIndexer, value);
    if (source.format != Format::kRagged || source.shape.size() > 1024 || in.magnitude() > kTame) { return; }
    const Shape shape = source.shape;
    const std::string field = sketch_.fill("state", shape, 0);
    fields_.push_back(field);
    const double decay = pick(rng_, {0.25, 0.5, 0.75});
    const double bound = in.magnitude() / (1 - decay);
    field_ranges_.push_back({-bound, bound});
    const int before = sketch_.load(field);
    const Op op = chance(rng_, 0.6) ? Op::kAdd : chance(rng_, 0.5) ? Op::kMaximum : Op::kMinimum;
    const Attrs attrs = op == Op::kAdd ? attrs_affine(op, decay, 1) : default_attrs(op);
    const int now = sketch_.indexer(op, {before, value}, attrs);
    sketch_.save(now, field);
    follow(Side::kIndexer);
    indexer_ranges_[static_cast<size_t>(now)] = {-bound, bound};
    offer(Side::kIndexer, now);
  }

  // The newest value with a row per page, one that nothing reads if there is one, as one score.
  int last_score() {
    int best = -1;
    bool best_unused = false;
    for (const Value& value : indexer_values_) {
      const Node& candidate = node(Side::kIndexer, value.node);
      if (candidate.format != Format::kRagged || candidate.inputs.empty() || (best_unused && value.uses > 0)) {
        continue;
      }
      best = value.node;
      best_unused = value.uses == 0;
    }
    if (best < 0) { return plain_score(); }
    for (Value& value : indexer_values_) { value.uses += value.node == best; }
    std::vector<Op> reductions = {Op::kMax, Op::kMax, Op::kMean, Op::kMin};
    if (range(Side::kIndexer, best).magnitude() <= kTame) { reductions.push_back(Op::kSum); }
    const int score = reduce_to_score(sketch_, best, any_of(rng_, reductions));
    follow(Side::kIndexer);
    return score;
  }

  // For programs that made nothing with a row per page: the mean query times the mean key, in a field of its own.
  int plain_score() {
    const int score = score_families().front().score(sketch_, rng_);
    field_ranges_.push_back(kInputRange);
    follow(Side::kIndexer);
    return score;
  }

  void finish() {
    const int score = last_score();
    if (chance(rng_, 0.12)) {
      append_union(score);
    } else if (chance(rng_, 0.3)) {
      select_approximately(sketch_, score, pick(rng_, {0, 0.05, 0.1, 0.25, 0.5}));
    } else {
      select_top(sketch_, score);
    }
  }

  void append_union(int first) {
    const int second = last_score();
    std::vector<int> tables;
    for (int score : {first, second}) {
      Attrs attrs;
      attrs.k = rng_.between(4, 12);
      tables.push_back(sketch_.indexer(Op::kTopKTable, {score}, attrs));
    }
    sketch_.indexer(Op::kUnion, tables);
  }

  Rng& rng_;
  const GenerateOptions& options_;
  Sketch sketch_;
  std::vector<Value> cache_values_;
  std::vector<Value> indexer_values_;
  std::vector<Bounds> cache_ranges_;
  std::vector<Bounds> indexer_ranges_;
  std::vector<Bounds> field_ranges_;  // of the fields that are not built in
  std::vector<std::string> fields_;
};

// Now and then a family's program where the options leave room for it, else operations at random.
Result<Program> draw_program(Rng& rng, const ModelGeometry& model, const GenerateOptions& options, int block_size) {
  const Dialect dialect = options.mla ? Dialect::kMla : Dialect::kGqa;
  const Geometry geometry = geometry_for(model, dialect, block_size);
  constexpr double kFamilyShare = 0.15;
  if (options.max_indexer_ops >= 8 && options.save_load && chance(rng, kFamilyShare)) {
    return family_program(pick_family(rng), dialect, geometry, rng);
  }
  return Generator(rng, options, empty_program(dialect, geometry)).run();
}

}  // namespace

Variation random_variation(Rng& rng, const ModelGeometry& model, const GenerateOptions& options) {
  constexpr int kTries = 64;
  constexpr const char* kWhat = "random program";
  for (int i = 0; i < kTries; ++i) {
    Policy policy;
    policy.config = random_config(rng, model);
    Result<Program> program = draw_program(rng, model, options, policy.config.block_size);
    if (!program.ok()) { continue; }
    policy.program = std::move(*program);
    policy.program.name = "random_" + std::to_string(rng.below(1000000));
    settle_config(policy);
    Variation drawn = as_variation(std::move(policy), kWhat, model);
    if (drawn.report.policy) { return drawn; }
  }
  return as_variation(plain_policy(model, options.mla ? Dialect::kMla : Dialect::kGqa), kWhat, model);
}

Policy random_policy(Rng& rng, const ModelGeometry& model, const GenerateOptions& options) {
  return random_variation(rng, model, options).policy;
}

}  // namespace vortex::vflow
