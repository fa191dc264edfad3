#include <algorithm>

#include "core/model/jinja/builtins.h"
#include "core/model/jinja/text.h"

namespace vortex::model::jinja {
namespace {

using Apply = Result<bool> (*)(const Value&, const Arguments&);

Result<Value> other(const Arguments& arguments) {
  VORTEX_TRY(arguments.allow({"other"}));
  const Value* value = arguments.find(0, "other");
  if (value == nullptr) { return candidate_error("the test needs something to compare with"); }
  return *value;
}

Result<int64_t> whole(const Value& value) {
  if (const bool* truth = value.get<bool>()) { return int64_t{*truth}; }
  if (const int64_t* number = value.get<int64_t>()) { return *number; }
  return candidate_error(kind_name(value) + " is no whole number");
}

Result<bool> is_equal(const Value& value, const Arguments& arguments) {
  VORTEX_ASSIGN(const Value right, other(arguments));
  return equal(value, right);
}

Result<bool> is_unequal(const Value& value, const Arguments& arguments) {
  VORTEX_ASSIGN(const Value right, other(arguments));
  return !equal(value, right);
}

Result<bool> is_less(const Value& value, const Arguments& arguments) {
  VORTEX_ASSIGN(const Value right, other(arguments));
  return less(value, right);
}

Result<bool> is_greater(const Value& value, const Arguments& arguments) {
  VORTEX_ASSIGN(const Value right, other(arguments));
  return less(right, value);
}

Result<bool> is_in(const Value& value, const Arguments& arguments) {
  VORTEX_ASSIGN(const Value container, other(arguments));
  const std::string* part = value.get<std::string>();
  if (const std::string* text = container.get<std::string>()) {
    if (part == nullptr) { return candidate_error(kind_name(value) + " cannot be in a string"); }
    return text->find(*part) != std::string::npos;
  }
  if (const Dict* dict = container.dict()) { return part != nullptr && find(*dict, *part) != nullptr; }
  VORTEX_ASSIGN(const std::vector<Value> items, iterate(container));
  return std::any_of(items.begin(), items.end(), [&](const Value& item) { return equal(item, value); });
}

Result<bool> is_iterable(const Value& value, const Arguments&) {
  return value.is<Undefined>() || value.is<std::string>() || value.list() != nullptr || value.dict() != nullptr;
}

Result<bool> is_odd(const Value& value, const Arguments&) {
  VORTEX_ASSIGN(const int64_t number, whole(value));
  return number % 2 != 0;
}

Result<bool> is_even(const Value& value, const Arguments&) {
  VORTEX_ASSIGN(const int64_t number, whole(value));
  return number % 2 == 0;
}

Result<bool> is_divisible(const Value& value, const Arguments& arguments) {
  VORTEX_ASSIGN(const Value divisor, other(arguments));
  VORTEX_ASSIGN(const int64_t number, whole(value));
  VORTEX_ASSIGN(const int64_t by, whole(divisor));
  if (by == 0) { return candidate_error("division by zero"); }
  return by == -1 || number % by == 0;
}

// Is there a letter, and are all of that case?
Result<bool> is_all(const Value& value, Case to) {
  VORTEX_ASSIGN(const std::string text, to_text(value));
  VORTEX_ASSIGN(const std::string same, change_case(text, to));
  VORTEX_ASSIGN(const std::string opposite, change_case(text, to == Case::kLower ? Case::kUpper : Case::kLower));
  return same == text && opposite != text;
}

struct Test {
  std::string_view name;
  Apply apply;
};

constexpr Test kTests[] = {
    {"defined", [](const Value& v, const Arguments&) -> Result<bool> { return !v.is<Undefined>(); }},
    {"undefined", [](const Value& v, const Arguments&) -> Result<bool> { return v.is<Undefined>(); }},
    {"none", [](const Value& v, const Arguments&) -> Result<bool> { return v.is<None>(); }},
    {"boolean", [](const Value& v, const Arguments&) -> Result<bool> { return v.is<bool>(); }},
    {"true", [](const Value& v, const Arguments&) -> Result<bool> { return v.is<bool>() && is_true(v); }},
    {"false", [](const Value& v, const Arguments&) -> Result<bool> { return v.is<bool>() && !is_true(v); }},
    {"integer", [](const Value& v, const Arguments&) -> Result<bool> { return v.is<int64_t>(); }},
    {"float", [](const Value& v, const Arguments&) -> Result<bool> { return v.is<double>(); }},
    {"number", [](const Value& v, const Arguments&) -> Result<bool> { return v.is_number(); }},
    {"string", [](const Value& v, const Arguments&) -> Result<bool> { return v.is<std::string>(); }},
    {"mapping", [](const Value& v, const Arguments&) -> Result<bool> { return v.dict() != nullptr; }},
    {"iterable", is_iterable},
    {"sequence", is_iterable},  // what has a length and members: the same values
    {"callable",
     [](const Value& v, const Arguments&) -> Result<bool> { return v.is<Function>() || v.is<const Macro*>(); }},
    {"odd", is_odd},
    {"even", is_even},
    {"divisibleby", is_divisible},
    {"in", is_in},
    {"eq", is_equal},
    {"equalto", is_equal},
    {"ne", is_unequal},
    {"lt", is_less},
    {"lessthan", is_less},
    {"gt", is_greater},
    {"greaterthan", is_greater},
    {"lower", [](const Value& v, const Arguments&) { return is_all(v, Case::kLower); }},
    {"upper", [](const Value& v, const Arguments&) { return is_all(v, Case::kUpper); }},
};

const Test* find_test(std::string_view name) {
  const auto* test = std::find_if(std::begin(kTests), std::end(kTests), [&](const Test& t) { return t.name == name; });
  return test == std::end(kTests) ? nullptr : test;
}

}  // namespace

bool is_test(std::string_view name) { return find_test(name) != nullptr; }

Result<bool> apply_test(std::string_view name, const Value& operand, const Arguments& arguments) {
  const Test* test = find_test(name);
  if (test == nullptr) { return candidate_error("the test " + std::string(name) + " is not supported"); }
  return test->apply(operand, arguments);
}

}  // namespace vortex::model::jinja
