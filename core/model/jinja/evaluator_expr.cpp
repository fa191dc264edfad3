#include <algorithm>

#include "core/model/jinja/evaluator.h"
#include "core/model/jinja/text.h"

namespace vortex::model::jinja {
namespace {

constexpr int64_t kMostRange = 100'000;  // as Jinja's sandbox

constexpr std::string_view kFunctions[] = {"raise_exception", "strftime_now", "namespace", "range", "dict"};
constexpr std::string_view kUnknownFunctions[] = {"lipsum", "cycler", "joiner"};

template <typename Names>
bool contains(const Names& names, std::string_view name) {
  return std::find(std::begin(names), std::end(names), name) != std::end(names);
}

Result<Value> make_range(const Arguments& arguments) {
  if (!arguments.named.empty() || arguments.positional.empty() || arguments.positional.size() > 3) {
    return candidate_error("range takes one to three whole numbers");
  }
  std::vector<int64_t> bounds;
  for (const Value& value : arguments.positional) {
    const int64_t* number = value.get<int64_t>();
    if (number == nullptr) { return candidate_error("range takes whole numbers, not " + kind_name(value)); }
    bounds.push_back(std::clamp(*number, -(int64_t{1} << 40), int64_t{1} << 40));
  }
  const int64_t begin = bounds.size() > 1 ? bounds[0] : 0;
  const int64_t end = bounds.size() > 1 ? bounds[1] : bounds[0];
  const int64_t step = bounds.size() > 2 ? bounds[2] : 1;
  if (step == 0) { return candidate_error("range: the step is 0"); }
  std::vector<Value> numbers;
  for (int64_t i = begin; step > 0 ? i < end : i > end; i += step) {
    if (static_cast<int64_t>(numbers.size()) == kMostRange) { return candidate_error("range: too many numbers"); }
    numbers.emplace_back(i);
  }
  return make_list(std::move(numbers));
}

}  // namespace

Result<Value> Evaluator::look_up(const std::string& name, const Scope& scope, int line) const {
  for (const Scope* at = &scope; at != nullptr; at = at->parent) {
    for (const auto& [known, value] : at->values) {
      if (known == name) { return value; }
    }
  }
  for (const auto& [known, value] : inputs_.variables) {
    if (known == name) { return value; }
  }
  if (contains(inputs_.unknown, name)) {
    return error_at(line, "the template uses " + name + ", which tokenizer_config.json does not say",
                    "add \"" + name + "\" there; null where the model has none");
  }
  if (contains(kUnknownFunctions, name)) { return error_at(line, "the function " + name + " is not supported"); }
  if (contains(kFunctions, name)) { return Value(Function{name}); }
  return Value(Undefined{name});
}

Result<Value> Evaluator::eval(const Expr& expr, Scope& scope) {
  ++depth_;
  if (depth_ > kMostDepth) { return error_at(expr.line, "the template goes too deep"); }
  Result<Value> value = eval_kind(expr, scope);
  --depth_;
  if (!value.ok()) { return at_line(value.error(), expr.line); }
  const std::string* text = value->get<std::string>();
  VORTEX_TRY(spend(1 + (text == nullptr ? weight(*value) / 8 : static_cast<int64_t>(text->size() / 64)), expr.line));
  return value;
}

Result<Value> Evaluator::eval_kind(const Expr& expr, Scope& scope) {
  switch (expr.kind) {
    case ExprKind::kConst:
      return expr.value;
    case ExprKind::kName: {
      VORTEX_ASSIGN(Value value, look_up(expr.name, scope, expr.line));
      if (value.is<const Loop*>()) { return candidate_error("loop as a value is not supported"); }
      return value;
    }
    case ExprKind::kList:
    case ExprKind::kTuple: {
      VORTEX_ASSIGN(std::vector<Value> items, eval_items(expr, scope));
      return make_list(std::move(items), expr.kind == ExprKind::kTuple);
    }
    case ExprKind::kDict:
      return eval_dict(expr, scope);
    case ExprKind::kAttribute:
    case ExprKind::kItem:
      return eval_member(expr, scope);
    case ExprKind::kSlice:
      return eval_slice(expr, scope);
    case ExprKind::kCall:
      return eval_call(expr, scope);
    case ExprKind::kFilter:
      return eval_filter(expr, scope, nullptr);
    case ExprKind::kTest:
      return eval_test(expr, scope);
    case ExprKind::kNot: {
      VORTEX_ASSIGN(const Value value, eval(*expr.items[0], scope));
      return Value(!is_true(value));
    }
    case ExprKind::kNegative:
    case ExprKind::kPositive: {
      VORTEX_ASSIGN(const Value value, eval(*expr.items[0], scope));
      if (expr.kind == ExprKind::kNegative) { return negated(value); }
      return arithmetic("+", Value(int64_t{0}), value);
    }
    case ExprKind::kBinary: {
      VORTEX_ASSIGN(const std::vector<Value> sides, eval_items(expr, scope));
      return arithmetic(expr.name, sides[0], sides[1]);
    }
    case ExprKind::kConcat:
      return eval_concat(expr, scope);
    case ExprKind::kCompare:
      return eval_compare(expr, scope);
    case ExprKind::kAnd:
    case ExprKind::kOr: {
      VORTEX_ASSIGN(Value left, eval(*expr.items[0], scope));
      if (is_true(left) == (expr.kind == ExprKind::kOr)) { return left; }
      return eval(*expr.items[1], scope);
    }
    case ExprKind::kConditional: {
      VORTEX_ASSIGN(const Value condition, eval(*expr.items[1], scope));
      if (is_true(condition)) { return eval(*expr.items[0], scope); }
      return expr.items[2] == nullptr ? Value(Undefined{}) : eval(*expr.items[2], scope);
    }
  }
  return internal_error("an expression of no kind");
}

Result<std::vector<Value>> Evaluator::eval_items(const Expr& expr, Scope& scope) {
  std::vector<Value> values;
  for (const ExprPtr& item : expr.items) {
    VORTEX_ASSIGN(Value value, eval(*item, scope));
    values.push_back(std::move(value));
  }
  return values;
}

Result<Value> Evaluator::eval_dict(const Expr& expr, Scope& scope) {
  std::vector<std::pair<std::string, Value>> items;
  for (size_t i = 0; i < expr.items.size(); i += 2) {
    VORTEX_ASSIGN(const Value key, eval(*expr.items[i], scope));
    VORTEX_ASSIGN(Value value, eval(*expr.items[i + 1], scope));
    const std::string* name = key.get<std::string>();
    if (name == nullptr) { return candidate_error(kind_name(key) + " as a key of a dict is not supported"); }
    items.emplace_back(*name, std::move(value));
  }
  return make_dict(std::move(items));
}

Result<Value> Evaluator::eval_loop_member(const Expr& expr, const Loop& loop, const std::string& name) {
  const auto size = static_cast<int64_t>(loop.items->size());
  const auto at = static_cast<int64_t>(loop.index);
  if (name == "index") { return Value(at + 1); }
  if (name == "index0") { return Value(at); }
  if (name == "revindex") { return Value(size - at); }
  if (name == "revindex0") { return Value(size - at - 1); }
  if (name == "first") { return Value(at == 0); }
  if (name == "last") { return Value(at + 1 == size); }
  if (name == "length") { return Value(size); }
  if (name == "depth") { return Value(int64_t{1}); }  // counts recursive loops, which are refused
  if (name == "depth0") { return Value(int64_t{0}); }
  if (name == "previtem") { return at == 0 ? Value(Undefined{"loop.previtem"}) : (*loop.items)[loop.index - 1]; }
  if (name == "nextitem") { return at + 1 == size ? Value(Undefined{"loop.nextitem"}) : (*loop.items)[loop.index + 1]; }
  return error_at(expr.line, "loop." + name + " is not supported");
}

Result<Value> Evaluator::eval_member(const Expr& expr, Scope& scope) {
  const Expr& base = *expr.items[0];
  if (base.kind == ExprKind::kName) {
    VORTEX_ASSIGN(const Value operand, look_up(base.name, scope, base.line));
    if (operand.is<const Loop*>()) {
      if (expr.kind == ExprKind::kItem) { return candidate_error("loop[...] is not supported"); }
      return eval_loop_member(expr, **operand.get<const Loop*>(), expr.name);
    }
  }
  VORTEX_ASSIGN(const Value operand, eval(base, scope));
  if (expr.kind == ExprKind::kAttribute) {
    Result<Value> value = attribute(operand, expr.name);
    if (value.ok() && value->is<Undefined>() && base.kind == ExprKind::kName) {
      return Value(Undefined{base.name + "." + expr.name});
    }
    return value;
  }
  VORTEX_ASSIGN(const Value key, eval(*expr.items[1], scope));
  return member(operand, key);
}

Result<Value> Evaluator::eval_slice(const Expr& expr, Scope& scope) {
  VORTEX_ASSIGN(const Value operand, eval(*expr.items[0], scope));
  std::optional<int64_t> parts[3];
  for (size_t i = 1; i < expr.items.size(); ++i) {
    if (expr.items[i] == nullptr) { continue; }
    VORTEX_ASSIGN(const Value part, eval(*expr.items[i], scope));
    if (part.is<None>()) { continue; }
    const int64_t* number = part.get<int64_t>();
    if (number == nullptr) { return candidate_error("a slice from " + kind_name(part) + " is not supported"); }
    parts[i - 1] = *number;
  }
  return slice(operand, parts[0], parts[1], parts[2]);
}

Result<Arguments> Evaluator::eval_arguments(const Expr& expr, Scope& scope) {
  Arguments arguments;
  for (size_t i = 1; i < expr.items.size(); ++i) {
    VORTEX_ASSIGN(Value value, eval(*expr.items[i], scope));
    if (expr.names[i].empty()) {
      arguments.positional.push_back(std::move(value));
    } else {
      arguments.named.emplace_back(expr.names[i], std::move(value));
    }
  }
  return arguments;
}

Result<Value> Evaluator::eval_call(const Expr& expr, Scope& scope) {
  const Expr& callee = *expr.items[0];
  if (callee.kind == ExprKind::kAttribute) {
    VORTEX_ASSIGN(const Value operand, eval(*callee.items[0], scope));
    if (!operand.is<Namespace*>()) {
      if (operand.is<Undefined>()) {
        return candidate_error(kind_name(operand) + ", was asked for its " + callee.name);
      }
      VORTEX_ASSIGN(const Arguments arguments, eval_arguments(expr, scope));
      return call_method(operand, callee.name, arguments);
    }
  }
  VORTEX_ASSIGN(const Value function, eval(callee, scope));
  VORTEX_ASSIGN(const Arguments arguments, eval_arguments(expr, scope));
  if (const auto* macro = function.get<const Macro*>()) { return call_macro(**macro, arguments, expr.line); }
  if (const Function* named = function.get<Function>()) { return call_function(named->name, arguments, expr.line); }
  return candidate_error(kind_name(function) + " cannot be called");
}

Result<Value> Evaluator::call_macro(const Macro& macro, const Arguments& arguments, int line) {
  const Stmt& definition = *macro.definition;
  if (arguments.positional.size() > definition.targets.size()) {
    return error_at(line, "too many arguments for the macro " + definition.text);
  }
  for (const auto& named : arguments.named) {
    const bool known = std::any_of(definition.targets.begin(), definition.targets.end(),
                                   [&](const Target& target) { return target.name == named.first; });
    if (!known) { return error_at(line, "the macro " + definition.text + " has no parameter " + named.first); }
  }
  Scope scope{macro.scope, {}};
  for (size_t i = 0; i < definition.targets.size(); ++i) {
    const std::string& name = definition.targets[i].name;
    if (const Value* given = arguments.find(i, name)) {
      scope.set(name, *given);
    } else if (definition.exprs[i] != nullptr) {
      VORTEX_ASSIGN(Value value, eval(*definition.exprs[i], scope));
      scope.set(name, std::move(value));
    } else {
      scope.set(name, Value(Undefined{name}));
    }
  }
  std::string text;
  VORTEX_ASSIGN(const Flow flow, run(definition.bodies[0], scope, text));
  static_cast<void>(flow);
  return Value(std::move(text));
}

Result<Value> Evaluator::call_function(const std::string& name, const Arguments& arguments, int line) {
  if (name == "range") { return make_range(arguments); }
  if (name == "namespace" || name == "dict") {
    if (!arguments.positional.empty()) { return candidate_error(name + " of a value is not supported"); }
    if (name == "dict") { return make_dict(arguments.named); }
    Namespace& space = namespaces_.emplace_back();
    for (const auto& [key, value] : arguments.named) { space.values[key] = value; }
    return Value(Value::Data(&space));
  }
  if (arguments.positional.size() != 1 || !arguments.named.empty()) {
    return candidate_error(name + " takes one argument");
  }
  VORTEX_ASSIGN(const std::string text, to_text(arguments.positional[0]));
  if (name == "raise_exception") { return error_at(line, "the template refuses this conversation: " + text); }
  used_date_ = true;
  VORTEX_ASSIGN(std::string date, format_date(inputs_.date, text));
  return Value(std::move(date));
}

Result<Value> Evaluator::eval_filter(const Expr& expr, Scope& scope, const Value* operand) {
  // A block's filters end where its text comes in.
  Value input;
  if (expr.kind == ExprKind::kFilter && expr.items[0] == nullptr) {
    if (operand == nullptr) { return internal_error("a filter of nothing"); }
    input = *operand;
  } else if (expr.kind == ExprKind::kFilter) {
    if (operand == nullptr) {
      VORTEX_ASSIGN(input, eval(*expr.items[0], scope));
    } else {
      VORTEX_ASSIGN(input, eval_filter(*expr.items[0], scope, operand));
    }
  } else {
    return candidate_error("only filters are supported here");
  }
  VORTEX_ASSIGN(const Arguments arguments, eval_arguments(expr, scope));
  Result<Value> value = apply_filter(expr.name, input, arguments);
  if (!value.ok()) { return at_line(value.error(), expr.line); }
  return value;
}

Result<Value> Evaluator::eval_test(const Expr& expr, Scope& scope) {
  const Expr& base = *expr.items[0];
  Value operand;
  if (base.kind == ExprKind::kName) {
    VORTEX_ASSIGN(operand, look_up(base.name, scope, base.line));
  } else {
    VORTEX_ASSIGN(operand, eval(base, scope));
  }
  VORTEX_ASSIGN(const Arguments arguments, eval_arguments(expr, scope));
  VORTEX_ASSIGN(const bool passed, apply_test(expr.name, operand, arguments));
  return Value(passed);
}

Result<Value> Evaluator::eval_concat(const Expr& expr, Scope& scope) {
  std::string text;
  for (const ExprPtr& item : expr.items) {
    VORTEX_ASSIGN(const Value value, eval(*item, scope));
    VORTEX_ASSIGN(const std::string part, to_text(value));
    VORTEX_TRY(append(text, part, expr.line));
  }
  return Value(std::move(text));
}

Result<Value> Evaluator::eval_compare(const Expr& expr, Scope& scope) {
  VORTEX_ASSIGN(Value left, eval(*expr.items[0], scope));
  for (size_t i = 1; i < expr.items.size(); ++i) {
    VORTEX_ASSIGN(Value right, eval(*expr.items[i], scope));
    VORTEX_TRY(spend((std::min(weight(left), weight(right))) / 16, expr.line));
    const std::string& relation = expr.names[i];
    Result<bool> holds = false;
    if (relation == "==" || relation == "!=") {
      holds = equal(left, right) == (relation == "==");
    } else if (relation == "in" || relation == "not in") {
      holds = apply_test("in", left, {{right}, {}});
      if (holds.ok() && relation == "not in") { holds = !*holds; }
    } else {
      const bool swapped = relation == ">" || relation == "<=";
      holds = swapped ? less(right, left) : less(left, right);
      if (holds.ok() && relation.size() == 2) { holds = !*holds; }
    }
    if (!holds.ok()) { return holds.error(); }
    if (!*holds) { return Value(false); }
    left = std::move(right);
  }
  return Value(true);
}

}  // namespace vortex::model::jinja
