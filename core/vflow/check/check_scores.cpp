#include <algorithm>
#include <cmath>

#include "base/text.h"
#include "core/vflow/check/check.h"
#include "core/vflow/graph/ranges.h"

namespace vortex::vflow {
namespace {

// Where a bound stops growing, near the end of float32, so that no bound becomes NaN by itself.
constexpr double kLargest = 3e38;
// What q, k, v and latent stay within in any model: half precision ends here.
constexpr double kLargestInput = 65504;
constexpr int kSaveRounds = 3;  // of following what Save carries over steps, before it may be anything

// What is known of a value for inputs within kLargestInput.
struct Known {
  Bounds range;
  bool nan = false;            // it is NaN, whatever the inputs are
  bool can_be_nan = false;     // it is for some inputs: there is a Log in it that gets numbers below 0
  bool query = false;          // it can vary with the query
  bool page = false;           // it can vary with the page
  bool query_by_page = false;  // the query can change how pages differ from each other
  bool constant() const { return !can_be_nan && range.low == range.high; }
};

Bounds limited(Bounds range) {
  return {std::clamp(range.low, -kLargest, kLargest), std::clamp(range.high, -kLargest, kLargest)};
}

Bounds joined(Bounds a, Bounds b) { return {std::min(a.low, b.low), std::max(a.high, b.high)}; }

Bounds affine(Bounds x, double factor, double offset) {
  const double a = factor * x.low + offset;
  const double b = factor * x.high + offset;
  return {std::min(a, b), std::max(a, b)};
}

Bounds product(Bounds x, Bounds y) {
  const double corners[] = {x.low * y.low, x.low * y.high, x.high * y.low, x.high * y.high};
  return {*std::min_element(std::begin(corners), std::end(corners)),
          *std::max_element(std::begin(corners), std::end(corners))};
}

// The table's bounds are for generating programs and may be wide. Here a bound is worth what it excludes.
class Ranges {
 public:
  explicit Ranges(const Program& program) : program_(program), fields_(program.fields.size()) {
    follow(Side::kCache, program.cache, cache_);
    for (size_t i = 0; i < program.cache.nodes.size(); ++i) {
      const Node& node = program.cache.nodes[i];
      if (node.op == Op::kStore) { field(node) = operand(cache_, node, 0); }
      if (node.op == Op::kFill) { field(node).range = {node.attrs.alpha, node.attrs.alpha}; }
    }
    bool changed = true;
    for (int round = 0; changed; ++round) {
      follow(Side::kIndexer, program.indexer, indexer_);
      changed = carry_over(round >= kSaveRounds);
    }
  }

  const std::vector<Known>& indexer() const { return indexer_; }
  // Of the cache side, by node: what Log gets there can be no number as well.
  const std::vector<Known>& cache() const { return cache_; }

 private:
  Known& field(const Node& node) { return fields_[static_cast<size_t>(node.attrs.field)]; }
  static const Known& operand(const std::vector<Known>& values, const Node& node, size_t index) {
    return values[static_cast<size_t>(node.inputs[index])];
  }

  // What Save wrote in an earlier step comes back through Load. False: nothing has changed.
  bool carry_over(bool to_anything) {
    bool changed = false;
    for (const Node& node : program_.indexer.nodes) {
      if (node.op != Op::kSave) { continue; }
      const Known& saved = operand(indexer_, node, 0);
      Known& state = field(node);
      Known next = {.range = joined(state.range, saved.range),
                    .nan = state.nan,
                    .can_be_nan = state.can_be_nan || saved.can_be_nan,
                    .query = state.query || saved.query,
                    .page = state.page || saved.page,
                    .query_by_page = state.query_by_page || saved.query_by_page};
      const bool wider = next.range.low < state.range.low || next.range.high > state.range.high;
      if (wider && to_anything) { next.range = {-kLargest, kLargest}; }
      changed = changed || wider || next.can_be_nan != state.can_be_nan || next.query != state.query ||
                next.page != state.page || next.query_by_page != state.query_by_page;
      state = next;
    }
    return changed;
  }

  void follow(Side side, const Graph& graph, std::vector<Known>& values) {
    values.clear();
    std::vector<Bounds> ranges;
    std::vector<Bounds> fields;
    for (const Known& known : fields_) { fields.push_back(known.range); }
    for (size_t i = 0; i < graph.nodes.size(); ++i) {
      const Node& node = graph.nodes[i];
      Known value = depends(node, values);
      Bounds rough = value_range(program_, side, static_cast<int>(i), ranges, fields);
      const bool leaf = node.op == Op::kField || node.op == Op::kLoad;
      const bool builtin = leaf && program_.fields[static_cast<size_t>(node.attrs.field)].builtin;
      if (builtin || node.op == Op::kQuery) { rough = {-kLargestInput, kLargestInput}; }
      value.nan = leaf ? !builtin && field(node).nan : is_nan(node, values);
      value.can_be_nan = value.nan || (leaf ? !builtin && field(node).can_be_nan : can_be_nan(node, values));
      // What stands in a field while the cache program runs is its last owner's.
      const bool foreign = leaf && !builtin && side == Side::kCache;
      const bool known = !std::isnan(rough.low) && !std::isnan(rough.high) && !foreign;
      value.range = limited(sharper(node, values, known ? rough : Bounds{-kLargest, kLargest}));
      if (value.constant()) { value.query = value.page = value.query_by_page = false; }
      values.push_back(value);
      ranges.push_back(value.range);
    }
  }

  // These look at their operands' order, or not at all.
  static bool gives_numbers(const Node& node) {
    return node.op == Op::kMaskSlice || op_info(node.op).kind == OpKind::kWhere || node.inputs.empty();
  }

  static bool can_be_nan(const Node& node, const std::vector<Known>& values) {
    if (gives_numbers(node) || node.op == Op::kRelu) { return false; }
    const Bounds x = operand(values, node, 0).range;
    if (node.op == Op::kLog && affine(x, node.attrs.beta, node.attrs.alpha).low < 0) { return true; }
    return std::any_of(node.inputs.begin(), node.inputs.end(),
                       [&](int input) { return values[static_cast<size_t>(input)].can_be_nan; });
  }

  static bool is_nan(const Node& node, const std::vector<Known>& values) {
    if (gives_numbers(node)) { return false; }
    if (node.op == Op::kMaximum || node.op == Op::kMinimum || node.op == Op::kRelu) { return false; }
    const Bounds x = operand(values, node, 0).range;
    if (node.op == Op::kLog && affine(x, node.attrs.beta, node.attrs.alpha).high < 0) { return true; }
    return std::any_of(node.inputs.begin(), node.inputs.end(),
                       [&](int input) { return values[static_cast<size_t>(input)].nan; });
  }

  Bounds sharper(const Node& node, const std::vector<Known>& values, Bounds rough) const {
    const auto x = [&] { return operand(values, node, 0).range; };
    const auto y = [&] { return operand(values, node, 1).range; };
    const Attrs& attrs = node.attrs;
    const OpKind kind = op_info(node.op).kind;
    if (kind == OpKind::kKron) { return product(x(), y()); }
    if (kind == OpKind::kWhere) { return compared(node.op, x(), y(), rough); }
    if (kind == OpKind::kProduct) {
      const Bounds term = product(x(), y());
      const double terms = cols_of_first(node, values);
      return {term.low * terms, term.high * terms};
    }
    if (node.op == Op::kMultiply) {
      const bool square = node.inputs[0] == node.inputs[1];
      const Bounds range = product(x(), y());
      return square ? Bounds{std::max(0.0, range.low), range.high} : range;
    }
    if (node.op == Op::kAbs) {
      const Bounds inside = affine(x(), attrs.beta, attrs.alpha);
      const bool around_zero = inside.low < 0 && inside.high > 0;
      return {around_zero ? 0 : std::min(std::abs(inside.low), std::abs(inside.high)), rough.high};
    }
    if (node.op == Op::kRelu) {
      if (x().low >= attrs.alpha) { return x(); }
      if (x().high < attrs.alpha) { return {attrs.beta, attrs.beta}; }
      return {std::min(attrs.beta, attrs.alpha), std::max(attrs.beta, x().high)};
    }
    if (node.op == Op::kSigmoid && attrs.beta == 0) {
      const double value = 1 / (1 + std::exp(attrs.alpha));
      return {value, value};
    }
    if (node.op == Op::kParameter || node.op == Op::kConv1d) { return weighted(node, values, rough); }
    return rough;
  }

  double cols_of_first(const Node& node, const std::vector<Known>& values) const {
    const Graph& graph = &values == &indexer_ ? program_.indexer : program_.cache;
    return graph.nodes[static_cast<size_t>(node.inputs[0])].shape.cols;
  }

  Bounds weighted(const Node& node, const std::vector<Known>& values, Bounds rough) const {
    const std::vector<float>& data = program_.constants[static_cast<size_t>(node.attrs.constant)].data;
    if (data.empty()) { return rough; }
    if (node.op == Op::kParameter) {
      const auto [low, high] = std::minmax_element(data.begin(), data.end());
      return {*low, *high};
    }
    double sum = 0;
    for (const float weight : data) { sum += std::abs(static_cast<double>(weight)); }
    const double most = sum * operand(values, node, 0).range.magnitude();
    return {-most, most};
  }

  // 0 where the comparison always holds, -1e30 where it never does.
  static Bounds compared(Op op, Bounds x, Bounds y, Bounds rough) {
    const Bounds always = {rough.high, rough.high};
    const Bounds never = {rough.low, rough.low};
    const bool apart = x.high < y.low || y.high < x.low;
    if (op == Op::kWhereEqual) { return apart ? never : rough; }
    if (op == Op::kWhereNotEqual) { return apart ? always : rough; }
    const bool less = op == Op::kWhereLess || op == Op::kWhereLessEqual;
    const Bounds& small = less ? x : y;
    const Bounds& large = less ? y : x;
    const bool or_equal = op == Op::kWhereLessEqual || op == Op::kWhereGreaterEqual;
    if (or_equal ? small.high <= large.low : small.high < large.low) { return always; }
    if (or_equal ? small.low > large.high : small.low >= large.high) { return never; }
    return rough;
  }

  Known depends(const Node& node, const std::vector<Known>& values) {
    Known value;
    if (node.op == Op::kQuery) { value.query = true; }
    if (node.op == Op::kField || node.op == Op::kLoad) {
      const bool builtin = program_.fields[static_cast<size_t>(node.attrs.field)].builtin;
      value = field(node);
      value.page = value.page || builtin || stored(node.attrs.field);
    }
    if (node.op == Op::kMaskSlice) { return value; }
    bool by_page = false;
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      const Known& input = operand(values, node, i);
      // An operand that is taken no times.
      if (node.op == Op::kAdd && (i == 0 ? node.attrs.alpha : node.attrs.beta) == 0) { continue; }
      value.query = value.query || input.query;
      value.page = value.page || input.page;
      by_page = by_page || input.query_by_page;
    }
    if (op_info(node.op).tells_pages_apart) { value.page = true; }
    // Sums keep apart what the query adds and what the page adds.
    const bool joins = !is_sum(node.op) && !node.inputs.empty();
    value.query_by_page = value.query_by_page || by_page || (joins && value.query && value.page);
    return value;
  }

  static bool is_sum(Op op) {
    return op == Op::kAdd || op == Op::kAddMul || op == Op::kMean || op == Op::kSum || op == Op::kTranspose ||
           op == Op::kReshape || op == Op::kSoftmax || op == Op::kSave || op == Op::kMeanInterleave;
  }

  bool stored(int index) const {
    return std::any_of(program_.cache.nodes.begin(), program_.cache.nodes.end(),
                       [&](const Node& node) { return node.op == Op::kStore && node.attrs.field == index; });
  }

  const Program& program_;
  std::vector<Known> fields_;
  std::vector<Known> cache_;
  std::vector<Known> indexer_;
};

// Does the operation keep the order of its scores, so that selecting after it selects the same pages?
bool keeps_order(const Graph& graph, const Node& node) {
  const auto fixed = [&](size_t operand) {
    return operand < node.inputs.size() &&
           graph.nodes[static_cast<size_t>(node.inputs[operand])].format == Format::kBatched;
  };
  const OpInfo& info = op_info(node.op);
  return info.keeps_order != nullptr && info.keeps_order(node.attrs, fixed(0), fixed(1));
}

// Logarithms of what can be below zero: NaN there.
void check_logarithms(const Graph& graph, const std::vector<Known>& values, const std::vector<Span>& spans,
                      Reporter& module) {
  for (size_t i = 0; i < graph.nodes.size(); ++i) {
    const Node& node = graph.nodes[i];
    if (node.op != Op::kLog) { continue; }
    const Known& x = values[static_cast<size_t>(node.inputs[0])];
    if (x.nan || affine(x.range, node.attrs.beta, node.attrs.alpha).low >= 0) { continue; }
    module.warn(spans[i], {"log-of-negative",
                           std::string(values[i].nan ? "this Log only ever" : "this Log also") +
                               " gets numbers below 0, of which it makes NaN",
                           "", "take Abs or Exp first, or add enough: Log(beta=1.0, alpha=...)"});
  }
}

void check_score(const CheckInput& input, const Known& score, Span span) {
  Reporter& module = input.module;
  if (score.nan) {
    module.warn(span, {"score-nan", "this score is NaN for every page, so the selection is arbitrary", "",
                       "the warning at Log says where it comes from"});
  } else if (score.can_be_nan) {
    module.warn(span, {"nan-order", "this score can be NaN: vortex_torch selects such pages first, this runtime last",
                       "", "the warning at Log says where it comes from"});
  } else if (!score.page) {
    const std::string value = score.constant() ? ": it is always " + format_number(score.range.low) : "";
    module.warn(span, {"score-same-for-all-pages",
                       "this score cannot differ between pages" + value + ", so the selection is arbitrary", "",
                       "use a field that forward_cache writes"});
  } else if (!score.query) {
    module.warn(span, {"score-ignores-query",
                       "this score cannot depend on the query: the same pages are selected for every token", "",
                       "combine a field with q, e.g. GeMM()(q_mean, cache[\"field\"], ctx=ctx)"});
  } else if (!score.query_by_page) {
    module.warn(span, {"score-ignores-query",
                       "the query adds the same to this score for every page, so the same pages are selected for every "
                       "token",
                       "", "multiply a field with q, e.g. GeMM()(q_mean, cache[\"field\"], ctx=ctx)"});
  }
}

}  // namespace

void check_scores(const CheckInput& input) {
  const Program& program = input.trace.program;
  const Graph& graph = program.indexer;
  const Ranges ranges(program);
  const std::vector<Known>& values = ranges.indexer();
  check_logarithms(program.cache, ranges.cache(), input.trace.spans.cache, input.module);
  check_logarithms(graph, values, input.trace.spans.indexer, input.module);
  std::vector<int> consumers(graph.nodes.size());
  for (const Node& node : graph.nodes) {
    for (int operand : node.inputs) { ++consumers[static_cast<size_t>(operand)]; }
  }
  for (size_t i = 0; i < graph.nodes.size(); ++i) {
    const Node& node = graph.nodes[i];
    if (!chooses_pages(node.op) || node.op == Op::kUnion) { continue; }
    const auto score = static_cast<size_t>(node.inputs[0]);
    check_score(input, values[score], input.trace.spans.indexer[i]);
    if (keeps_order(graph, graph.nodes[score]) && consumers[score] == 1) {
      const std::string name(op_info(graph.nodes[score].op).name);
      input.module.warn(
          input.trace.spans.indexer[score],
          {"order-unchanged",
           "this " + name + " does not change the order of the scores, so the same pages are selected without it", "",
           "remove it, or apply it before a reduction over heads or sub-blocks"});
    }
  }
}

}  // namespace vortex::vflow
