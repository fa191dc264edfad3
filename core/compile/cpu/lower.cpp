#include "core/compile/cpu/lower.h"

#include <algorithm>
#include <array>
#include <unordered_map>

#include "core/vflow/graph/op_table.h"

namespace vortex::compile {

using vflow::Format;
using vflow::Graph;
using vflow::Node;
using vflow::Op;
using vflow::Shape;
using vflow::Side;

namespace {

constexpr int64_t kTileFloats = 6 * 1024;  // 24 KiB: stays in the first-level cache
constexpr int kMaxTilePages = 64;
constexpr int64_t kLine = 16;  // floats

// Which kernel runs an operation. Those without one of their own are leaves, views and roots, which the lowering itself
// makes something of.
struct KernelRow {
  Op op;
  StepKind kind = StepKind::kNone;
  uint8_t code = 0;
};

constexpr KernelRow none(Op op) { return {op}; }
constexpr KernelRow kernel(Op op, StepKind kind) { return {op, kind}; }
constexpr KernelRow kernel(Op op, cpu::Binary code) { return {op, StepKind::kBinary, static_cast<uint8_t>(code)}; }
constexpr KernelRow kernel(Op op, cpu::Unary code) { return {op, StepKind::kUnary, static_cast<uint8_t>(code)}; }
constexpr KernelRow kernel(Op op, cpu::Reduction code) { return {op, StepKind::kReduce, static_cast<uint8_t>(code)}; }
constexpr KernelRow kernel(Op op, cpu::PageTransform code) {
  return {op, StepKind::kTransformPages, static_cast<uint8_t>(code)};
}

constexpr std::array kKernels = {
    none(Op::kQuery),
    none(Op::kField),
    none(Op::kParameter),
    kernel(Op::kGemm, StepKind::kGemm),
    kernel(Op::kGemv, StepKind::kGemm),
    kernel(Op::kKron, StepKind::kKron),
    kernel(Op::kMean, cpu::Reduction::kMean),
    kernel(Op::kMax, cpu::Reduction::kMax),
    kernel(Op::kMin, cpu::Reduction::kMin),
    kernel(Op::kSum, cpu::Reduction::kSum),
    kernel(Op::kL2Norm, cpu::Reduction::kL2Norm),
    kernel(Op::kMeanInterleave, cpu::Reduction::kMean),
    kernel(Op::kMaxInterleave, cpu::Reduction::kMax),
    kernel(Op::kMinInterleave, cpu::Reduction::kMin),
    kernel(Op::kL2NormInterleave, cpu::Reduction::kL2Norm),
    kernel(Op::kSoftmax, cpu::PageTransform::kSoftmax),
    kernel(Op::kNormalize, cpu::PageTransform::kNormalize),
    kernel(Op::kConv1d, cpu::PageTransform::kConvolve),
    kernel(Op::kMultiply, cpu::Binary::kMultiply),
    kernel(Op::kAdd, cpu::Binary::kAdd),
    kernel(Op::kMaximum, cpu::Binary::kMaximum),
    kernel(Op::kMinimum, cpu::Binary::kMinimum),
    kernel(Op::kWhereEqual, cpu::Binary::kWhereEqual),
    kernel(Op::kWhereNotEqual, cpu::Binary::kWhereNotEqual),
    kernel(Op::kWhereGreater, cpu::Binary::kWhereGreater),
    kernel(Op::kWhereGreaterEqual, cpu::Binary::kWhereGreaterEqual),
    kernel(Op::kWhereLess, cpu::Binary::kWhereLess),
    kernel(Op::kWhereLessEqual, cpu::Binary::kWhereLessEqual),
    kernel(Op::kRelu, cpu::Unary::kRelu),
    kernel(Op::kSigmoid, cpu::Unary::kSigmoid),
    kernel(Op::kSilu, cpu::Unary::kSilu),
    kernel(Op::kAddMul, cpu::Unary::kAddMul),
    kernel(Op::kAbs, cpu::Unary::kAbs),
    kernel(Op::kLog, cpu::Unary::kLog),
    kernel(Op::kExp, cpu::Unary::kExp),
    kernel(Op::kTranspose, StepKind::kTranspose),
    none(Op::kReshape),
    kernel(Op::kMaskSlice, StepKind::kMask),
    none(Op::kLoad),
    none(Op::kSave),
    none(Op::kStore),
    none(Op::kFill),
    none(Op::kTopK),
    none(Op::kApproxTopK),
    none(Op::kTopKTable),
    none(Op::kUnion),
};
static_assert(vflow::has_a_row_for_every_op(kKernels),
              "an operation has no row here, or rows are not in the order of Op");

// A reduction's kernel depends on the dimension that it goes along.
StepKind step_kind(const KernelRow& row, int dim) {
  if (row.kind != StepKind::kReduce) { return row.kind; }
  return dim == 0 ? StepKind::kReducePages : dim == 1 ? StepKind::kReduceRows : StepKind::kReduceCols;
}

class Lowering {
 public:
  Lowering(const vflow::Program& program, Side side, vflow::Dtype dtype)
      : program_(program),
        side_(side),
        dtype_(dtype),
        graph_(side == Side::kCache ? program.cache : program.indexer),
        plan_(plan_stages(graph_)),
        value_(graph_.nodes.size()),
        kept_(graph_.nodes.size()),
        absorbed_(graph_.nodes.size(), false) {
    for (size_t i = 0; i < graph_.nodes.size(); ++i) {
      if (plan_.live[i]) { absorb_bound(static_cast<int>(i)); }
    }
  }

  Lowered run() {
    out_.query = allocate(Space::kBatched, {program_.geometry.group, program_.geometry.head_dim});
    for (const Stage& stage : plan_.stages) {
      out_.stages.emplace_back();
      gathered_.clear();
      for (const int index : stage.fused) {
        if (!absorbed_[static_cast<size_t>(index)]) { lower_fused(index); }
      }
      for (const int index : stage.over_rows) { lower_over_rows(index); }
    }
    lower_choosers();
    const int64_t fit = kTileFloats / std::max<int64_t>(1, out_.tile_elements);
    out_.tile_pages = static_cast<int>(std::clamp<int64_t>(fit, 1, kMaxTilePages));
    return std::move(out_);
  }

 private:
  const Node& node(int index) const { return graph_.nodes[static_cast<size_t>(index)]; }
  Place& value(int index) { return value_[static_cast<size_t>(index)]; }
  Place& kept(int index) { return kept_[static_cast<size_t>(index)]; }
  LoweredStage& stage() { return out_.stages.back(); }

  Place allocate(Space space, Shape shape) {
    int64_t& used = space == Space::kTile  ? out_.tile_elements
                    : space == Space::kRow ? out_.row_elements
                                           : out_.batched_elements;
    const Place place{space, used, shape};
    // What a tile holds starts on cache lines, whatever the number of its pages.
    used += space == Space::kTile ? (shape.size() + kLine - 1) / kLine * kLine : shape.size();
    return place;
  }

  // Where an elementwise step may leave its result: over an operand that nobody else reads, to keep tiles small.
  Place allocate_over(int index, const Step& step, Space space) {
    const bool elementwise = step.kind == StepKind::kBinary || step.kind == StepKind::kUnary;
    for (size_t i = 0; elementwise && space == Space::kTile && i < node(index).inputs.size(); ++i) {
      const Place& operand = i == 0 ? step.x : step.y;
      const bool same = operand.space == space && operand.shape.rows == node(index).shape.rows &&
                        operand.shape.cols == node(index).shape.cols;
      if (same && dies_at(index, node(index).inputs[i])) { return operand; }
    }
    return allocate(space, node(index).shape);
  }

  // Is `producer` a value of its own, inside this stage alone, that only `consumer` reads, and once?
  bool dies_at(int consumer, int producer) const {
    const auto at = static_cast<size_t>(producer);
    if (is_leaf(node(producer).op) || is_view(producer) || plan_.kept[at]) { return false; }
    int64_t reads = 0;
    for (size_t i = at + 1; i < graph_.nodes.size(); ++i) {
      const std::vector<int>& inputs = graph_.nodes[i].inputs;
      if (plan_.live[i]) { reads += std::count(inputs.begin(), inputs.end(), producer); }
    }
    return reads == 1 && !is_view(consumer);
  }

  // A sum over columns of the larger (smaller) of two products becomes one step where nobody else reads the parts.
  void absorb_bound(int index) {
    const Node& n = node(index);
    const bool sums = (n.op == Op::kSum || n.op == Op::kMean) && n.attrs.dim == 2 && n.format != Format::kBatched;
    if (!sums) { return; }
    const int bound = n.inputs[0];
    const Node& b = node(bound);
    const int cols = b.shape.cols;
    if ((b.op != Op::kMaximum && b.op != Op::kMinimum) || b.inputs[0] == b.inputs[1]) { return; }
    if (cols % n.shape.cols != 0 || cols / n.shape.cols % kLine != 0 || !dies_at(index, bound)) { return; }
    for (const int product : b.inputs) {
      const Node& p = node(product);
      const bool fits = p.op == Op::kMultiply && p.format != Format::kBatched && p.shape.cols == cols &&
                        node(p.inputs[0]).shape.cols == cols && node(p.inputs[1]).shape.cols == cols;
      if (!fits || !dies_at(bound, product)) { return; }
    }
    for (const int part : {bound, b.inputs[0], b.inputs[1]}) { absorbed_[static_cast<size_t>(part)] = true; }
  }

  // Values of all pages outlive a tile on the indexer side only: the cache side runs every stage tile by tile.
  Space kept_space(const Node& n) const {
    return n.format == Format::kBatched ? Space::kBatched : side_ == Side::kIndexer ? Space::kRow : Space::kTile;
  }

  bool read_inside_stage(int index) const {
    for (size_t i = static_cast<size_t>(index) + 1; i < graph_.nodes.size(); ++i) {
      const std::vector<int>& inputs = graph_.nodes[i].inputs;
      if (plan_.live[i] && std::find(inputs.begin(), inputs.end(), index) != inputs.end() &&
          !reads_kept(graph_, plan_, static_cast<int>(i), index)) {
        return true;
      }
    }
    return false;
  }

  void push(const Step& step) { (step.out.space == Space::kBatched ? stage().once : stage().per_tile).push_back(step); }

  Place gather(int field, Shape shape, Space space) {
    Step step;
    step.kind = StepKind::kGather;
    step.field = field;
    step.out = allocate(space, shape);
    push(step);
    return step.out;
  }

  Place read(int consumer, int input) {
    const Node& n = node(input);
    if (n.op == Op::kQuery) { return out_.query; }
    if (n.op == Op::kField) { return read_field(n.attrs.field, n.shape); }
    return reads_kept(graph_, plan_, consumer, input) ? kept(input) : value(input);
  }

  Place read_field(int field, Shape shape) {
    const auto known = gathered_.find(field);
    return known != gathered_.end() ? known->second : (gathered_[field] = gather(field, shape, Space::kTile));
  }

  Step make_step(int index) {
    const Node& n = node(index);
    const KernelRow& row = kKernels[static_cast<size_t>(n.op)];
    Step step;
    step.kind = step_kind(row, n.attrs.dim);
    step.code = row.code;
    step.attrs = n.attrs;
    step.axes = n.attrs.kron_axes;
    step.constant = n.attrs.constant;
    if (step.kind == StepKind::kReduceRows || step.kind == StepKind::kReduceCols) {
      const Shape from = node(n.inputs[0]).shape;
      step.group = n.attrs.dim == 1 ? from.rows / n.shape.rows : from.cols / n.shape.cols;
    }
    return step;
  }

  // Rounds a value to what leaves the stage; in place when nothing inside the stage reads it.
  void keep(int index) {
    const Place from = value(index);
    const bool round = kept_dtype(node(index), dtype_) == vflow::Dtype::kBf16;
    const bool in_place = from.space == kept_space(node(index)) && !read_inside_stage(index) && !is_view(index);
    kept(index) = in_place ? from : allocate(kept_space(node(index)), from.shape);
    if (round || !in_place) {
      Step step;
      step.kind = StepKind::kKeep;
      step.round = round;
      step.x = from;
      step.out = kept(index);
      push(step);
    }
  }

  void read_bound(int bound, Step& step) {
    const Node& left = node(node(bound).inputs[0]);
    const Node& right = node(node(bound).inputs[1]);
    step.kind = StepKind::kReduceBound;
    step.bound = node(bound).op == Op::kMaximum ? cpu::Binary::kMaximum : cpu::Binary::kMinimum;
    step.x = read(node(bound).inputs[0], left.inputs[0]);
    step.y = read(node(bound).inputs[0], left.inputs[1]);
    step.z = read(node(bound).inputs[1], right.inputs[0]);
    step.w = read(node(bound).inputs[1], right.inputs[1]);
  }

  bool is_view(int index) const { return node(index).op == Op::kReshape || node(index).op == Op::kLoad; }

  void lower_fused(int index) {
    const Node& n = node(index);
    if (writes_field(n.op)) {
      lower_write(index);
      return;
    }
    if (n.op == Op::kLoad) {
      value(index) = read_field(n.attrs.field, n.shape);
    } else if (n.op == Op::kReshape) {
      value(index) = read(index, n.inputs[0]);
      value(index).shape = n.shape;
    } else {
      Step step = make_step(index);
      if (absorbed_[static_cast<size_t>(n.inputs[0])]) {
        read_bound(n.inputs[0], step);
      } else {
        step.x = read(index, n.inputs[0]);
        step.y = n.inputs.size() > 1 ? read(index, n.inputs[1]) : Place{};
      }
      const bool leaves_only = plan_.kept[static_cast<size_t>(index)] && !read_inside_stage(index);
      const Space inside = n.format == Format::kBatched ? Space::kBatched : Space::kTile;
      step.out = allocate_over(index, step, leaves_only ? kept_space(n) : inside);
      value(index) = step.out;
      push(step);
    }
    if (plan_.kept[static_cast<size_t>(index)]) { keep(index); }
  }

  void lower_write(int index) {
    const Node& n = node(index);
    FieldWrite write;
    write.field = n.attrs.field;
    if (n.op == Op::kFill) {
      write.constant = static_cast<float>(n.attrs.alpha);
    } else {
      Place from = read(index, n.inputs[0]);
      if (n.op == Op::kSave && from.space == Space::kTile) {
        Step step;
        step.kind = StepKind::kKeep;  // rounded when it is stored
        step.x = from;
        step.out = from = allocate(Space::kRow, n.shape);
        push(step);
      }
      write.value = from;
    }
    out_.writes.push_back(write);
  }

  // In the order of the program, not of the stages: the first one's scores are the ones that are reported.
  void lower_choosers() {
    for (size_t i = 0; i < graph_.nodes.size(); ++i) {
      const Node& n = graph_.nodes[i];
      if (plan_.live[i] && chooses_pages(n.op) && n.op != Op::kUnion) {
        out_.choosers.push_back({kept(n.inputs[0]), n.op == Op::kTopKTable ? n.attrs.k : 0,
                                 n.op == Op::kApproxTopK ? n.attrs.tolerance : 0.0});
      }
    }
  }

  // What an operation over pages reads: a rounded value, or a leaf brought to where values of all pages live.
  Place read_over_rows(int index) {
    const int input = node(index).inputs[0];
    const Node& from = node(input);
    return from.op == Op::kField ? gather(from.attrs.field, from.shape, kept_space(from)) : read(index, input);
  }

  void lower_over_rows(int index) {
    const Node& n = node(index);
    if (chooses_pages(n.op)) { return; }
    const Place x = read_over_rows(index);
    if (n.op == Op::kReshape) {
      kept(index) = value(index) = {x.space, x.offset, n.shape};
      return;
    }
    Step step = make_step(index);
    step.x = x;
    step.out = allocate(kept_space(n), n.shape);
    step.round = kept_dtype(n, dtype_) == vflow::Dtype::kBf16;
    if (step.kind == StepKind::kGemm) {
      step.kind = StepKind::kParameterGemm;
      step.constant = node(n.inputs[1]).attrs.constant;
      step.y = allocate(Space::kBatched, x.shape);  // x in bfloat16
    }
    out_.largest_page_value = std::max(out_.largest_page_value, x.shape.size());
    kept(index) = value(index) = step.out;
    stage().over_rows.push_back(step);
  }

  const vflow::Program& program_;
  Side side_;
  vflow::Dtype dtype_;
  const Graph& graph_;
  StagePlan plan_;
  std::vector<Place> value_;    // per node, inside its stage
  std::vector<Place> kept_;     // per node, after its stage
  std::vector<bool> absorbed_;  // made inside the step of the node that reads it
  std::unordered_map<int, Place> gathered_;
  Lowered out_;
};

}  // namespace

Lowered lower(const vflow::Program& program, Side side, vflow::Dtype dtype) {
  return Lowering(program, side, dtype).run();
}

}  // namespace vortex::compile
