#include <climits>
#include <cmath>

#include "base/text.h"
#include "core/vflow/quote.h"
#include "core/vflow/trace/interp.h"

namespace vortex::vflow {
namespace {

constexpr size_t kMaxConstant = size_t{1} << 20;
constexpr size_t kNumbersAStep = 8;

// "Kron(dim=(1, 2))": how an operation is created, for messages.
std::string signature(const OpInfo& info) {
  std::vector<std::string> parts;
  for (const ArgInfo& arg : info.args) {
    std::string part(arg.name);
    if (arg.arg == Arg::kLeading) { part = "-1"; }
    if (arg.arg == Arg::kKronAxes) { part += "=(1, 2)"; }
    if (arg.arg == Arg::kDtype || arg.arg == Arg::kDevice || arg.arg == Arg::kLayerLookup) {
      part += "=None";
    } else if (arg.default_value) {
      part += "=" + format_number(*arg.default_value);
    }
    parts.push_back(part);
  }
  return std::string(info.name) + "(" + join(parts, ", ") + ")";
}

bool is_required(const ArgInfo& info) { return !info.default_value && info.arg != Arg::kKronAxes; }

}  // namespace

Value Interp::construct_op(const OpClass& op_class, Arguments& arguments, Span span) {
  const OpInfo& info = *op_class.info;
  if (!step(span)) { return Poison{}; }
  OpObject& op = ops_.emplace_back();
  op.info = &info;
  op.side = op_class.side;
  op.attrs = default_attrs(info.op);
  op.created = span;
  const std::string allowed = signature(info);
  if (arguments.values.size() > info.args.size()) {
    return error(arguments.spans[info.args.size()],
                 {"arguments",
                  std::string(info.name) + " takes at most " + std::to_string(info.args.size()) +
                      " arguments when it is created, got " + std::to_string(arguments.values.size()),
                  allowed, info.args.empty() ? "tensors go into the call, not into the constructor" : ""});
  }
  bool good = true;
  std::vector<bool> given(info.args.size());
  for (size_t i = 0; i < arguments.values.size(); ++i) {
    given[i] = true;
    good = set_op_argument(op, info.args[i], arguments.values[i], arguments.spans[i]) && good;
  }
  for (const Arguments::Named& named : arguments.named) {
    std::vector<std::string> known;
    size_t index = 0;
    for (; index < info.args.size() && info.args[index].name != named.name; ++index) {
      known.emplace_back(info.args[index].name);
    }
    if (index == info.args.size()) {
      const auto nearest = nearest_word(named.name, known);
      const std::string meant = nearest ? *nearest : known.size() == 1 ? known[0] : "";
      error(named.span, {"arguments", std::string(info.name) + " has no argument " + quote(named.name), allowed,
                         meant.empty() ? "" : "did you mean " + quote(meant) + "?"});
      good = false;
      continue;
    }
    if (given[index]) {
      error(named.span, {"duplicate-argument", "argument " + quote(named.name) + " is given twice", allowed});
      good = false;
      continue;
    }
    given[index] = true;
    good = set_op_argument(op, info.args[index], named.value, named.span) && good;
  }
  for (size_t i = 0; i < info.args.size(); ++i) {
    if (given[i] || !is_required(info.args[i])) { continue; }
    error(span, {"arguments", std::string(info.name) + " misses its argument " + quote(info.args[i].name), allowed});
    good = false;
  }
  return good ? Value(&op) : poison();
}

// False after a report, or for an unknown value.
bool Interp::set_op_argument(OpObject& op, const ArgInfo& info, const Value& value, Span span) {
  if (is_poison(value)) { return false; }
  if (info.arg == Arg::kDtype || info.arg == Arg::kDevice) { return true; }
  if (info.arg == Arg::kKronAxes) { return set_axes(op, value, span); }
  if (info.arg == Arg::kWeight || info.arg == Arg::kValue) { return set_constant(op, info, value, span); }
  if (info.arg == Arg::kLayerLookup) { return set_layer_lookup(op, value, span); }
  return set_number(op, info, value, span);
}

bool Interp::set_number(OpObject& op, const ArgInfo& info, const Value& value, Span span) {
  const std::string name = std::string(op.info->name) + ": " + std::string(info.name);
  const bool whole =
      arg_is_integer(info.arg) || info.arg == Arg::kLeading || info.arg == Arg::kRows || info.arg == Arg::kCols;
  double number = 0;
  if (whole) {
    const auto* integer = std::get_if<int64_t>(&value);
    if (integer == nullptr) {
      const bool division = std::holds_alternative<double>(value);
      type_error(span,
                 name + " must be a whole number, got " + std::string(kind_name(value)) + " " +
                     value_text(value).substr(0, 60),
                 signature(*op.info), division ? "use // for whole-number division" : "");
      return false;
    }
    if (*integer < INT_MIN || *integer > INT_MAX) {
      error(span, {"range", name + " = " + std::to_string(*integer) + " is out of range"});
      return false;
    }
    number = static_cast<double>(*integer);
  } else if (std::holds_alternative<bool>(value) || !as_number(value, number)) {
    type_error(span, name + " must be a number, got " + std::string(kind_name(value)), signature(*op.info));
    return false;
  }
  if (info.arg == Arg::kLeading && number != -1) {
    error(span, {"range", "Reshape: the first argument must be -1 (all pages), got " + format_number(number),
                 signature(*op.info)});
    return false;
  }
  if (info.arg == Arg::kRows) { op.reshape_to.rows = static_cast<int>(number); }
  if (info.arg == Arg::kCols) { op.reshape_to.cols = static_cast<int>(number); }
  set_arg(op.attrs, info.arg, number);
  return true;
}

// Kron's dim: 1, 2, or a list or tuple of them.
bool Interp::set_axes(OpObject& op, const Value& value, Span span) {
  std::vector<Value> axes = {value};
  if (std::holds_alternative<List>(value) || std::holds_alternative<Tuple>(value)) {
    auto items = elements(value, span);
    if (!items) { return false; }
    axes = std::move(*items);
  }
  unsigned bits = 0;
  for (const Value& axis : axes) {
    const auto* number = std::get_if<int64_t>(&axis);
    const bool valid = number != nullptr && (*number == 1 || *number == 2);
    if (!valid || ((bits >> (*number - 1)) & 1U) != 0) {
      error(span, {"range", "Kron: dim must be 1, 2 or both once, got " + value_text(value).substr(0, 60),
                   signature(*op.info)});
      return false;
    }
    bits |= 1U << (*number - 1);
  }
  if (bits == 0) { error(span, {"range", "Kron: dim must not be empty", signature(*op.info)}); }
  op.attrs.kron_axes = bits;
  return bits != 0;
}

// Conv1d's weight [K][D0][D1] and Parameter's value [L][N][K] or [N][K].
bool Interp::set_constant(OpObject& op, const ArgInfo& info, const Value& value, Span span) {
  const std::string name = std::string(op.info->name) + ": " + std::string(info.name);
  const bool weight = info.arg == Arg::kWeight;
  const std::string shape =
      weight ? "a list nested exactly 3 deep, [K][D0][D1]; a filter over scores: [[[w0]], [[w1]], ...]"
             : "a list nested 2 or 3 deep, [N][K] or [L][N][K]";
  Constant constant;
  size_t depth = 0;
  for (Value at = value; depth <= 3; ++depth) {
    const auto* list = std::get_if<List>(&at);
    const auto* tuple = std::get_if<Tuple>(&at);
    if (list == nullptr && tuple == nullptr) { break; }
    const ListObject& object = list != nullptr ? *list->object : *tuple->object;
    if (object.items.empty()) {
      error(span, {"constant", name + " has an empty dimension", shape});
      return false;
    }
    constant.dims.push_back(static_cast<int>(object.items.size()));
    at = object.items[0];
  }
  if (depth != 3 && (weight || depth != 2)) {
    error(span, {"constant", name + " is nested " + std::to_string(depth) + " deep", shape});
    return false;
  }
  size_t size = 1;
  for (int dim : constant.dims) { size *= static_cast<size_t>(dim); }
  if (size > kMaxConstant) {
    stop(span, name + " has more than " + std::to_string(kMaxConstant) + " numbers");
    return false;
  }
  // A list may stand in many places, so a few items can mean very many numbers.
  steps_ += static_cast<int64_t>(size / kNumbersAStep);
  if (!step(span)) { return false; }
  constant.data.reserve(size);
  if (!flatten(value, 0, constant, span)) { return false; }
  if (depth == 2) { constant.dims.insert(constant.dims.begin(), 1); }
  constant.layer_lookup = std::move(op.constant.layer_lookup);
  op.constant = std::move(constant);
  return true;
}

bool Interp::flatten(const Value& value, size_t depth, Constant& constant, Span span) {
  if (depth == constant.dims.size()) {
    double number = 0;
    if (std::holds_alternative<bool>(value) || !as_number(value, number) ||
        !std::isfinite(static_cast<float>(number))) {
      error(span, {"constant", "weights must be numbers, got " + std::string(kind_name(value)) + " " +
                                   value_text(value).substr(0, 60)});
      return false;
    }
    constant.data.push_back(static_cast<float>(number));
    return true;
  }
  const auto* list = std::get_if<List>(&value);
  const auto* tuple = std::get_if<Tuple>(&value);
  const ListObject* object = list != nullptr ? list->object : tuple != nullptr ? tuple->object : nullptr;
  if (object == nullptr || object->items.size() != static_cast<size_t>(constant.dims[depth])) {
    error(span, {"constant", "the nested lists differ in length or depth", "a rectangular array"});
    return false;
  }
  for (const Value& item : object->items) {
    if (!flatten(item, depth + 1, constant, span)) { return false; }
  }
  return true;
}

bool Interp::set_layer_lookup(OpObject& op, const Value& value, Span span) {
  op.constant.layer_lookup.clear();
  if (std::holds_alternative<NoneValue>(value)) { return true; }
  const auto items = elements(value, span);
  if (!items) { return false; }
  for (const Value& item : *items) {
    const auto* index = std::get_if<int64_t>(&item);
    if (index == nullptr || *index < INT_MIN || *index > INT_MAX) {
      type_error(span, "layer_lookup must be None or a list of whole numbers");
      return false;
    }
    op.constant.layer_lookup.push_back(static_cast<int>(*index));
  }
  return true;
}

}  // namespace vortex::vflow
