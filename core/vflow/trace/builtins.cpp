#include <algorithm>
#include <charconv>
#include <cmath>

#include "core/vflow/trace/interp.h"

namespace vortex::vflow {
namespace {

constexpr size_t kAnyCount = 64;

// Is the whole text a number? Then it is in `number`.
template <typename Number>
bool reads_as(const std::string& text, Number& number) {
  const char* end = text.data() + text.size();
  return !text.empty() && std::from_chars(text.data(), end, number).ptr == end;
}

}  // namespace

Value Interp::call_builtin(Builtin builtin, Arguments& arguments, Span span, Scope& scope) {
  if (builtin == Builtin::kSuper) { return call_super(arguments, span, scope); }
  if (builtin == Builtin::kRegister) { return call_register(arguments, span); }
  // torch.tensor([...], dtype=...): the list is the value; its dtype does not matter here.
  if (builtin == Builtin::kTorchTensor) {
    return arguments.values.empty() ? error(span, {"arguments", "torch.tensor takes a nested list of numbers"})
                                    : arguments.values[0];
  }
  for (const Value& value : arguments.values) {
    if (is_poison(value)) { return Poison{}; }
  }
  switch (builtin) {
    case Builtin::kRange:
      return call_range(arguments, span);
    case Builtin::kMax:
    case Builtin::kMin:
      return call_extremum(builtin, arguments, span);
    case Builtin::kMathCeil:
    case Builtin::kMathExp:
    case Builtin::kMathFloor:
    case Builtin::kMathLog:
    case Builtin::kMathLog2:
    case Builtin::kMathSqrt:
      return call_math(builtin, arguments, span);
    case Builtin::kEnumerate:
    case Builtin::kReversed:
    case Builtin::kSorted:
    case Builtin::kZip:
    case Builtin::kList:
    case Builtin::kTuple:
    case Builtin::kSum:
      return call_iteration(builtin, arguments, span);
    case Builtin::kDict:
      if (!need_arguments(arguments, 0, 0, "dict", span)) { return Poison{}; }
      return &dicts_.emplace_back();
    case Builtin::kAbs:
    case Builtin::kBool:
    case Builtin::kFloat:
    case Builtin::kInt:
    case Builtin::kLen:
    case Builtin::kRound:
    case Builtin::kStaticMethod:
    case Builtin::kStr:
    case Builtin::kType:
      if (!need_arguments(arguments, 1, builtin == Builtin::kRound ? 2 : 1, "this function", span)) { return Poison{}; }
      return call_conversion(builtin, arguments.values[0], span);
    case Builtin::kSuper:
    case Builtin::kTorchTensor:
    case Builtin::kRegister:
      break;  // above
  }
  return Poison{};
}

Value Interp::length_of(const Value& value, Span span) {
  if (std::holds_alternative<List>(value) || std::holds_alternative<Tuple>(value) ||
      std::holds_alternative<DictObject*>(value)) {
    return walk_cost(value);
  }
  if (const auto* text = std::get_if<const std::string*>(&value)) { return static_cast<int64_t>((*text)->size()); }
  const auto items = elements(value, span);
  return items ? Value(static_cast<int64_t>(items->size())) : poison();
}

// Functions of one value.
Value Interp::call_conversion(Builtin builtin, const Value& value, Span span) {
  double number = 0;
  int64_t storage = 0;
  const int64_t* integer = as_integer(value, storage);
  const bool numeric = as_number(value, number);
  if (builtin == Builtin::kBool) {
    const std::optional<bool> flag = truth(value, span);
    return flag ? Value(*flag) : poison();
  }
  if (builtin == Builtin::kStr) { return make_string(value_text(value)); }
  if (builtin == Builtin::kType) {
    if (const auto* instance = std::get_if<Instance*>(&value)) { return (*instance)->type; }
    return Opaque{"type"};
  }
  if (builtin == Builtin::kStaticMethod) {
    if (const auto* function = std::get_if<FunctionObject*>(&value)) { (*function)->is_static = true; }
    return value;
  }
  if (builtin == Builtin::kLen) { return length_of(value, span); }
  if (builtin == Builtin::kAbs) {
    if (integer != nullptr) { return *integer < 0 ? unary(Operator::kNegate, *integer, span) : Value(*integer); }
    if (numeric) { return std::fabs(number); }
  }
  if (builtin == Builtin::kFloat && numeric) { return number; }
  if ((builtin == Builtin::kInt || builtin == Builtin::kRound) && integer != nullptr) { return *integer; }
  if ((builtin == Builtin::kInt || builtin == Builtin::kRound) && numeric && std::fabs(number) < 9e18) {
    return static_cast<int64_t>(builtin == Builtin::kRound ? std::nearbyint(number) : std::trunc(number));
  }
  if (const auto* text = std::get_if<const std::string*>(&value)) {
    if (builtin == Builtin::kFloat && reads_as(**text, number)) { return number; }
    if (builtin == Builtin::kInt && reads_as(**text, storage)) { return storage; }
  }
  if (std::holds_alternative<Tensor>(value) || std::holds_alternative<FieldRef>(value)) {
    return error(span, {"tensor-operator", "Python functions do not work on tensors", "",
                        "use the operation of that name from vortex_torch.indexer or vortex_torch.cache"});
  }
  return type_error(span, "cannot convert " + std::string(kind_name(value)) + " " + value_text(value).substr(0, 80));
}

Value Interp::call_math(Builtin builtin, Arguments& arguments, Span span) {
  if (!need_arguments(arguments, 1, builtin == Builtin::kMathLog ? 2 : 1, "this function", span)) { return Poison{}; }
  double x = 0;
  double base = 0;
  if (!as_number(arguments.values[0], x) || (arguments.values.size() > 1 && !as_number(arguments.values[1], base))) {
    return type_error(arguments.spans[0],
                      "math functions take numbers, got " + std::string(kind_name(arguments.values[0])));
  }
  double result = 0;
  if (builtin == Builtin::kMathCeil || builtin == Builtin::kMathFloor) {
    result = builtin == Builtin::kMathCeil ? std::ceil(x) : std::floor(x);
    if (std::fabs(result) < 9e18) { return static_cast<int64_t>(result); }
    return error(span, {"overflow", "the result does not fit in 64 bits"});
  }
  if (builtin == Builtin::kMathExp) { result = std::exp(x); }
  if (builtin == Builtin::kMathLog2) { result = std::log2(x); }
  if (builtin == Builtin::kMathLog) {
    result = arguments.values.size() > 1 ? std::log(x) / std::log(base) : std::log(x);
  }
  if (builtin == Builtin::kMathSqrt) { result = std::sqrt(x); }
  if (!std::isfinite(result)) {
    return error(span, {"math-domain", "this function has no finite value at " + value_text(x)});
  }
  return result;
}

Value Interp::call_extremum(Builtin builtin, Arguments& arguments, Span span) {
  if (!need_arguments(arguments, 1, kAnyCount, builtin == Builtin::kMax ? "max" : "min", span)) { return Poison{}; }
  std::vector<Value> items = arguments.values;
  if (items.size() == 1) {
    auto more = elements(items[0], span);
    if (!more) { return Poison{}; }
    items = std::move(*more);
  }
  if (items.empty()) { return error(span, {"empty", "no values to choose from"}); }
  Value best = items[0];
  for (const Value& item : items) {
    if (is_poison(item)) { return Poison{}; }
    const auto better = compare(builtin == Builtin::kMax ? Operator::kGreater : Operator::kLess, item, best, span);
    if (!better) { return Poison{}; }
    if (*better) { best = item; }
  }
  return best;
}

Value Interp::call_range(Arguments& arguments, Span span) {
  if (!need_arguments(arguments, 1, 3, "range", span)) { return Poison{}; }
  int64_t bounds[3] = {0, 0, 1};
  for (size_t i = 0; i < arguments.values.size(); ++i) {
    int64_t storage = 0;
    const int64_t* bound = as_integer(arguments.values[i], storage);
    if (bound == nullptr) {
      return type_error(arguments.spans[i],
                        "range takes whole numbers, got " + std::string(kind_name(arguments.values[i])), "",
                        "use // for whole-number division");
    }
    bounds[i] = *bound;
  }
  if (arguments.values.size() == 1) { std::swap(bounds[0], bounds[1]); }
  if (bounds[2] == 0) { return error(span, {"range", "range's step must not be 0"}); }
  return Range{bounds[0], bounds[1], bounds[2]};
}

Value Interp::call_iteration(Builtin builtin, Arguments& arguments, Span span) {
  const bool optional = builtin == Builtin::kList || builtin == Builtin::kTuple;
  if (!need_arguments(arguments, optional ? 0 : 1,
                      builtin == Builtin::kZip ? kAnyCount
                      : optional               ? 1
                                               : 2,
                      "this function", span)) {
    return Poison{};
  }
  std::vector<std::vector<Value>> inputs;
  for (size_t i = 0; i < arguments.values.size() && (i == 0 || builtin == Builtin::kZip); ++i) {
    auto items = elements(arguments.values[i], arguments.spans[i]);
    if (!items) { return Poison{}; }
    inputs.push_back(std::move(*items));
  }
  if (inputs.empty()) { inputs.emplace_back(); }
  std::vector<Value>& first = inputs[0];
  if (builtin == Builtin::kTuple) { return make_tuple(std::move(first), span); }
  if (builtin == Builtin::kSum) {
    Value total = arguments.values.size() > 1 ? arguments.values[1] : Value(int64_t{0});
    for (const Value& item : first) { total = binary(Operator::kAdd, total, item, span); }
    return total;
  }
  if (builtin == Builtin::kReversed) { std::reverse(first.begin(), first.end()); }
  if (builtin == Builtin::kSorted) {
    const bool numbers = std::all_of(first.begin(), first.end(), [](const Value& v) {
      double unused = 0;
      return as_number(v, unused);
    });
    if (!numbers) { return type_error(span, "sorted takes numbers here"); }
    std::stable_sort(first.begin(), first.end(), [](const Value& a, const Value& b) {
      double x = 0;
      double y = 0;
      as_number(a, x);
      as_number(b, y);
      return x < y;
    });
  }
  if (builtin == Builtin::kEnumerate || builtin == Builtin::kZip) {
    int64_t start = 0;
    if (builtin == Builtin::kEnumerate && arguments.values.size() > 1) {
      const auto* given = std::get_if<int64_t>(&arguments.values[1]);
      if (given == nullptr || std::abs(static_cast<double>(*given)) > 1e12) {
        return type_error(arguments.spans[1], "enumerate's start must be a small whole number");
      }
      start = *given;
    }
    size_t length = first.size();
    for (const auto& input : inputs) { length = std::min(length, input.size()); }
    std::vector<Value> tuples;
    for (size_t i = 0; i < length && !stopped_; ++i) {
      std::vector<Value> parts;
      if (builtin == Builtin::kEnumerate) { parts.emplace_back(start + static_cast<int64_t>(i)); }
      for (const auto& input : inputs) { parts.push_back(input[i]); }
      tuples.push_back(make_tuple(std::move(parts), span));
    }
    first = std::move(tuples);
  }
  return make_list(std::move(first), span);
}

}  // namespace vortex::vflow
