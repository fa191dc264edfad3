#include "core/vflow/vary/families.h"

#include <array>

namespace vortex::vflow {
namespace {

bool is_mla(const Sketch& sketch) { return sketch.program().dialect == Dialect::kMla; }
std::string keys(const Sketch& sketch) { return is_mla(sketch) ? "latent" : "k"; }
std::string values(const Sketch& sketch) { return is_mla(sketch) ? "latent" : "v"; }

int mean_query(Sketch& s) { return s.indexer(Op::kMean, {s.query()}, attrs_dim(Op::kMean, 1)); }

// A field with a reduction of the keys over the tokens of the page.
std::string key_summary(Sketch& s, Op op, const std::string& name) {
  return s.store(name, s.cache(op, {s.cache_field(keys(s))}, attrs_dim(op, 1)));
}

// A field with a reduction over every `length` consecutive tokens.
std::string sub_block_summary(Sketch& s, Op op, const std::string& name, int length) {
  Attrs attrs = attrs_dim(op, 1);
  attrs.k = length;
  return s.store(name, s.cache(op, {s.cache_field(keys(s))}, attrs));
}

int sub_block_length(const Sketch& s, Rng& rng) {
  const int block = s.program().geometry.block_size;
  const int parts = 2 << rng.below(3);
  return block % parts == 0 && block > parts ? block / parts : -1;
}

// q . mean(k) with the query averaged over its heads: block top-k of arXiv:2606.06453.
int centroid(Sketch& s, Rng&) {
  const std::string field = key_summary(s, Op::kMean, "centroid");
  return s.indexer(Op::kGemm, {mean_query(s), s.indexer_field(field)});
}

// max over heads of q_h . mean(k).
int head_max_centroid(Sketch& s, Rng&) {
  const std::string field = key_summary(s, Op::kMean, "centroid");
  return reduce_to_score(s, s.indexer(Op::kGemm, {s.query(), s.indexer_field(field)}), Op::kMax);
}

// max over heads of softmax over pages of q_h . mean(k).
int head_softmax_centroid(Sketch& s, Rng& rng) {
  const std::string field = key_summary(s, Op::kMean, "centroid");
  Attrs attrs = default_attrs(Op::kSoftmax);
  attrs.scale = pick(rng, {0.09, 0.0625, 0.125, 0.25});
  const int dots = s.indexer(Op::kGemm, {s.query(), s.indexer_field(field)});
  return reduce_to_score(s, s.indexer(Op::kSoftmax, {dots}, attrs), rng.below(3) == 0 ? Op::kMean : Op::kMax);
}

// sum_d max(q M, q m) over given bounds fields; the upper bound on q . k of Quest (arXiv:2406.10774).
int upper_bound(Sketch& s, int query, const std::string& high, const std::string& low) {
  const int above = s.indexer(Op::kMultiply, {query, s.indexer_field(high)});
  const int below = s.indexer(Op::kMultiply, {query, s.indexer_field(low)});
  const int bound = s.indexer(Op::kMaximum, {above, below});
  return s.indexer(Op::kSum, {bound}, attrs_dim(Op::kSum, 2));
}

int quest(Sketch& s, Rng& rng) {
  const std::string high = key_summary(s, Op::kMax, "k_max");
  const std::string low = key_summary(s, Op::kMin, "k_min");
  if (rng.below(3) == 0) { return upper_bound(s, mean_query(s), high, low); }
  return reduce_to_score(s, upper_bound(s, s.query(), high, low), Op::kMax);
}

// The largest of the sub-blocks' centroid scores (LServe, arXiv:2502.14866), mostly head by head: averaged heads lose
// needles that one head finds (docs/benchmarks/selection.md).
int sub_block_centroid(Sketch& s, Rng& rng) {
  const int length = sub_block_length(s, rng);
  if (length < 0) { return -1; }
  const std::string field = sub_block_summary(s, Op::kMeanInterleave, "sub_centroid", length);
  const int query = rng.below(4) == 0 ? mean_query(s) : s.query();
  return reduce_to_score(s, s.indexer(Op::kGemm, {query, s.indexer_field(field)}), Op::kMax);
}

// Quest's bound for every sub-block, largest over heads and sub-blocks.
int sub_block_quest(Sketch& s, Rng& rng) {
  const int length = sub_block_length(s, rng);
  if (length < 0) { return -1; }
  const std::string high = sub_block_summary(s, Op::kMaxInterleave, "sub_max", length);
  const std::string low = sub_block_summary(s, Op::kMinInterleave, "sub_min", length);
  Attrs rows = default_attrs(Op::kKron);
  rows.kron_axes = 1;
  const int above = s.indexer(Op::kKron, {s.query(), s.indexer_field(high)}, rows);
  const int below = s.indexer(Op::kKron, {s.query(), s.indexer_field(low)}, rows);
  const int bound = s.indexer(Op::kMaximum, {above, below});
  return reduce_to_score(s, s.indexer(Op::kSum, {bound}, attrs_dim(Op::kSum, 2)), Op::kMax);
}

// The centroid score times how much the page's values weigh on average.
int value_gated(Sketch& s, Rng& rng) {
  const int score = rng.below(2) == 0 ? centroid(s, rng) : head_softmax_centroid(s, rng);
  const int norms = s.cache(Op::kL2Norm, {s.cache_field(values(s))}, attrs_dim(Op::kL2Norm, 2));
  const Op over_tokens = rng.below(2) == 0 ? Op::kMean : Op::kMax;
  const std::string field = s.store("value_norm", s.cache(over_tokens, {norms}, attrs_dim(over_tokens, 1)));
  return s.indexer(Op::kMultiply, {score, s.indexer_field(field)});
}

// r <- decay r + score, kept in the cache over decode steps.
int running_average(Sketch& s, Rng& rng) {
  const int score = rng.below(2) == 0 ? centroid(s, rng) : head_softmax_centroid(s, rng);
  const std::string field = s.fill("running", {1, 1}, 0);
  const int total =
      s.indexer(Op::kAdd, {s.load(field), score}, attrs_affine(Op::kAdd, pick(rng, {0.25, 0.5, 0.75, 0.9}), 1));
  s.save(total, field);
  return total;
}

// q . mean(k) + w |q| . (max(k) - min(k)): the mean raised by how far keys of the page may stray from it.
int centroid_and_spread(Sketch& s, Rng& rng) {
  const std::string centre = key_summary(s, Op::kMean, "centroid");
  const int key = s.cache_field(keys(s));
  const int high = s.cache(Op::kMax, {key}, attrs_dim(Op::kMax, 1));
  const int low = s.cache(Op::kMin, {key}, attrs_dim(Op::kMin, 1));
  const std::string spread = s.store("spread", s.cache(Op::kAdd, {high, low}, attrs_affine(Op::kAdd, 1, -1)));
  const int size = s.indexer(Op::kAbs, {s.query()});
  const int near = s.indexer(Op::kGemm, {s.query(), s.indexer_field(centre)});
  const int far = s.indexer(Op::kGemm, {size, s.indexer_field(spread)});
  const int total = s.indexer(Op::kAdd, {near, far}, attrs_affine(Op::kAdd, 1, pick(rng, {0.125, 0.25, 0.5})));
  return reduce_to_score(s, total, rng.below(2) == 0 ? Op::kMax : Op::kMean);
}

// The centroid score in units of the centroid's own length, raised by how long keys of the page are.
int key_norm_weighted(Sketch& s, Rng& rng) {
  const int score = head_max_centroid(s, rng);
  const int norms = s.cache(Op::kL2Norm, {s.cache_field(keys(s))}, attrs_dim(Op::kL2Norm, 2));
  const std::string field = s.store("key_norm", s.cache(Op::kMax, {norms}, attrs_dim(Op::kMax, 1)));
  return s.indexer(Op::kAdd, {score, s.indexer_field(field)},
                   attrs_affine(Op::kAdd, 1, pick(rng, {-0.25, 0.25, 0.5, 1})));
}

// The centroid score smoothed over the page before.
int smoothed_centroid(Sketch& s, Rng& rng) {
  const int score = head_max_centroid(s, rng);
  const float own = static_cast<float>(pick(rng, {0.5, 0.75, 0.875}));
  Attrs attrs;
  attrs.constant = s.constant({{2, 1, 1}, {own, 1 - own}, {}});
  return s.indexer(Op::kConv1d, {score}, attrs);
}

// max over heads and tokens of q_h . k: the best single key, at the price of reading all of them.
int best_token(Sketch& s, Rng&) {
  return reduce_to_score(s, s.indexer(Op::kGemm, {s.query(), s.indexer_field(keys(s))}), Op::kMax);
}

constexpr std::array kFamilies = {
    Family{"centroid", "mean query times mean key", 10, centroid},
    Family{"head-max centroid", "best head's product with the mean key", 10, head_max_centroid},
    Family{"head-softmax centroid", "best head's softmax over pages of its product with the mean key", 10,
           head_softmax_centroid},
    Family{"Quest", "upper bound of q . k from per-channel maxima and minima", 10, quest},
    Family{"sub-block centroid", "best of the sub-blocks' mean keys", 10, sub_block_centroid},
    Family{"sub-block Quest", "best of the sub-blocks' upper bounds", 6, sub_block_quest},
    Family{"value-gated", "centroid score times the size of the values", 6, value_gated},
    Family{"running average", "score accumulated over decode steps", 5, running_average},
    Family{"centroid and spread", "mean key plus a share of the keys' spread", 8, centroid_and_spread},
    Family{"key-norm weighted", "centroid score plus a share of the longest key", 4, key_norm_weighted},
    Family{"smoothed centroid", "centroid score mixed with the page before", 4, smoothed_centroid},
    Family{"best token", "best single key of the page", 1, best_token},
};

}  // namespace

std::span<const Family> score_families() { return kFamilies; }

const Family& pick_family(Rng& rng) {
  double total = 0;
  for (const Family& family : kFamilies) { total += family.weight; }
  double at = rng.uniform() * total;
  for (const Family& family : kFamilies) {
    at -= family.weight;
    if (at < 0) { return family; }
  }
  return kFamilies.front();
}

double pick(Rng& rng, std::initializer_list<double> values) { return values.begin()[rng.below(values.size())]; }

int reduce_to_score(Sketch& sketch, int value, Op reduction) {
  for (int dim : {1, 2}) {
    if (sketch.failed() || value < 0) { return -1; }
    const Shape shape = sketch.indexer_node(value).shape;
    if ((dim == 1 ? shape.rows : shape.cols) > 1) {
      value = sketch.indexer(reduction, {value}, attrs_dim(reduction, dim));
    }
  }
  return value;
}

void select_top(Sketch& sketch, int score) { sketch.indexer(Op::kTopK, {score}); }

void select_approximately(Sketch& sketch, int score, double tolerance) {
  Attrs attrs = default_attrs(Op::kApproxTopK);
  attrs.tolerance = tolerance;
  sketch.indexer(Op::kApproxTopK, {score}, attrs);
}

Result<Program> family_program(const Family& family, Dialect dialect, const Geometry& geometry, Rng& rng) {
  Sketch sketch(empty_program(dialect, geometry));
  const int score = family.score(sketch, rng);
  select_top(sketch, score);
  if (sketch.failed()) {
    return candidate_error(std::string(family.name) + " does not fit blocks of " + std::to_string(geometry.block_size));
  }
  return sketch.program();
}

}  // namespace vortex::vflow
