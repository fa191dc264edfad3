#include <algorithm>
#include <cmath>
#include <limits>

#include "core/model/jinja/evaluator.h"
#include "core/model/jinja/text.h"

namespace vortex::model::jinja {
namespace {

Error cannot(const std::string& symbol, const Value& left, const Value& right) {
  return candidate_error(kind_name(left) + " " + symbol + " " + kind_name(right) + " means nothing");
}

Error too_large() { return candidate_error("a number is too large"); }

double as_double(const Value& value) {
  if (const bool* truth = value.get<bool>()) { return *truth ? 1 : 0; }
  if (const int64_t* whole = value.get<int64_t>()) { return static_cast<double>(*whole); }
  return *value.get<double>();
}

int64_t as_whole(const Value& value) {
  const bool* truth = value.get<bool>();
  return truth != nullptr ? int64_t{*truth} : *value.get<int64_t>();
}

// Rounds down, as Python does.
int64_t floor_quotient(int64_t a, int64_t b) {
  const int64_t quotient = a / b;
  return a % b != 0 && (a < 0) != (b < 0) ? quotient - 1 : quotient;
}

Result<Value> whole_numbers(const std::string& symbol, int64_t a, int64_t b) {
  int64_t result = 0;
  bool overflow = false;
  if (symbol == "+") { overflow = __builtin_add_overflow(a, b, &result); }
  if (symbol == "-") { overflow = __builtin_sub_overflow(a, b, &result); }
  if (symbol == "*") { overflow = __builtin_mul_overflow(a, b, &result); }
  if (symbol == "//" || symbol == "%") {
    if (b == 0) { return candidate_error("division by zero"); }
    if (b == -1) {
      overflow = symbol == "//" && __builtin_sub_overflow(int64_t{0}, a, &result);
    } else {
      const int64_t quotient = floor_quotient(a, b);
      result = symbol == "//" ? quotient : a - quotient * b;
    }
  }
  if (overflow) { return too_large(); }
  return Value(result);
}

Result<Value> numbers(const std::string& symbol, const Value& left, const Value& right) {
  const bool whole = !left.is<double>() && !right.is<double>();
  if (whole && symbol != "/") { return whole_numbers(symbol, as_whole(left), as_whole(right)); }
  const double a = as_double(left);
  const double b = as_double(right);
  if (symbol == "+") { return Value(a + b); }
  if (symbol == "-") { return Value(a - b); }
  if (symbol == "*") { return Value(a * b); }
  if (b == 0) { return candidate_error("division by zero"); }
  if (symbol == "/") { return Value(a / b); }
  return candidate_error(symbol + " of numbers that are not whole is not supported");
}

// A string or list, so many times.
Result<Value> repeated(const Value& value, int64_t times) {
  times = std::max<int64_t>(times, 0);
  if (const std::string* text = value.get<std::string>()) {
    if (!text->empty() && times > static_cast<int64_t>(kMaxText / text->size())) { return too_large(); }
    std::string out;
    for (int64_t i = 0; i < times && !text->empty(); ++i) { out += *text; }
    return Value(std::move(out));
  }
  const List& list = *value.list();
  if (times > 1'000'000 / std::max<int64_t>(list.weight, 1)) { return too_large(); }
  std::vector<Value> items;
  for (int64_t i = 0; i < times; ++i) { items.insert(items.end(), list.items.begin(), list.items.end()); }
  return make_list(std::move(items), list.is_tuple);
}

bool repeats(const Value& value, const Value& times) {
  return (value.is<std::string>() || value.list() != nullptr) && (times.is<int64_t>() || times.is<bool>());
}

}  // namespace

Result<Value> arithmetic(const std::string& symbol, const Value& left, const Value& right) {
  if (left.is_number() && right.is_number()) { return numbers(symbol, left, right); }
  if (symbol == "*" && repeats(left, right)) { return repeated(left, as_whole(right)); }
  if (symbol == "*" && repeats(right, left)) { return repeated(right, as_whole(left)); }
  if (symbol == "%" && left.is<std::string>()) { return candidate_error("formatting with % is not supported"); }
  if (symbol != "+") { return cannot(symbol, left, right); }
  const std::string* a = left.get<std::string>();
  const std::string* b = right.get<std::string>();
  if (a != nullptr && b != nullptr) {
    if (a->size() + b->size() > kMaxText) { return candidate_error("the text becomes too long"); }
    return Value(*a + *b);
  }
  const List* head = left.list();
  const List* tail = right.list();
  if (head == nullptr || tail == nullptr || head->is_tuple != tail->is_tuple) { return cannot(symbol, left, right); }
  std::vector<Value> items = head->items;
  items.insert(items.end(), tail->items.begin(), tail->items.end());
  return make_list(std::move(items), head->is_tuple);
}

Result<Value> negated(const Value& value) {
  if (!value.is_number()) { return candidate_error("-: " + kind_name(value) + " is no number"); }
  if (const double* number = value.get<double>()) { return Value(-*number); }
  return whole_numbers("-", 0, as_whole(value));
}

Result<Value> slice(const Value& operand, const std::optional<int64_t>& begin, const std::optional<int64_t>& end,
                    const std::optional<int64_t>& step) {
  const std::string* text = operand.get<std::string>();
  const List* list = operand.list();
  if (text == nullptr && list == nullptr) {
    if (operand.is<Undefined>()) { return candidate_error(kind_name(operand) + ", was asked for a part"); }
    return Value(Undefined{"a part of " + kind_name(operand)});
  }
  const int64_t by = step.value_or(1);
  if (by == 0) { return candidate_error("a slice with a step of 0"); }
  const std::vector<std::string_view> letters = text == nullptr ? std::vector<std::string_view>() : characters(*text);
  const auto size = static_cast<int64_t>(text == nullptr ? list->items.size() : letters.size());
  const int64_t low = by > 0 ? 0 : -1;
  const int64_t high = by > 0 ? size : size - 1;
  const auto place = [&](int64_t at) { return std::clamp(at < 0 ? std::max(at, -size - 1) + size : at, low, high); };
  const int64_t from = begin ? place(*begin) : by > 0 ? low : high;
  const int64_t to = end ? place(*end) : by > 0 ? high : low;
  std::string part;
  std::vector<Value> items;
  const int64_t stride = std::clamp(by, -size - 1, size + 1);
  for (int64_t at = from; stride > 0 ? at < to : at > to; at += stride) {
    if (text != nullptr) {
      part += letters[static_cast<size_t>(at)];
    } else {
      items.push_back(list->items[static_cast<size_t>(at)]);
    }
  }
  if (text != nullptr) { return Value(std::move(part)); }
  return make_list(std::move(items), list->is_tuple);
}

}  // namespace vortex::model::jinja
