#include "core/compile/cuda/expressions.h"

#include <cmath>
#include <cstdio>
#include <utility>

#include "base/text.h"
#include "core/vflow/graph/op_table.h"

namespace vortex::compile {

using vflow::Dtype;
using vflow::Graph;
using vflow::Node;
using vflow::Op;
using vflow::OpKind;
using vflow::Shape;
using vflow::Side;

std::string number(int64_t x) { return std::to_string(x); }

namespace {

constexpr int kLanes = 16;

// The element (r, c) of an array of this shape, as an expression.
std::string index_of(Shape shape, const std::string& r, const std::string& c) {
  return shape.rows == 1 ? c : shape.cols == 1 ? r : r + " * " + number(shape.cols) + " + " + c;
}

bool has_lanes(Shape shape) { return shape.cols % kLanes == 0; }

std::string loop(const std::string& variable, const std::string& body) {
  return "[&](int " + variable + ") { return " + body + "; }";
}

}  // namespace

std::string float_literal(float x) {
  if (std::isnan(x)) { return "__uint_as_float(0x7fc00000U)"; }
  if (std::isinf(x)) { return x > 0 ? "__uint_as_float(0x7f800000U)" : "__uint_as_float(0xff800000U)"; }
  char text[48];
  std::snprintf(text, sizeof(text), "%.9g", static_cast<double>(x));
  std::string result = text;
  if (result.find_first_of(".e") == std::string::npos) { result += ".0"; }
  return result + "F";
}

std::string type_name(Dtype type) {
  switch (type) {
    case Dtype::kFp32:
      return "fp32";
    case Dtype::kFp8E4m3:
      return "e4m3";
    case Dtype::kFp8E5m2:
      return "e5m2";
    case Dtype::kBf16:
    case Dtype::kFp16:
      break;
  }
  return "bf16";
}

std::string shape_comment(Shape shape) { return "[" + number(shape.rows) + ", " + number(shape.cols) + "]"; }

bool is_elementwise(Op op) {
  const OpKind kind = vflow::op_info(op).kind;
  return kind == OpKind::kBinary || kind == OpKind::kWhere || kind == OpKind::kUnary;
}

std::string Expressions::Source::at_element(const std::string& page, const std::string& e) const {
  if (shape.rows == 1) { return at(page, "0", e); }
  return shape.cols == 1 ? at(page, e, "0") : at(page, e + " / " + number(shape.cols), e + " % " + number(shape.cols));
}

Expressions::Expressions(const vflow::Policy& policy, Side side, const Placement& placement)
    : policy_(policy),
      side_(side),
      graph_(side == Side::kCache ? policy.program.cache : policy.program.indexer),
      placement_(placement) {}

Expressions::Source Expressions::define(const std::string& name, Shape shape, const std::string& comment,
                                        const std::string& body, std::function<std::string()> lanes) {
  text_ += "\n// " + comment + "\n__device__ inline float " + name + "(const Page& p, int r, int c) {\n  return " +
           body + ";\n}\n";
  if (lanes) { lanes_[name] = std::move(lanes); }
  return defined_[name] = {name, shape};
}

// Sixteen consecutive elements of a row of a source.
std::string Expressions::lanes(const Source& source, const std::string& r, const std::string& c) {
  const std::string name = source.name + "_lanes";
  if (!defined_.contains(name)) {
    const auto known = lanes_.find(source.name);
    const std::string body =
        known != lanes_.end() ? known->second() : "each(" + loop("i", source.at("p", "r", "c + i")) + ")";
    text_ += "__device__ inline Lanes " + name + "(const Page& p, int r, int c) {\n  return " + body + ";\n}\n";
    defined_[name] = {name, source.shape};
  }
  return name + "(p, " + r + ", " + c + ")";
}

Expressions::Source Expressions::define_memory(const std::string& name, Shape shape, const std::string& comment,
                                               const std::string& base, Dtype type, const std::string& scale) {
  const std::string place = "<" + type_name(type) + ">(" + base + ", " + index_of(shape, "r", "c") + ")";
  const auto make_lanes = [=] {
    return scale.empty() ? "load_lanes" + place : "multiply(load_lanes" + place + ", splat(" + scale + "))";
  };
  const std::string body = "load" + place + (scale.empty() ? "" : " * " + scale);
  return define(name, shape, comment, body, has_lanes(shape) ? std::function<std::string()>(make_lanes) : nullptr);
}

Expressions::Source Expressions::field(int field, int stage) {
  const vflow::Field& info = policy_.program.fields[static_cast<size_t>(field)];
  const Dtype type = field_dtype(policy_, field);
  const bool scaled = info.builtin && vflow::dtype_bytes(type) == 1;
  const std::string scale = scaled ? (info.name == "v" ? "p.params.v_scale" : "p.params.k_scale") : "";
  const std::string comment = "\"" + info.name + "\" " + shape_comment(info.shape) + " " + type_name(type);
  const size_t layout = side_ == Side::kCache ? 0 : static_cast<size_t>(stage);
  if (stage >= 0) {
    for (const StagedField& staged : placement_.stages[layout].fields) {
      if (staged.field == field) {
        const std::string name = "field" + number(field) + "_stage" + number(static_cast<int64_t>(layout));
        const auto known = defined_.find(name);
        return known != defined_.end() ? known->second
                                       : define_memory(name, info.shape, comment + ", copied to the record",
                                                       "p.record + " + number(staged.offset), type, scale);
      }
    }
  }
  const std::string name = "field" + number(field);
  const auto known = defined_.find(name);
  return known != defined_.end() ? known->second
                                 : define_memory(name, info.shape, comment,
                                                 "field_of<" + number(info.shape.size() * vflow::dtype_bytes(type)) +
                                                     ">(p, " + number(field) + ")",
                                                 type, scale);
}

std::string Expressions::address(const Location& location, Shape shape) const {
  switch (location.home) {
    case Home::kRecord:
      return "p.local() + " + number(location.offset);
    case Home::kOnce:
      return "p.once + " + number(location.offset);
    case Home::kWork:
      return "row_value<" + number(location.narrow ? shape.size() / 2 : shape.size()) + ">(p, " +
             number(location.offset) + ")";
    case Home::kWorkOnce:
      return "once_value<" + number(placement_.work_floats) + ">(p, " + number(location.offset) + ")";
    case Home::kExpression:
      break;  // lives nowhere
  }
  return "";
}

Expressions::Source Expressions::leaf(int index, int stage) {
  const Node& n = node(index);
  return n.op == Op::kField ? field(n.attrs.field, stage) : inside(index);
}

Expressions::Source Expressions::read(int consumer, size_t operand) {
  const int input = node(consumer).inputs[operand];
  if (is_leaf(node(input).op)) {
    const bool write = writes_field(node(consumer).op) && side_ == Side::kIndexer;
    const bool fused = !runs_over_pages(placement_, consumer) && !chooses_pages(node(consumer).op) && !write;
    return leaf(input, fused ? placement_.plan.stage_of[static_cast<size_t>(consumer)] : -1);
  }
  return reads_kept(graph_, placement_.plan, consumer, input) ? kept(input) : inside(input);
}

Expressions::Source Expressions::make(int index) {
  const Node& n = node(index);
  const std::string name = "make" + number(index);
  if (const auto known = defined_.find(name); known != defined_.end()) { return known->second; }
  if (n.op == Op::kQuery) {
    return define_memory(name, n.shape, "q " + shape_comment(n.shape), "p.q", Dtype::kBf16, "");
  }
  const std::string body = expression(index);
  return define(name, n.shape, std::string(vflow::op_info(n.op).name) + " " + shape_comment(n.shape), body,
                has_lanes(n.shape) ? lanes_maker(index) : nullptr);
}

Expressions::Source Expressions::inside(int index) {
  const Node& n = node(index);
  if (n.op == Op::kLoad) { return field(n.attrs.field, placement_.plan.stage_of[static_cast<size_t>(index)]); }
  const Location& location = placement_.inside[static_cast<size_t>(index)];
  if (location.home == Home::kExpression) { return make(index); }
  const std::string name = "value" + number(index);
  const auto known = defined_.find(name);
  return known != defined_.end() ? known->second
                                 : define_memory(name, n.shape, "make" + number(index) + " as kept for the stage",
                                                 address(location, n.shape), Dtype::kFp32, "");
}

Expressions::Source Expressions::kept(int index) {
  const Node& n = node(index);
  const std::string name = "kept" + number(index);
  if (const auto known = defined_.find(name); known != defined_.end()) { return known->second; }
  const Location& location = placement_.kept[static_cast<size_t>(index)];
  if (location.home != Home::kExpression) {
    return define_memory(
        name, n.shape, std::string(vflow::op_info(n.op).name) + " " + shape_comment(n.shape) + " as it left its stage",
        address(location, n.shape), location.narrow ? Dtype::kBf16 : Dtype::kFp32, "");
  }
  if (runs_over_pages(placement_, index)) {  // Reshape: the same memory
    return define(name, n.shape, "Reshape " + shape_comment(n.shape), reshape(index, false));
  }
  const Source from = n.op == Op::kLoad ? field(n.attrs.field, -1) : inside(index);
  const std::string type = type_name(kept_dtype(n, policy_.config.dtype));
  return define(name, n.shape, from.name + " as it left its stage",
                "round_to<" + type + ">(" + from.at("p", "r", "c") + ")");
}

std::string Expressions::elementwise_call(int index, const std::vector<std::string>& operands) const {
  const Node& n = node(index);
  const vflow::OpInfo& info = vflow::op_info(n.op);
  std::string text = std::string(info.cuda) + "(" + join(operands, ", ");
  if (info.uses_alpha_beta) {
    text += ", " + float_literal(static_cast<float>(n.attrs.alpha)) + ", " +
            float_literal(static_cast<float>(n.attrs.beta));
  }
  return text + ")";
}

// The element (r, c) of a node's value, from what it reads of its operands. For a GeMM of [1, 64] and [1, 64]:
//   dot_lanes<64>([&](int i) { return kept1_lanes(p, 0, i); }, [&](int i) { return field0_lanes(p, 0, i); })
std::string Expressions::expression(int index) {
  const Node& n = node(index);
  switch (vflow::op_info(n.op).kind) {
    case OpKind::kProduct:
      return product(index);
    case OpKind::kKron:
      return kron(index);
    case OpKind::kReduction:
    case OpKind::kInterleave:
      return reduction(index);
    case OpKind::kLayout:
      return layout(index);
    case OpKind::kBinary:
    case OpKind::kWhere:
    case OpKind::kUnary:
      return elementwise(index);
    case OpKind::kLeaf:
    case OpKind::kOverPages:
    case OpKind::kStorage:
    case OpKind::kSelection:
      break;  // none of these is an expression: what they give is read where it lives
  }
  return "";
}

std::string Expressions::layout(int index) {
  const Node& n = node(index);
  if (n.op == Op::kTranspose) { return read(index, 0).at("p", "c", "r"); }
  if (n.op == Op::kReshape) { return reshape(index, false); }
  const std::string at = n.attrs.dim == 1 ? "r" : "c";  // MaskSlice
  return at + " >= " + number(n.attrs.start) + " && " + at + " < " + number(n.attrs.end) + " ? " +
         float_literal(static_cast<float>(n.attrs.alpha)) + " : " + float_literal(static_cast<float>(n.attrs.beta));
}

std::string Expressions::elementwise(int index) {
  std::vector<std::string> operands;
  for (size_t k = 0; k < node(index).inputs.size(); ++k) {
    const Source x = read(index, k);
    operands.push_back(x.at("p", x.shape.rows == 1 ? "0" : "r", x.shape.cols == 1 ? "0" : "c"));
  }
  return elementwise_call(index, operands);
}

std::string Expressions::reshape(int index, bool as_lanes) {
  const Source x = read(index, 0);
  const std::string flat = index_of(node(index).shape, "r", "c");
  const std::string part = "(" + flat + ")";
  const std::string row = x.shape.rows == 1 ? "0" : x.shape.cols == 1 ? flat : part + " / " + number(x.shape.cols);
  const std::string col = x.shape.rows == 1 ? flat : x.shape.cols == 1 ? "0" : part + " % " + number(x.shape.cols);
  return as_lanes ? lanes(x, row, col) : x.at("p", row, col);
}

// out[a][b] = sum over k of y[a][k] x[b][k].
std::string Expressions::product(int index) {
  const Source x = read(index, 0);
  const Source y = read(index, 1);
  const int count = x.shape.cols;
  const std::string x_row = x.shape.rows == 1 ? "0" : "c";
  const std::string y_row = y.shape.rows == 1 ? "0" : "r";
  if (count < kLanes) {
    return "dot_in_order<" + number(count) + ">(" + loop("i", x.at("p", x_row, "i")) + ", " +
           loop("i", y.at("p", y_row, "i")) + ")";
  }
  const auto line = [&](const Source& source, const std::string& row) {
    return has_lanes(source.shape)
               ? loop("i", lanes(source, row, "i"))
               : loop("i", "gather(" + number(count) + " - i, " + loop("j", source.at("p", row, "i + j")) + ")");
  };
  const std::string a = line(x, x_row);
  return "dot_lanes<" + number(count) + ">(" + a + ", " + line(y, y_row) + ")";
}

std::string Expressions::reduction(int index) {
  const Node& n = node(index);
  const Source x = read(index, 0);
  const std::string name(vflow::op_info(n.op).cuda);
  const bool rows = n.attrs.dim == 1;
  const int count = rows ? x.shape.rows / n.shape.rows : x.shape.cols / n.shape.cols;
  const std::string kind = "<" + name + ", " + number(count) + ">(";
  // element i of the group that becomes (r, c)
  const auto member = [&](const std::string& i) {
    const auto grouped = [&](const std::string& at, int groups) {
      return groups == 1 ? i : at + " * " + number(count) + " + " + i;
    };
    return rows ? std::pair{grouped("r", n.shape.rows), x.shape.cols == 1 ? std::string("0") : std::string("c")}
                : std::pair{x.shape.rows == 1 ? std::string("0") : std::string("r"), grouped("c", n.shape.cols)};
  };
  const auto at = [&](const std::string& i) {
    const auto [row, col] = member(i);
    return x.at("p", row, col);
  };
  if (count < kLanes || (rows && x.shape.cols > 1)) { return "reduce_in_order" + kind + loop("i", at("i")) + ")"; }
  if (!rows && has_lanes(x.shape) && count % kLanes == 0) {
    const auto [row, col] = member("i");
    return "reduce_lanes" + kind + loop("i", lanes(x, row, col)) + ")";
  }
  return "reduce_lanes" + kind + loop("i", "gather(" + number(count) + " - i, " + loop("j", at("(i + j)")) + ")") + ")";
}

std::string Expressions::kron(int index) {
  const Node& n = node(index);
  const Source x = read(index, 0);
  const Source y = read(index, 1);
  const auto split = [](bool multiplies, int x_size, int y_size, const std::string& at) {
    const std::string x_at = x_size == 1 ? "0" : !multiplies ? at : y_size == 1 ? at : at + " / " + number(y_size);
    const std::string y_at = y_size == 1 ? "0" : !multiplies || x_size == 1 ? at : at + " % " + number(y_size);
    return std::pair{x_at, y_at};
  };
  const auto [x_row, y_row] = split((n.attrs.kron_axes & 1U) != 0, x.shape.rows, y.shape.rows, "r");
  const auto [x_col, y_col] = split((n.attrs.kron_axes & 2U) != 0, x.shape.cols, y.shape.cols, "c");
  return x.at("p", x_row, x_col) + " * " + y.at("p", y_row, y_col);
}

// How sixteen elements are made at a time where that is not sixteen times the expression.
std::function<std::string()> Expressions::lanes_maker(int index) {
  const Node& n = node(index);
  if (n.op == Op::kReshape) {
    const Source x = read(index, 0);
    return has_lanes(x.shape) ? std::function<std::string()>([this, index] { return reshape(index, true); }) : nullptr;
  }
  if (!is_elementwise(n.op)) { return nullptr; }
  return [this, index] {
    std::vector<std::string> operands;
    for (size_t k = 0; k < node(index).inputs.size(); ++k) {
      const Source x = read(index, k);
      const std::string row = x.shape.rows == 1 ? "0" : "r";
      operands.push_back(x.shape.cols == 1 ? "splat(" + x.at("p", row, "0") + ")" : lanes(x, row, "c"));
    }
    return elementwise_call(index, operands);
  };
}

}  // namespace vortex::compile
