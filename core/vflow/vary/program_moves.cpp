#include "core/vflow/vary/program_moves.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "base/text.h"
#include "core/vflow/graph/prune.h"
#include "core/vflow/graph/ranges.h"
#include "core/vflow/vary/families.h"

namespace vortex::vflow {
namespace {

using Done = std::optional<std::string>;

struct Place {
  Side side;
  int node;
  size_t detail = 0;  // which operand or argument
};

Graph& graph_of(Program& program, Side side) { return side == Side::kCache ? program.cache : program.indexer; }
Node& node_of(Program& program, const Place& place) {
  return graph_of(program, place.side).nodes[static_cast<size_t>(place.node)];
}
std::string where(Side side) { return side == Side::kCache ? " in the cache program" : " in the indexer"; }
std::string name_of(Op op) {
  if (op == Op::kQuery) { return "q"; }
  if (op == Op::kField) { return "a field"; }
  return std::string(op_info(op).name);
}

// All places for which `count(side, node)` gives how many details there are.
template <typename Count>
std::vector<Place> places(const Program& program, const Count& count) {
  std::vector<Place> result;
  for (Side side : {Side::kCache, Side::kIndexer}) {
    const std::vector<Node>& nodes = (side == Side::kCache ? program.cache : program.indexer).nodes;
    for (size_t i = 0; i < nodes.size(); ++i) {
      const size_t details = count(side, nodes[i]);
      for (size_t d = 0; d < details; ++d) { result.push_back({side, static_cast<int>(i), d}); }
    }
  }
  return result;
}

// Another member of the first group that holds `op`, possible on that side; `op` itself if there is none.
template <size_t N>
Op relative(Op op, Side side, const std::array<std::span<const Op>, N>& groups, Rng& rng) {
  for (std::span<const Op> group : groups) {
    if (std::find(group.begin(), group.end(), op) == group.end()) { continue; }
    std::vector<Op> others;
    for (Op other : group) {
      const OpInfo& info = op_info(other);
      if (other != op && (side == Side::kCache ? info.on_cache : info.on_indexer)) { others.push_back(other); }
    }
    if (!others.empty()) { return others[rng.below(others.size())]; }
  }
  return op;
}

Done replace_by_relative(Program& program, Rng& rng, std::span<const Op> first, std::span<const Op> second) {
  const std::array groups = {first, second};
  const auto member = [&](Side, const Node& node) -> size_t {
    return std::any_of(groups.begin(), groups.end(), [&](std::span<const Op> group) {
      return std::find(group.begin(), group.end(), node.op) != group.end();
    });
  };
  const std::vector<Place> found = places(program, member);
  if (found.empty()) { return std::nullopt; }
  const Place place = found[rng.below(found.size())];
  Node& node = node_of(program, place);
  const Op before = node.op;
  node.op = relative(before, place.side, groups, rng);
  if (node.op == before) { return std::nullopt; }
  return "replace " + name_of(before) + " by " + name_of(node.op) + where(place.side);
}

// The operations of a kind that can stand for one another: `first` in this order, on which recorded searches rest, then
// every other one of the table that needs no constant.
std::vector<Op> relatives(OpKind kind, std::initializer_list<Op> first) {
  std::vector<Op> ops = first;
  for (const OpInfo& info : op_table()) {
    const bool listed = std::find(ops.begin(), ops.end(), info.op) != ops.end();
    if (info.kind == kind && !listed && !takes(info, Arg::kWeight)) { ops.push_back(info.op); }
  }
  return ops;
}

Done swap_reduction(Program& program, Rng& rng) {
  static const std::vector<Op> reductions =
      relatives(OpKind::kReduction, {Op::kMean, Op::kMax, Op::kMin, Op::kL2Norm, Op::kSum});
  static const std::vector<Op> interleaved = relatives(OpKind::kInterleave, {});
  return replace_by_relative(program, rng, reductions, interleaved);
}

Done swap_binary(Program& program, Rng& rng) {
  static const std::vector<Op> binary = relatives(OpKind::kBinary, {});
  static const std::vector<Op> pages = relatives(OpKind::kOverPages, {});
  const Done done = replace_by_relative(program, rng, binary, pages);
  for (Graph* graph : {&program.cache, &program.indexer}) {
    for (Node& node : graph->nodes) {
      if (node.op == Op::kAdd && node.attrs.alpha == 0 && node.attrs.beta == 0) {
        node.attrs.alpha = node.attrs.beta = 1;
      }
    }
  }
  return done;
}

// An operation of one operand with the numbers that it is inserted with.
struct Insertion {
  Op op;
  double alpha;
  double beta;
};

// Those that recorded searches rest on, in their order, then every other one of the table that is safe on any operand,
// with the first numbers that the generator draws for it.
std::vector<Insertion> insertions() {
  std::vector<Insertion> all = {{Op::kAbs, 0, 1},        {Op::kRelu, 0, 0},     {Op::kSigmoid, 0, -1},
                                {Op::kSilu, 0, -1},      {Op::kExp, 0, 0.0625}, {Op::kSigmoid, 0, -0.125},
                                {Op::kAddMul, 1, 0.0625}};
  for (const OpInfo& info : op_table()) {
    const bool listed =
        std::any_of(all.begin(), all.end(), [&](const Insertion& insertion) { return insertion.op == info.op; });
    if (info.kind != OpKind::kUnary || listed || info.tame_operands) { continue; }
    Attrs attrs = default_attrs(info.op);
    for (const Draw& draw : info.draws) { set_arg(attrs, draw.arg, draw.values[0]); }
    all.push_back({info.op, attrs.alpha, attrs.beta});
  }
  return all;
}

Done insert_elementwise(Program& program, Rng& rng) {
  static const std::vector<Insertion> choices = insertions();
  const auto edges = [](Side, const Node& node) -> size_t {
    const bool fixed = is_terminal(node.op) || node.op == Op::kTopKTable || node.op == Op::kSave;
    return fixed ? 0 : node.inputs.size();
  };
  const std::vector<Place> found = places(program, edges);
  if (found.empty()) { return std::nullopt; }
  const Place place = found[rng.below(found.size())];
  const Insertion choice = choices[rng.below(choices.size())];
  Graph& graph = graph_of(program, place.side);
  const Node& consumer = graph.nodes[static_cast<size_t>(place.node)];
  const Op source = graph.nodes[static_cast<size_t>(consumer.inputs[place.detail])].op;
  if (source == Op::kParameter) { return std::nullopt; }
  const std::string target = consumer.op == Op::kStore ? "a field's writer" : name_of(consumer.op);
  insert_before(graph, place.node, place.detail, choice.op, attrs_affine(choice.op, choice.alpha, choice.beta));
  return "insert " + name_of(choice.op) + " between " + name_of(source) + " and " + target + where(place.side);
}

Done remove_node(Program& program, Rng& rng) {
  const auto removable = [](Side, const Node& node) -> size_t {
    const Reach reach = op_info(node.op).reach;
    const bool stays =
        reach == Reach::kLeaf || reach == Reach::kRoot || node.op == Op::kTopKTable || node.op == Op::kGemm;
    return stays ? 0 : node.inputs.size();
  };
  const std::vector<Place> found = places(program, removable);
  if (found.empty()) { return std::nullopt; }
  const Place place = found[rng.below(found.size())];
  const std::string text = "remove " + name_of(node_of(program, place).op) + where(place.side);
  bypass(graph_of(program, place.side), place.node, place.detail);
  return text;
}

// A number near `value`; zero moves to a small step.
double nearby(double value, Rng& rng) {
  if (value == 0) { return pick(rng, {-1, -0.5, 0.25, 0.5, 1}); }
  if (rng.below(8) == 0) { return -value; }
  return nice(value * pick(rng, {0.25, 0.5, 0.75, 1.25, 1.5, 2, 4}));
}

double changed_argument(const Node& node, Arg arg, double value, Rng& rng) {
  switch (arg) {
    case Arg::kTolerance:
      return pick(rng, {0, 0.05, 0.1, 0.15, 0.25, 0.5});
    case Arg::kInterleave:
      return rng.below(2) == 0 ? value * 2 : std::max(1.0, std::floor(value / 2));
    case Arg::kCount:
      return std::max(1.0, std::round(value * pick(rng, {0.5, 0.75, 1.25, 1.5, 2})));
    case Arg::kStart:
      return rng.between(0, node.attrs.end);
    case Arg::kEnd: {
      const Shape shape = node.shape;
      return rng.between(node.attrs.start, node.attrs.dim == 1 ? shape.rows : shape.cols);
    }
    case Arg::kDim:
      return op_info(node.op).reach == Reach::kRow ? value : rng.between(1, 2);
    case Arg::kAlpha:
    case Arg::kBeta:
    case Arg::kScale:
      return nearby(value, rng);
    case Arg::kKronAxes:
    case Arg::kLeading:
    case Arg::kRows:
    case Arg::kCols:
    case Arg::kWeight:
    case Arg::kValue:
    case Arg::kLayerLookup:
    case Arg::kDtype:
    case Arg::kDevice:
      break;  // not tunable, or changed elsewhere
  }
  return value;
}

bool tunable(const OpInfo& info, Arg arg) {
  switch (arg) {
    case Arg::kAlpha:
    case Arg::kBeta:
      return info.uses_alpha_beta;
    case Arg::kScale:
    case Arg::kTolerance:
    case Arg::kInterleave:
    case Arg::kCount:
    case Arg::kStart:
    case Arg::kEnd:
    case Arg::kWeight:
      return true;
    case Arg::kDim:
      return info.reach == Reach::kPage;
    case Arg::kKronAxes:
    case Arg::kLeading:
    case Arg::kRows:
    case Arg::kCols:
    case Arg::kValue:
    case Arg::kLayerLookup:
    case Arg::kDtype:
    case Arg::kDevice:
      return false;
  }
  return false;
}

Done change_filter(Program& program, Node& node, Rng& rng) {
  Constant filter = program.constants[static_cast<size_t>(node.attrs.constant)];
  const size_t at = rng.below(filter.data.size());
  const float before = filter.data[at];
  filter.data[at] = static_cast<float>(nearby(static_cast<double>(before), rng));
  const float after = filter.data[at];
  node.attrs.constant = static_cast<int>(program.constants.size());
  program.constants.push_back(std::move(filter));
  return "Conv1d weight " + format_number(static_cast<double>(before)) + " -> " +
         format_number(static_cast<double>(after));
}

Done change_constant(Program& program, Rng& rng) {
  const auto arguments = [](Side, const Node& node) { return op_info(node.op).args.size(); };
  std::vector<Place> found = places(program, arguments);
  std::erase_if(found, [&](const Place& place) {
    const OpInfo& info = op_info(node_of(program, place).op);
    return !tunable(info, info.args[place.detail].arg);
  });
  if (found.empty()) { return std::nullopt; }
  const Place place = found[rng.below(found.size())];
  Node& node = node_of(program, place);
  const ArgInfo& arg = op_info(node.op).args[place.detail];
  if (arg.arg == Arg::kWeight) { return change_filter(program, node, rng); }
  const double before = get_arg(node.attrs, arg.arg);
  const double after = changed_argument(node, arg.arg, before, rng);
  if (after == before) { return std::nullopt; }
  set_arg(node.attrs, arg.arg, after);
  return name_of(node.op) + " " + std::string(arg.name) + " " + format_number(before) + " -> " + format_number(after) +
         where(place.side);
}

Done toggle_exactness(Program& program, Rng& rng) {
  for (Node& node : program.indexer.nodes) {
    if (node.op == Op::kTopK) {
      node.op = Op::kApproxTopK;
      node.attrs.tolerance = pick(rng, {0.05, 0.1, 0.15, 0.25});
      return "approxTopK(" + format_number(node.attrs.tolerance) + ") instead of topK";
    }
    if (node.op == Op::kApproxTopK) {
      node.op = Op::kTopK;
      node.attrs.tolerance = 0;
      return "topK instead of approxTopK";
    }
  }
  return std::nullopt;
}

// Work on the scores themselves: the selection is taken off, `edit` gets the sketch and the selection, and the
// selection is put back.
template <typename Edit>
Done edit_scores(Program& program, const Edit& edit) {
  Program open = program;
  Selection selection = take_selection(open);
  Sketch sketch(std::move(open));
  Done text = edit(sketch, selection);
  if (!text) { return std::nullopt; }
  append_selection(sketch, selection);
  if (sketch.failed()) { return std::nullopt; }
  program = sketch.program();
  return text;
}

Done swap_family(Program& program, Rng& rng) {
  const Family& family = pick_family(rng);
  Result<Program> fresh = family_program(family, program.dialect, program.geometry, rng);
  if (!fresh.ok()) { return std::nullopt; }
  fresh->name = program.name;
  program = std::move(*fresh);
  return "score by " + std::string(family.name) + " (" + std::string(family.idea) + ")";
}

Done blend_family(Program& program, Rng& rng) {
  const Family& family = pick_family(rng);
  return edit_scores(program, [&](Sketch& sketch, Selection& selection) -> Done {
    const int other = family.score(sketch, rng);
    const double share = pick(rng, {0.125, 0.25, 0.5});
    const bool normalise = rng.below(2) == 0;
    const Op join = rng.below(4) == 0 ? Op::kMaximum : Op::kAdd;
    selection.scores[0] = add_score(sketch, selection.scores[0], other, join, share, normalise);
    return "blend in " + std::string(family.name) + (join == Op::kAdd ? " at " + format_number(share) : " by Maximum") +
           (normalise ? ", both normalised" : "");
  });
}

Done wrap_score(Program& program, Rng& rng) {
  const uint64_t choice = rng.below(3);
  return edit_scores(program, [&](Sketch& sketch, Selection& selection) -> Done {
    int& score = selection.scores[rng.below(selection.scores.size())];
    if (choice == 0) {
      const std::string field = sketch.fill("running", {1, 1}, 0);
      const double decay = pick(rng, {0.25, 0.5, 0.75, 0.9});
      score = sketch.indexer(Op::kAdd, {sketch.load(field), score}, attrs_affine(Op::kAdd, decay, 1));
      sketch.save(score, field);
      return "accumulate the score over steps, decay " + format_number(decay);
    }
    if (choice == 1) {
      const float own = static_cast<float>(pick(rng, {0.5, 0.75, 0.875}));
      Attrs attrs;
      attrs.constant = sketch.constant({{2, 1, 1}, {own, 1 - own}, {}});
      score = sketch.indexer(Op::kConv1d, {score}, attrs);
      return "smooth the score over the page before, own share " + format_number(static_cast<double>(own));
    }
    const bool mla = sketch.program().dialect == Dialect::kMla;
    const int value = sketch.cache_field(mla ? "latent" : "v");
    const int norms = sketch.cache(Op::kL2Norm, {value}, attrs_dim(Op::kL2Norm, 2));
    const std::string field = sketch.store("value_norm", sketch.cache(Op::kMean, {norms}, attrs_dim(Op::kMean, 1)));
    score = sketch.indexer(Op::kMultiply, {score, sketch.indexer_field(field)});
    return "weigh the score by the size of the page's values";
  });
}

// max over heads of x -> max over heads of softmax over pages of x.
Done softmax_heads(Program& program, Rng& rng) {
  const auto reduces_heads = [&](Side side, const Node& node) -> size_t {
    const bool reduction = node.op == Op::kMax || node.op == Op::kMean || node.op == Op::kSum;
    return side == Side::kIndexer && reduction && node.format == Format::kRagged && node.attrs.dim != 0;
  };
  const std::vector<Place> found = places(program, reduces_heads);
  if (found.empty()) { return std::nullopt; }
  const Place place = found[rng.below(found.size())];
  Attrs attrs = default_attrs(Op::kSoftmax);
  attrs.scale = pick(rng, {0.0625, 0.09, 0.125, 0.25});
  insert_before(program.indexer, place.node, 0, Op::kSoftmax, attrs);
  return "softmax over pages before the " + name_of(program.indexer.nodes[static_cast<size_t>(place.node) + 1].op) +
         ", scale " + format_number(attrs.scale);
}

// Averages the query over its heads where each head was scored, or the other way round.
Done toggle_query_mean(Program& program, Rng& rng) {
  std::vector<Node>& nodes = program.indexer.nodes;
  for (size_t i = 0; i < nodes.size(); ++i) {
    const bool averages = nodes[i].op == Op::kMean && nodes[i].attrs.dim == 1 &&
                          nodes[static_cast<size_t>(nodes[i].inputs[0])].op == Op::kQuery;
    if (!averages) { continue; }
    bypass(program.indexer, static_cast<int>(i), 0);
    return "score every head of the query instead of their mean";
  }
  const auto reads_query = [&](Side side, const Node& node) -> size_t {
    if (side != Side::kIndexer || node.inputs.empty()) { return 0; }
    return nodes[static_cast<size_t>(node.inputs[0])].op == Op::kQuery;
  };
  const std::vector<Place> found = places(program, reads_query);
  if (found.empty()) { return std::nullopt; }
  const Place place = found[rng.below(found.size())];
  insert_before(program.indexer, place.node, 0, Op::kMean, attrs_dim(Op::kMean, 1));
  return "average the query over its heads before " + name_of(nodes[static_cast<size_t>(place.node) + 1].op);
}

// Two half-size selections joined, or one of the two alone.
Done toggle_union(Program& program, Rng& rng) {
  const Family& family = pick_family(rng);
  return edit_scores(program, [&](Sketch& sketch, Selection& selection) -> Done {
    if (selection.op == Op::kUnion) {
      selection.scores = {selection.scores[rng.below(2)]};
      selection.op = Op::kTopK;
      return "one of the two selections alone";
    }
    selection.op = Op::kUnion;
    selection.scores.push_back(family.score(sketch, rng));
    const int k = rng.between(6, 16);
    selection.table_sizes = {k, k};
    return "union with the best " + std::to_string(k) + " pages by " + std::string(family.name);
  });
}

constexpr std::array kProgramMoves = {
    ProgramMove{"swap reduction", 12, swap_reduction}, ProgramMove{"change constant", 12, change_constant},
    ProgramMove{"swap family", 10, swap_family},       ProgramMove{"blend family", 8, blend_family},
    ProgramMove{"remove operation", 7, remove_node},   ProgramMove{"insert elementwise", 6, insert_elementwise},
    ProgramMove{"wrap score", 6, wrap_score},          ProgramMove{"toggle query mean", 5, toggle_query_mean},
    ProgramMove{"softmax heads", 5, softmax_heads},    ProgramMove{"toggle exactness", 4, toggle_exactness},
    ProgramMove{"swap binary", 4, swap_binary},        ProgramMove{"toggle union", 2, toggle_union},
};

}  // namespace

std::span<const ProgramMove> program_moves() { return kProgramMoves; }

int add_score(Sketch& sketch, int score, int other, Op join, double share, bool normalise) {
  if (normalise) {
    score = sketch.indexer(Op::kNormalize, {score});
    other = sketch.indexer(Op::kNormalize, {other});
  }
  const Attrs attrs = join == Op::kAdd ? attrs_affine(Op::kAdd, 1 - share, share) : default_attrs(join);
  return sketch.indexer(join, {score, other}, attrs);
}

Result<Program> finish_program(Program program, const Geometry& geometry) {
  program = pruned(program);
  Selection selection = take_selection(program);
  VORTEX_ASSIGN(Program traced, retraced(program, geometry));
  Sketch sketch(std::move(traced));
  for (int& score : selection.scores) { score = reduce_to_score(sketch, score, Op::kMax); }
  append_selection(sketch, selection);
  if (sketch.failed()) { return candidate_error("the edited program does not type"); }
  return merged(sketch.program());
}

}  // namespace vortex::vflow
