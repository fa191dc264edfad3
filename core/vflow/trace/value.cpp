#include "core/vflow/trace/value.h"

#include <cmath>

#include "base/text.h"

namespace vortex::vflow {
namespace {

constexpr size_t kMaxListText = 200;
constexpr int kMaxEqualDepth = 50;

// Python prints 2.0 as "2.0" and 1e16 as "1e+16".
std::string float_text(double number) {
  std::string text = format_number(number);
  if (std::isfinite(number) && text.find_first_of(".e") == std::string::npos) { text += ".0"; }
  return text;
}

// Appends a value's text; inside a list or tuple strings are quoted and the whole is cut at kMaxListText.
void append_text(std::string& text, const Value& value, bool inside);

void append_items(std::string& text, const ListObject& list, char open, char close) {
  text += open;
  for (size_t i = 0; i < list.items.size(); ++i) {
    if (i > 0) { text += ", "; }
    if (text.size() > kMaxListText) {
      text += "...";
      return;
    }
    append_text(text, list.items[i], true);
  }
  if (open == '(' && list.items.size() == 1) { text += ','; }
  text += close;
}

void append_text(std::string& text, const Value& value, bool inside) {
  if (const auto* string = std::get_if<const std::string*>(&value)) {
    text += inside ? "'" + (*string)->substr(0, kMaxListText) + "'" : **string;
  } else if (const auto* flag = std::get_if<bool>(&value)) {
    text += *flag ? "True" : "False";
  } else if (const auto* integer = std::get_if<int64_t>(&value)) {
    text += std::to_string(*integer);
  } else if (const auto* real = std::get_if<double>(&value)) {
    text += float_text(*real);
  } else if (std::holds_alternative<NoneValue>(value)) {
    text += "None";
  } else if (const auto* list = std::get_if<List>(&value)) {
    append_items(text, *list->object, '[', ']');
  } else if (const auto* tuple = std::get_if<Tuple>(&value)) {
    append_items(text, *tuple->object, '(', ')');
  } else if (const auto* type = std::get_if<ClassObject*>(&value)) {
    text += "<class '" + std::string((*type)->name) + "'>";
  } else {
    text += "<" + std::string(kind_name(value)) + ">";
  }
}

}  // namespace

std::string_view kind_name(const Value& value) {
  static constexpr std::string_view kNames[] = {
      "unknown value", "None",  "bool",   "int",         "float",           "str",    "range",   "list",
      "tuple",         "dict",  "tensor", "cache field", "engine argument", "type",   "module",  "operation class",
      "operation",     "class", "object", "function",    "method",          "method", "super()", "decorator",
      "function"};
  static_assert(std::size(kNames) == std::variant_size_v<Value>);
  return kNames[value.index()];
}

std::string value_text(const Value& value) {
  std::string text;
  append_text(text, value, false);
  return text;
}

int64_t walk_cost(const Value& value) {
  if (const auto* list = std::get_if<List>(&value)) { return static_cast<int64_t>(list->object->items.size()); }
  if (const auto* tuple = std::get_if<Tuple>(&value)) { return static_cast<int64_t>(tuple->object->items.size()); }
  if (const auto* dict = std::get_if<DictObject*>(&value)) { return static_cast<int64_t>((*dict)->items.size()); }
  if (const auto* text = std::get_if<const std::string*>(&value)) { return static_cast<int64_t>((*text)->size() / 16); }
  return 0;
}

const int64_t* as_integer(const Value& value, int64_t& storage) {
  if (const auto* flag = std::get_if<bool>(&value)) {
    storage = *flag ? 1 : 0;
    return &storage;
  }
  return std::get_if<int64_t>(&value);
}

bool as_number(const Value& value, double& number) {
  int64_t storage = 0;
  if (const int64_t* integer = as_integer(value, storage)) {
    number = static_cast<double>(*integer);
    return true;
  }
  if (const auto* real = std::get_if<double>(&value)) {
    number = *real;
    return true;
  }
  return false;
}

bool values_equal(const Value& a, const Value& b, int64_t& work, int64_t max_work, int depth) {
  work += depth > kMaxEqualDepth ? max_work : 1;
  if (work > max_work) { return false; }
  double x = 0;
  double y = 0;
  if (as_number(a, x) && as_number(b, y)) { return x == y; }
  if (a.index() != b.index()) { return false; }
  const auto lists_equal = [&](const ListObject& p, const ListObject& q) {
    if (p.items.size() != q.items.size()) { return false; }
    for (size_t i = 0; i < p.items.size(); ++i) {
      if (!values_equal(p.items[i], q.items[i], work, max_work, depth + 1)) { return false; }
    }
    return true;
  };
  if (const auto* text = std::get_if<const std::string*>(&a)) {
    work += walk_cost(a);
    return **text == *std::get<const std::string*>(b);
  }
  if (const auto* list = std::get_if<List>(&a)) { return lists_equal(*list->object, *std::get<List>(b).object); }
  if (const auto* tuple = std::get_if<Tuple>(&a)) { return lists_equal(*tuple->object, *std::get<Tuple>(b).object); }
  if (const auto* object = std::get_if<OpObject*>(&a)) { return *object == std::get<OpObject*>(b); }
  if (const auto* object = std::get_if<ClassObject*>(&a)) { return *object == std::get<ClassObject*>(b); }
  if (const auto* object = std::get_if<Instance*>(&a)) { return *object == std::get<Instance*>(b); }
  return std::holds_alternative<NoneValue>(a);
}

}  // namespace vortex::vflow
