#include "core/model/jinja/value.h"

#include <algorithm>

#include "core/model/jinja/text.h"

namespace vortex::model::jinja {
namespace {

constexpr int kMaxDepth = 100;
constexpr int64_t kMaxWeight = 1'000'000;

double as_double(const Value& value) {
  if (const bool* truth = value.get<bool>()) { return *truth ? 1 : 0; }
  if (const int64_t* whole = value.get<int64_t>()) { return static_cast<double>(*whole); }
  return *value.get<double>();
}

int depth_of(const Value& value) {
  if (const List* list = value.list()) { return list->depth; }
  if (const Dict* dict = value.dict()) { return dict->depth; }
  return 0;
}

Status check_size(int depth, int64_t weight) {
  if (depth > kMaxDepth) { return candidate_error("containers are nested deeper than " + std::to_string(kMaxDepth)); }
  if (weight > kMaxWeight) { return candidate_error("a container has more than a million values in it"); }
  return ok_status();
}

bool equal_lists(const List& left, const List& right) {
  return left.is_tuple == right.is_tuple &&
         std::equal(left.items.begin(), left.items.end(), right.items.begin(), right.items.end(), equal);
}

bool equal_dicts(const Dict& left, const Dict& right) {
  if (left.items.size() != right.items.size()) { return false; }
  return std::all_of(left.items.begin(), left.items.end(), [&](const auto& item) {
    const Value* other = find(right, item.first);
    return other != nullptr && equal(item.second, *other);
  });
}

}  // namespace

const List* Value::list() const {
  const auto* list = get<std::shared_ptr<const List>>();
  return list == nullptr ? nullptr : list->get();
}

const Dict* Value::dict() const {
  const auto* dict = get<std::shared_ptr<const Dict>>();
  return dict == nullptr ? nullptr : dict->get();
}

bool Value::is_number() const { return is<bool>() || is<int64_t>() || is<double>(); }

Result<Value> make_list(std::vector<Value> items, bool is_tuple) {
  List list{std::move(items), is_tuple};
  for (const Value& item : list.items) {
    list.depth = std::max(list.depth, depth_of(item) + 1);
    list.weight += weight(item);
  }
  VORTEX_TRY(check_size(list.depth, list.weight));
  return Value(std::make_shared<const List>(std::move(list)));
}

Result<Value> make_dict(std::vector<std::pair<std::string, Value>> items) {
  Dict dict;
  for (auto& item : items) {
    auto& [key, value] = item;
    dict.depth = std::max(dict.depth, depth_of(value) + 1);
    dict.weight += weight(value);
    const auto old = std::find_if(dict.items.begin(), dict.items.end(),
                                  [&](const auto& known) { return known.first == item.first; });
    if (old == dict.items.end()) {
      dict.items.emplace_back(std::move(key), std::move(value));
    } else {
      old->second = std::move(value);
    }
  }
  VORTEX_TRY(check_size(dict.depth, dict.weight));
  return Value(std::make_shared<const Dict>(std::move(dict)));
}

const Value* find(const Dict& dict, std::string_view key) {
  for (const auto& [name, value] : dict.items) {
    if (name == key) { return &value; }
  }
  return nullptr;
}

std::string kind_name(const Value& value) {
  if (const Undefined* undefined = value.get<Undefined>()) {
    return undefined->name.empty() ? "an undefined value" : undefined->name + ", which is undefined";
  }
  if (const List* list = value.list()) { return list->is_tuple ? "a tuple" : "a list"; }
  if (const Function* function = value.get<Function>()) { return "the function " + function->name; }
  constexpr const char* kNames[] = {"an undefined value", "none",     "a truth value", "a whole number",
                                    "a number",           "a string", "a list",        "a dict",
                                    "a namespace",        "a loop",   "a macro",       "a function"};
  return kNames[value.data.index()];
}

int64_t weight(const Value& value) {
  if (const List* list = value.list()) { return list->weight; }
  if (const Dict* dict = value.dict()) { return dict->weight; }
  return 1;
}

bool is_true(const Value& value) {
  if (value.is<Undefined>() || value.is<None>()) { return false; }
  if (value.is_number()) { return as_double(value) != 0; }
  if (const std::string* text = value.get<std::string>()) { return !text->empty(); }
  if (const List* list = value.list()) { return !list->items.empty(); }
  if (const Dict* dict = value.dict()) { return !dict->items.empty(); }
  return true;
}

bool equal(const Value& left, const Value& right) {
  if (left.is_number() && right.is_number()) {
    if (!left.is<double>() && !right.is<double>()) {
      const auto whole = [](const Value& v) { return v.is<bool>() ? int64_t{*v.get<bool>()} : *v.get<int64_t>(); };
      return whole(left) == whole(right);
    }
    return as_double(left) == as_double(right);
  }
  if (left.data.index() != right.data.index()) { return false; }
  if (const std::string* text = left.get<std::string>()) { return *text == *right.get<std::string>(); }
  if (const List* list = left.list()) { return equal_lists(*list, *right.list()); }
  if (const Dict* dict = left.dict()) { return equal_dicts(*dict, *right.dict()); }
  if (const Function* function = left.get<Function>()) { return function->name == right.get<Function>()->name; }
  if (left.is<Namespace*>()) { return *left.get<Namespace*>() == *right.get<Namespace*>(); }
  if (left.is<const Loop*>()) { return *left.get<const Loop*>() == *right.get<const Loop*>(); }
  if (left.is<const Macro*>()) { return *left.get<const Macro*>() == *right.get<const Macro*>(); }
  return true;  // both undefined, or both none
}

Result<bool> less(const Value& left, const Value& right) {
  if (left.is_number() && right.is_number()) { return as_double(left) < as_double(right); }
  const std::string* a = left.get<std::string>();
  const std::string* b = right.get<std::string>();
  if (a != nullptr && b != nullptr) { return *a < *b; }  // bytes of UTF-8 are in the order of code points
  return candidate_error(kind_name(left) + " and " + kind_name(right) + " have no order");
}

Result<int64_t> length(const Value& value) {
  if (value.is<Undefined>()) { return int64_t{0}; }
  if (const std::string* text = value.get<std::string>()) { return static_cast<int64_t>(count_characters(*text)); }
  if (const List* list = value.list()) { return static_cast<int64_t>(list->items.size()); }
  if (const Dict* dict = value.dict()) { return static_cast<int64_t>(dict->items.size()); }
  return candidate_error(kind_name(value) + " has no length");
}

Result<std::vector<Value>> iterate(const Value& value) {
  std::vector<Value> items;
  if (value.is<Undefined>()) { return items; }
  if (const List* list = value.list()) { return list->items; }
  if (const Dict* dict = value.dict()) {
    for (const auto& item : dict->items) { items.emplace_back(item.first); }
    return items;
  }
  if (const std::string* text = value.get<std::string>()) {
    for (const std::string_view character : characters(*text)) { items.emplace_back(std::string(character)); }
    return items;
  }
  return candidate_error(kind_name(value) + " has no members to go through");
}

}  // namespace vortex::model::jinja
