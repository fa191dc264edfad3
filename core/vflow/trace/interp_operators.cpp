#include <algorithm>
#include <cmath>

#include "core/vflow/trace/interp.h"

namespace vortex::vflow {
namespace {

std::string_view operator_text(Operator op) {
  static constexpr std::string_view kTexts[] = {"+",  "-",  "*", "/",  "//", "%",  "**", "-",      "+",  "not",
                                                "==", "!=", "<", "<=", ">",  ">=", "in", "not in", "is", "is not"};
  return kTexts[static_cast<size_t>(op)];
}

bool is_tensor(const Value& value) {
  return std::holds_alternative<Tensor>(value) || std::holds_alternative<FieldRef>(value);
}

// The operation that a Python operator on tensors stands for.
std::string_view tensor_remedy(Operator op) {
  if (op == Operator::kAdd) {
    return "self.add = Add() in __init__, then self.add(x, y, ctx=ctx); with a number Add_Mul(alpha=number)";
  }
  if (op == Operator::kSubtract) {
    return "self.sub = Add(alpha=1, beta=-1) in __init__, then self.sub(x, y, ctx=ctx)";
  }
  if (op == Operator::kMultiply) {
    return "self.mul = Multiply() in __init__, then self.mul(x, y, ctx=ctx); with a number Add_Mul(alpha=0, "
           "beta=number)";
  }
  if (op == Operator::kDivide) {
    return "there is no division: Add_Mul(alpha=0, beta=1/number) scales; exp(-log(y)) inverts";
  }
  return "WhereGreater and its kin compare: they give 0 where true and -1e30 elsewhere";
}

// Below 0, 0 or above it as left is less than, equal to or greater than right; nothing where neither both are numbers
// nor both strings.
std::optional<int> order_of(const Value& left, const Value& right) {
  double a = 0;
  double b = 0;
  if (as_number(left, a) && as_number(right, b)) { return a < b ? -1 : a > b ? 1 : 0; }
  const auto* x = std::get_if<const std::string*>(&left);
  const auto* y = std::get_if<const std::string*>(&right);
  return x != nullptr && y != nullptr ? std::optional((*x)->compare(**y)) : std::nullopt;
}

int64_t floor_divide(int64_t a, int64_t b) {
  const int64_t quotient = a / b;
  return (a % b != 0 && (a < 0) != (b < 0)) ? quotient - 1 : quotient;
}

// Python's: of the divisor's sign. Never a product, which might not fit.
int64_t floor_modulo(int64_t a, int64_t b) {
  const int64_t rest = a % b;
  return (rest != 0 && (rest < 0) != (b < 0)) ? rest + b : rest;
}

// base ** exponent for exponent >= 0; false on overflow.
bool integer_power(int64_t base, int64_t exponent, int64_t& result) {
  result = 1;
  for (; exponent > 0; exponent >>= 1) {
    if ((exponent & 1) != 0 && __builtin_mul_overflow(result, base, &result)) { return false; }
    if (exponent > 1 && __builtin_mul_overflow(base, base, &base)) { return false; }
  }
  return true;
}

}  // namespace

Value Interp::unary(Operator op, const Value& operand, Span span) {
  if (is_poison(operand)) { return Poison{}; }
  if (op == Operator::kNot) {
    const std::optional<bool> value = truth(operand, span);
    return value ? Value(!*value) : poison();
  }
  int64_t storage = 0;
  if (const int64_t* integer = as_integer(operand, storage)) {
    if (op == Operator::kPlus) { return *integer; }
    return *integer == INT64_MIN ? error(span, {"overflow", "this number does not fit in 64 bits"}) : Value(-*integer);
  }
  if (const auto* real = std::get_if<double>(&operand)) { return op == Operator::kPlus ? *real : -*real; }
  if (is_tensor(operand)) {
    return error(span, {"tensor-operator", "operators do not work on tensors", "",
                        "self.neg = Add_Mul(alpha=0, beta=-1) in __init__, then self.neg(x, ctx=ctx)"});
  }
  return type_error(span,
                    "cannot apply \"" + std::string(operator_text(op)) + "\" to " + std::string(kind_name(operand)));
}

Value Interp::binary(Operator op, const Value& left, const Value& right, Span span) {
  if (is_poison(left) || is_poison(right)) { return Poison{}; }
  int64_t a = 0;
  int64_t b = 0;
  const int64_t* x = as_integer(left, a);
  const int64_t* y = as_integer(right, b);
  if (x != nullptr && y != nullptr) { return integer_binary(op, *x, *y, span); }
  double p = 0;
  double q = 0;
  if (as_number(left, p) && as_number(right, q)) { return float_binary(op, p, q, span); }
  if (is_tensor(left) || is_tensor(right)) {
    return error(span, {"tensor-operator", "operators do not work on tensors",
                        "operations of vortex_torch.indexer and vortex_torch.cache", std::string(tensor_remedy(op))});
  }
  return sequence_binary(op, left, right, span);
}

Value Interp::integer_binary(Operator op, int64_t left, int64_t right, Span span) {
  int64_t result = 0;
  bool overflow = false;
  switch (op) {
    case Operator::kAdd:
      overflow = __builtin_add_overflow(left, right, &result);
      break;
    case Operator::kSubtract:
      overflow = __builtin_sub_overflow(left, right, &result);
      break;
    case Operator::kMultiply:
      overflow = __builtin_mul_overflow(left, right, &result);
      break;
    case Operator::kPower:
      if (right < 0) { return float_binary(op, static_cast<double>(left), static_cast<double>(right), span); }
      overflow = !integer_power(left, right, result);
      break;
    case Operator::kDivide:
      return float_binary(op, static_cast<double>(left), static_cast<double>(right), span);
    case Operator::kFloorDivide:
    case Operator::kModulo:
      if (right == 0) { return error(span, {"division-by-zero", "division by zero"}); }
      overflow = left == INT64_MIN && right == -1;
      if (!overflow) { result = op == Operator::kFloorDivide ? floor_divide(left, right) : floor_modulo(left, right); }
      break;
    case Operator::kNegate:
    case Operator::kPlus:
    case Operator::kNot:
    case Operator::kEqual:
    case Operator::kNotEqual:
    case Operator::kLess:
    case Operator::kLessEqual:
    case Operator::kGreater:
    case Operator::kGreaterEqual:
    case Operator::kIn:
    case Operator::kNotIn:
    case Operator::kIs:
    case Operator::kIsNot:
      break;  // not arithmetic of two numbers
  }
  if (overflow) { return error(span, {"overflow", "the result does not fit in 64 bits"}); }
  return result;
}

Value Interp::float_binary(Operator op, double left, double right, Span span) {
  double result = 0;
  switch (op) {
    case Operator::kAdd:
      result = left + right;
      break;
    case Operator::kSubtract:
      result = left - right;
      break;
    case Operator::kMultiply:
      result = left * right;
      break;
    case Operator::kPower:
      if (left == 0 && right < 0) { return error(span, {"division-by-zero", "zero to a negative power"}); }
      result = std::pow(left, right);
      break;
    case Operator::kDivide:
    case Operator::kFloorDivide:
    case Operator::kModulo:
      if (right == 0) { return error(span, {"division-by-zero", "division by zero"}); }
      result = left / right;
      if (op == Operator::kFloorDivide) { result = std::floor(result); }
      if (op == Operator::kModulo) { result = left - right * std::floor(left / right); }
      break;
    case Operator::kNegate:
    case Operator::kPlus:
    case Operator::kNot:
    case Operator::kEqual:
    case Operator::kNotEqual:
    case Operator::kLess:
    case Operator::kLessEqual:
    case Operator::kGreater:
    case Operator::kGreaterEqual:
    case Operator::kIn:
    case Operator::kNotIn:
    case Operator::kIs:
    case Operator::kIsNot:
      break;  // not arithmetic of two numbers
  }
  if (!std::isfinite(result)) { return error(span, {"overflow", "the result is not a finite number"}); }
  return result;
}

// str + str, list + list, tuple + tuple, and repetition by an int.
Value Interp::sequence_binary(Operator op, const Value& left, const Value& right, Span span) {
  const Value& sequence = std::holds_alternative<int64_t>(left) ? right : left;
  const Value& other = &sequence == &left ? right : left;
  const auto* count = std::get_if<int64_t>(&other);
  charge(left);
  charge(right);
  if (const auto* text = std::get_if<const std::string*>(&sequence)) {
    if (const auto* more = std::get_if<const std::string*>(&other); more != nullptr && op == Operator::kAdd) {
      return make_string(**text + **more);
    }
  } else if (std::holds_alternative<List>(sequence) || std::holds_alternative<Tuple>(sequence)) {
    const bool tuple = std::holds_alternative<Tuple>(sequence);
    std::vector<Value> items = tuple ? std::get<Tuple>(sequence).object->items : std::get<List>(sequence).object->items;
    if (op == Operator::kAdd && sequence.index() == other.index()) {
      const auto& more = tuple ? std::get<Tuple>(other).object->items : std::get<List>(other).object->items;
      items.insert(items.end(), more.begin(), more.end());
      return tuple ? make_tuple(std::move(items), span) : make_list(std::move(items), span);
    }
    if (op == Operator::kMultiply && count != nullptr) {
      const int64_t times = std::max<int64_t>(0, *count);
      int64_t total = 0;
      if (__builtin_mul_overflow(times, static_cast<int64_t>(items.size()), &total) || total > (1 << 20)) {
        stop(span, "this list would have more than a million items");
        return Poison{};
      }
      std::vector<Value> repeated;
      for (int64_t i = 0; i < (items.empty() ? 0 : times); ++i) {
        repeated.insert(repeated.end(), items.begin(), items.end());
      }
      return tuple ? make_tuple(std::move(repeated), span) : make_list(std::move(repeated), span);
    }
  }
  return type_error(span, "cannot apply \"" + std::string(operator_text(op)) + "\" to " + std::string(kind_name(left)) +
                              " and " + std::string(kind_name(right)));
}

Value Interp::evaluate_compare(const Expr& expr, Scope& scope) {
  Value left = evaluate(*expr.items[0], scope);
  for (size_t i = 0; i < expr.operators.size(); ++i) {
    const Value right = evaluate(*expr.items[i + 1], scope);
    if (is_poison(left) || is_poison(right)) { return Poison{}; }
    const std::optional<bool> holds = compare(expr.operators[i], left, right, expr.span);
    if (!holds) { return Poison{}; }
    if (!*holds) { return false; }
    left = right;
  }
  return true;
}

std::optional<bool> Interp::compare(Operator op, const Value& left, const Value& right, Span span) {
  const bool tensors = is_tensor(left) || is_tensor(right);
  if (op == Operator::kIs) { return equal(left, right); }
  if (op == Operator::kIsNot) { return !equal(left, right); }
  if (op == Operator::kIn) { return contains(left, right, span); }
  if (op == Operator::kNotIn) {
    const std::optional<bool> found = contains(left, right, span);
    return found ? std::optional(!*found) : std::nullopt;
  }
  if (op == Operator::kEqual && !tensors) { return equal(left, right); }
  if (op == Operator::kNotEqual && !tensors) { return !equal(left, right); }
  const std::optional<int> order = tensors ? std::nullopt : order_of(left, right);
  if (order && op == Operator::kLess) { return *order < 0; }
  if (order && op == Operator::kLessEqual) { return *order <= 0; }
  if (order && op == Operator::kGreater) { return *order > 0; }
  if (order && op == Operator::kGreaterEqual) { return *order >= 0; }
  if (tensors) {
    error(span,
          {"tensor-operator", "tensors cannot be compared while a policy is traced: their values are not known yet", "",
           std::string(tensor_remedy(op))});
  } else {
    type_error(span, "cannot compare " + std::string(kind_name(left)) + " with " + std::string(kind_name(right)));
  }
  return std::nullopt;
}

std::optional<bool> Interp::contains(const Value& item, const Value& container, Span span) {
  const auto* name = std::get_if<const std::string*>(&item);
  charge(container);
  if (const auto* text = std::get_if<const std::string*>(&container); text != nullptr && name != nullptr) {
    return (*text)->find(**name) != std::string::npos;
  }
  if (const auto* special = std::get_if<Special>(&container)) {
    if (*special == Special::kRegistry && name != nullptr) {
      return std::any_of(registered_.begin(), registered_.end(),
                         [&](const RegisteredClass& c) { return c.name == **name; });
    }
    if (*special == Special::kCache && name != nullptr) {
      return std::any_of(program_->fields.begin(), program_->fields.end(),
                         [&](const Field& f) { return f.name == **name; });
    }
  }
  if (const auto* dict = std::get_if<DictObject*>(&container)) { return dict_value(**dict, item) != nullptr; }
  const auto items = elements(container, span);
  if (!items) { return std::nullopt; }
  return std::any_of(items->begin(), items->end(), [&](const Value& value) { return equal(value, item); });
}

// `and` and `or` give one of their operands, as in Python.
Value Interp::evaluate_logic(const Expr& expr, Scope& scope) {
  Value value = NoneValue{};
  for (const Expr* item : expr.items) {
    value = evaluate(*item, scope);
    const std::optional<bool> holds = truth(value, item->span);
    if (!holds) { return Poison{}; }
    if (*holds == (expr.kind == ExprKind::kOr)) { return value; }
  }
  return value;
}

std::optional<bool> Interp::truth(const Value& value, Span span) {
  if (is_poison(value)) { return std::nullopt; }
  if (is_tensor(value)) {
    error(span, {"tensor-condition",
                 "a condition cannot depend on a tensor: a policy is traced once, before any values exist", "",
                 "select with WhereGreater and its kin, or Maximum and Minimum"});
    return std::nullopt;
  }
  double number = 0;
  if (as_number(value, number)) { return number != 0; }
  if (std::holds_alternative<NoneValue>(value)) { return false; }
  if (const auto* text = std::get_if<const std::string*>(&value)) { return !(*text)->empty(); }
  if (const auto* list = std::get_if<List>(&value)) { return !list->object->items.empty(); }
  if (const auto* tuple = std::get_if<Tuple>(&value)) { return !tuple->object->items.empty(); }
  if (const auto* dict = std::get_if<DictObject*>(&value)) { return !(*dict)->items.empty(); }
  return true;
}

std::optional<std::vector<Value>> Interp::elements(const Value& value, Span span) {
  charge(value);
  if (const auto* list = std::get_if<List>(&value)) { return list->object->items; }
  if (const auto* tuple = std::get_if<Tuple>(&value)) { return tuple->object->items; }
  std::vector<Value> items;
  if (const auto* range = std::get_if<Range>(&value)) {
    if (!grow(*range, span)) { return std::nullopt; }
    // The last item is before `stop`, so the counter cannot overflow before the bound ends the loop.
    for (int64_t i = range->start; range->step > 0 ? i < range->stop : i > range->stop;) {
      items.emplace_back(i);
      if (__builtin_add_overflow(i, range->step, &i)) { break; }
    }
    return items;
  }
  if (const auto* dict = std::get_if<DictObject*>(&value)) {
    for (const auto& [key, unused] : (*dict)->items) { items.push_back(key); }
    return items;
  }
  if (const auto* text = std::get_if<const std::string*>(&value)) {
    for (char c : **text) {
      if (!grow(1, span)) { return std::nullopt; }
      items.emplace_back(make_string(std::string(1, c)));
    }
    return items;
  }
  if (is_poison(value)) { return std::nullopt; }
  type_error(span, "cannot iterate over " + std::string(kind_name(value)), "ranges, lists, tuples and dicts");
  return std::nullopt;
}

}  // namespace vortex::vflow
