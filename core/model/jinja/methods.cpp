#include <algorithm>
#include <optional>

#include "core/model/jinja/builtins.h"
#include "core/model/jinja/text.h"

namespace vortex::model::jinja {
namespace {

constexpr std::string_view kStringMethods[] = {
    "capitalize",   "casefold",   "center",    "count",       "encode",    "endswith",     "expandtabs",   "find",
    "format",       "format_map", "index",     "isalnum",     "isalpha",   "isascii",      "isdecimal",    "isdigit",
    "isidentifier", "islower",    "isnumeric", "isprintable", "isspace",   "istitle",      "isupper",      "join",
    "ljust",        "lower",      "lstrip",    "maketrans",   "partition", "removeprefix", "removesuffix", "replace",
    "rfind",        "rindex",     "rjust",     "rpartition",  "rsplit",    "rstrip",       "split",        "splitlines",
    "startswith",   "strip",      "swapcase",  "title",       "translate", "upper",        "zfill"};
constexpr std::string_view kListMethods[] = {"append", "clear", "copy",   "count",   "extend", "index",
                                             "insert", "pop",   "remove", "reverse", "sort"};
constexpr std::string_view kDictMethods[] = {"clear", "copy",    "fromkeys",   "get",    "items", "keys",
                                             "pop",   "popitem", "setdefault", "update", "values"};

// The optional text at that place; none and what was not given are no text.
Result<std::optional<std::string>> optional_text(const Arguments& arguments, size_t place, std::string_view name) {
  const Value* value = arguments.find(place, name);
  if (value == nullptr || value->is<None>()) { return std::optional<std::string>(); }
  const std::string* text = value->get<std::string>();
  if (text == nullptr) { return candidate_error(kind_name(*value) + " where a string is needed"); }
  return std::optional<std::string>(*text);
}

Result<std::string> needed_text(const Arguments& arguments, size_t place) {
  VORTEX_ASSIGN(const std::optional<std::string> text, optional_text(arguments, place, ""));
  if (!text) { return candidate_error("a string is missing"); }
  return *text;
}

Result<int64_t> optional_whole(const Arguments& arguments, size_t place, std::string_view name, int64_t fallback) {
  const Value* value = arguments.find(place, name);
  if (value == nullptr) { return fallback; }
  const int64_t* number = value->get<int64_t>();
  if (number == nullptr) { return candidate_error(kind_name(*value) + " where a whole number is needed"); }
  return *number;
}

Result<Value> strip_method(const std::string& text, const Arguments& arguments, bool left, bool right) {
  VORTEX_TRY(arguments.allow({""}));
  VORTEX_ASSIGN(const std::optional<std::string> set, optional_text(arguments, 0, ""));
  return Value(std::string(strip(text, set, left, right)));
}

Result<Value> split_method(const std::string& text, const Arguments& arguments, bool from_right) {
  VORTEX_TRY(arguments.allow({"sep", "maxsplit"}));
  VORTEX_ASSIGN(const std::optional<std::string> separator, optional_text(arguments, 0, "sep"));
  VORTEX_ASSIGN(const int64_t limit, optional_whole(arguments, 1, "maxsplit", -1));
  if (separator && separator->empty()) { return candidate_error("split at an empty string"); }
  std::vector<Value> parts;
  for (std::string& part : split(text, separator, limit, from_right)) { parts.emplace_back(std::move(part)); }
  return make_list(std::move(parts));
}

// startswith and endswith take one text or a tuple of them.
Result<Value> edge_method(const std::string& text, const Arguments& arguments, bool front) {
  VORTEX_TRY(arguments.allow({""}));
  const Value* value = arguments.find(0, "");
  if (value == nullptr) { return candidate_error("a string is missing"); }
  const List* list = value->list();
  for (const Value& item : list == nullptr ? std::vector<Value>{*value} : list->items) {
    const std::string* part = item.get<std::string>();
    if (part == nullptr) { return candidate_error(kind_name(item) + " where a string is needed"); }
    if (front ? text.starts_with(*part) : text.ends_with(*part)) { return Value(true); }
  }
  return Value(false);
}

Result<Value> find_method(const std::string& text, const Arguments& arguments, bool count) {
  VORTEX_TRY(arguments.allow({""}));
  VORTEX_ASSIGN(const std::string part, needed_text(arguments, 0));
  if (count) {
    if (part.empty()) { return Value(static_cast<int64_t>(count_characters(text)) + 1); }
    int64_t found = 0;
    for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + part.size())) { ++found; }
    return Value(found);
  }
  const size_t at = text.find(part);
  return Value(at == std::string::npos ? int64_t{-1} : static_cast<int64_t>(count_characters(text.substr(0, at))));
}

Result<Value> cut_method(const std::string& text, const Arguments& arguments, bool front) {
  VORTEX_TRY(arguments.allow({""}));
  VORTEX_ASSIGN(const std::string part, needed_text(arguments, 0));
  if (front) { return Value(text.starts_with(part) ? text.substr(part.size()) : text); }
  return Value(text.ends_with(part) ? text.substr(0, text.size() - part.size()) : text);
}

Result<Value> case_method(const std::string& text, const Arguments& arguments, Case to) {
  VORTEX_TRY(arguments.allow({}));
  VORTEX_ASSIGN(std::string changed, change_case(text, to));
  return Value(std::move(changed));
}

Result<Value> lines_method(const std::string& text, const Arguments& arguments) {
  VORTEX_TRY(arguments.allow({}));
  std::vector<Value> lines;
  for (std::string& line : split_at_line_breaks(text)) { lines.emplace_back(std::move(line)); }
  return make_list(std::move(lines));
}

using StringMethod = Result<Value> (*)(const std::string&, const Arguments&);
struct NamedMethod {
  std::string_view name;
  StringMethod call;
};

constexpr NamedMethod kCallable[] = {
    {"strip", [](const std::string& s, const Arguments& a) { return strip_method(s, a, true, true); }},
    {"lstrip", [](const std::string& s, const Arguments& a) { return strip_method(s, a, true, false); }},
    {"rstrip", [](const std::string& s, const Arguments& a) { return strip_method(s, a, false, true); }},
    {"split", [](const std::string& s, const Arguments& a) { return split_method(s, a, false); }},
    {"rsplit", [](const std::string& s, const Arguments& a) { return split_method(s, a, true); }},
    {"splitlines", lines_method},
    {"startswith", [](const std::string& s, const Arguments& a) { return edge_method(s, a, true); }},
    {"endswith", [](const std::string& s, const Arguments& a) { return edge_method(s, a, false); }},
    {"find", [](const std::string& s, const Arguments& a) { return find_method(s, a, false); }},
    {"count", [](const std::string& s, const Arguments& a) { return find_method(s, a, true); }},
    {"removeprefix", [](const std::string& s, const Arguments& a) { return cut_method(s, a, true); }},
    {"removesuffix", [](const std::string& s, const Arguments& a) { return cut_method(s, a, false); }},
    {"lower", [](const std::string& s, const Arguments& a) { return case_method(s, a, Case::kLower); }},
    {"upper", [](const std::string& s, const Arguments& a) { return case_method(s, a, Case::kUpper); }},
    {"capitalize", [](const std::string& s, const Arguments& a) { return case_method(s, a, Case::kCapital); }},
    {"title", [](const std::string& s, const Arguments& a) { return case_method(s, a, Case::kTitle); }},
    {"replace", [](const std::string& s, const Arguments& a) { return apply_filter("replace", Value(s), a); }},
    {"join",
     [](const std::string& s, const Arguments& a) -> Result<Value> {
       VORTEX_TRY(a.allow({""}));
       if (a.positional.size() != 1) { return candidate_error("join needs a list"); }
       return apply_filter("join", a.positional[0], {{Value(s)}, {}});
     }},
};

Result<Value> call_dict_method(const Dict& dict, const std::string& name, const Arguments& arguments) {
  if (name == "get") {
    VORTEX_TRY(arguments.allow({"", ""}));
    VORTEX_ASSIGN(const std::string key, needed_text(arguments, 0));
    const Value* value = find(dict, key);
    const Value* fallback = arguments.find(1, "");
    return value != nullptr ? *value : fallback != nullptr ? *fallback : Value(None{});
  }
  VORTEX_TRY(arguments.allow({}));
  std::vector<Value> items;
  for (const auto& [key, value] : dict.items) {
    if (name == "keys") {
      items.emplace_back(key);
    } else if (name == "values") {
      items.push_back(value);
    } else {
      VORTEX_ASSIGN(Value pair, make_list({Value(key), value}, true));
      items.push_back(std::move(pair));
    }
  }
  return make_list(std::move(items));
}

// Has a value of this kind a method of that name, in Python?
bool has_method(const Value& operand, std::string_view name) {
  const auto has = [&](const auto& names) {
    return std::find(std::begin(names), std::end(names), name) != std::end(names);
  };
  if (operand.is<std::string>()) { return has(kStringMethods); }
  if (operand.list() != nullptr) { return has(kListMethods); }
  return operand.dict() != nullptr && has(kDictMethods);
}

Result<Value> no_member(const Value& operand, const std::string& name) {
  if (operand.is<Undefined>()) { return candidate_error(kind_name(operand) + ", was asked for its " + name); }
  if (has_method(operand, name)) { return candidate_error("the method " + name + " as a value is not supported"); }
  return Value(Undefined{name});
}

}  // namespace

Result<Value> call_method(const Value& operand, const std::string& name, const Arguments& arguments) {
  if (const std::string* text = operand.get<std::string>()) {
    for (const NamedMethod& method : kCallable) {
      if (method.name == name) { return method.call(*text, arguments); }
    }
  }
  const Dict* dict = operand.dict();
  if (dict != nullptr && (name == "get" || name == "keys" || name == "values" || name == "items")) {
    return call_dict_method(*dict, name, arguments);
  }
  if (has_method(operand, name)) {
    return candidate_error("the method " + name + " of " + kind_name(operand) + " is not supported");
  }
  return candidate_error(kind_name(operand) + " has no method " + name);
}

Result<Value> member(const Value& operand, const Value& key) {
  const std::string* name = key.get<std::string>();
  if (const Dict* dict = operand.dict(); dict != nullptr && name != nullptr) {
    if (const Value* value = find(*dict, *name)) { return *value; }
  }
  if (name != nullptr) {
    if (operand.is<Namespace*>()) { return attribute(operand, *name); }
    return no_member(operand, *name);
  }
  if (operand.is<Undefined>()) { return candidate_error(kind_name(operand) + ", was asked for a member"); }
  const int64_t* number = key.get<int64_t>();
  if (number == nullptr || operand.dict() != nullptr) { return Value(Undefined{"a member"}); }
  if (!operand.is<std::string>() && operand.list() == nullptr) { return Value(Undefined{"a member"}); }
  VORTEX_ASSIGN(const int64_t size, length(operand));
  const int64_t at = *number < 0 ? *number + size : *number;
  if (at < 0 || at >= size) { return Value(Undefined{"member " + std::to_string(*number)}); }
  if (const List* list = operand.list()) { return list->items[static_cast<size_t>(at)]; }
  return Value(std::string(characters(*operand.get<std::string>())[static_cast<size_t>(at)]));
}

Result<Value> attribute(const Value& operand, const std::string& name) {
  if (const auto* space = operand.get<Namespace*>()) {
    const auto value = (*space)->values.find(name);
    return value == (*space)->values.end() ? Value(Undefined{name}) : value->second;
  }
  if (has_method(operand, name)) { return no_member(operand, name); }
  if (const Dict* dict = operand.dict()) {
    if (const Value* value = find(*dict, name)) { return *value; }
  }
  return no_member(operand, name);
}

}  // namespace vortex::model::jinja
