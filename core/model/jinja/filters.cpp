#include <algorithm>
#include <charconv>
#include <cmath>

#include "core/model/jinja/builtins.h"
#include "core/model/jinja/text.h"

namespace vortex::model::jinja {
namespace {

using Apply = Result<Value> (*)(const Value&, const Arguments&);

Result<std::string> text_argument(const Arguments& arguments, size_t place, std::string_view name,
                                  const std::string& fallback) {
  const Value* value = arguments.find(place, name);
  if (value == nullptr) { return fallback; }
  return to_text(*value);
}

Result<Value> trim(const Value& value, const Arguments& arguments) {
  VORTEX_TRY(arguments.allow({"chars"}));
  VORTEX_ASSIGN(const std::string text, to_text(value));
  const Value* set = arguments.find(0, "chars");
  if (set == nullptr || set->is<None>()) { return Value(std::string(strip(text, std::nullopt, true, true))); }
  VORTEX_ASSIGN(const std::string wanted, to_text(*set));
  return Value(std::string(strip(text, wanted, true, true)));
}

Result<Value> to_case(const Value& value, const Arguments& arguments, Case to) {
  VORTEX_TRY(arguments.allow({}));
  VORTEX_ASSIGN(const std::string text, to_text(value));
  VORTEX_ASSIGN(std::string changed, change_case(text, to));
  return Value(std::move(changed));
}

Result<Value> title(const Value& value, const Arguments& arguments) {
  VORTEX_TRY(arguments.allow({}));
  VORTEX_ASSIGN(const std::string text, to_text(value));
  VORTEX_ASSIGN(std::string changed, filter_title(text));
  return Value(std::move(changed));
}

Result<Value> string(const Value& value, const Arguments& arguments) {
  VORTEX_TRY(arguments.allow({}));
  VORTEX_ASSIGN(std::string text, to_text(value));
  return Value(std::move(text));
}

Result<Value> count(const Value& value, const Arguments& arguments) {
  VORTEX_TRY(arguments.allow({}));
  VORTEX_ASSIGN(const int64_t size, length(value));
  return Value(size);
}

Result<Value> fallback(const Value& value, const Arguments& arguments) {
  VORTEX_TRY(arguments.allow({"default_value", "boolean"}));
  const Value* other = arguments.find(0, "default_value");
  const Value* empty_too = arguments.find(1, "boolean");
  const bool missing = value.is<Undefined>() || (empty_too != nullptr && is_true(*empty_too) && !is_true(value));
  if (!missing) { return value; }
  return other == nullptr ? Value("") : *other;
}

Result<Value> replace_filter(const Value& value, const Arguments& arguments) {
  VORTEX_TRY(arguments.allow({"old", "new", "count"}));
  if (arguments.find(0, "old") == nullptr || arguments.find(1, "new") == nullptr) {
    return candidate_error("replace needs two strings");
  }
  VORTEX_ASSIGN(const std::string text, to_text(value));
  VORTEX_ASSIGN(const std::string from, text_argument(arguments, 0, "old", ""));
  VORTEX_ASSIGN(const std::string to, text_argument(arguments, 1, "new", ""));
  const Value* limit = arguments.find(2, "count");
  const int64_t* most = limit == nullptr ? nullptr : limit->get<int64_t>();
  if (limit != nullptr && most == nullptr && !limit->is<None>()) { return candidate_error("replace: no whole number"); }
  if ((text.size() / std::max<size_t>(from.size(), 1) + 1) * to.size() > kMaxText) {
    return candidate_error("replace: the text would become too long");
  }
  return Value(replace(text, from, to, most == nullptr ? -1 : *most));
}

// The member of a value that a path such as "function.name" leads to.
Result<Value> follow(Value value, const std::string& path) {
  for (const std::string& part : split(path, ".", -1, false)) {
    int64_t place = 0;
    const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), place);
    const bool numbered = error == std::errc() && end == part.data() + part.size();
    VORTEX_ASSIGN(value, member(value, numbered ? Value(place) : Value(part)));
  }
  return value;
}

Result<Value> join(const Value& value, const Arguments& arguments) {
  VORTEX_TRY(arguments.allow({"d", "attribute"}));
  VORTEX_ASSIGN(const std::string separator, text_argument(arguments, 0, "d", ""));
  VORTEX_ASSIGN(const std::vector<Value> items, iterate(value));
  const Value* path = arguments.find(1, "attribute");
  std::string out;
  for (size_t i = 0; i < items.size(); ++i) {
    Value item = items[i];
    if (path != nullptr) {
      VORTEX_ASSIGN(const std::string name, to_text(*path));
      VORTEX_ASSIGN(item, follow(std::move(item), name));
    }
    VORTEX_ASSIGN(const std::string text, to_text(item));
    out += (i > 0 ? separator : "") + text;
    if (out.size() > kMaxText) { return candidate_error("join: the text would become too long"); }
  }
  return Value(std::move(out));
}

Result<Value> items(const Value& value, const Arguments& arguments) {
  VORTEX_TRY(arguments.allow({}));
  if (value.is<Undefined>()) { return make_list({}); }
  if (value.dict() == nullptr) { return candidate_error("items: " + kind_name(value) + " is no dict"); }
  return call_method(value, "items", {});
}

Result<Value> list(const Value& value, const Arguments& arguments) {
  VORTEX_TRY(arguments.allow({}));
  VORTEX_ASSIGN(std::vector<Value> members, iterate(value));
  return make_list(std::move(members));
}

Result<Value> first_or_last(const Value& value, const Arguments& arguments, bool first) {
  VORTEX_TRY(arguments.allow({}));
  VORTEX_ASSIGN(const std::vector<Value> members, iterate(value));
  if (members.empty()) { return Value(Undefined{first ? "the first member" : "the last member"}); }
  return first ? members.front() : members.back();
}

Result<Value> reverse(const Value& value, const Arguments& arguments) {
  VORTEX_TRY(arguments.allow({}));
  VORTEX_ASSIGN(std::vector<Value> members, iterate(value));
  std::reverse(members.begin(), members.end());
  if (!value.is<std::string>()) { return make_list(std::move(members)); }
  std::string out;
  for (const Value& character : members) { out += *character.get<std::string>(); }
  return Value(std::move(out));
}

Result<Value> unique(const Value& value, const Arguments& arguments) {
  VORTEX_TRY(arguments.allow({}));
  VORTEX_ASSIGN(const std::vector<Value> members, iterate(value));
  std::vector<Value> kept;
  for (const Value& item : members) {
    if (item.is<std::string>()) {
      return candidate_error("unique of strings, whose case it ignores, is not supported");
    }
    if (kept.size() > 1000) { return candidate_error("unique of more than 1000 members is not supported"); }
    if (std::none_of(kept.begin(), kept.end(), [&](const Value& k) { return equal(k, item); })) {
      kept.push_back(item);
    }
  }
  return make_list(std::move(kept));
}

// The test that select and its kin apply, from place `at` of their arguments on; without one, is it true?
Result<bool> passes(const Value& value, const Arguments& arguments, size_t at) {
  if (arguments.positional.size() <= at) { return is_true(value); }
  const std::string* name = arguments.positional[at].get<std::string>();
  if (name == nullptr) { return candidate_error("a test is named by a string"); }
  Arguments rest;
  rest.positional.assign(arguments.positional.begin() + static_cast<std::ptrdiff_t>(at) + 1,
                         arguments.positional.end());
  return apply_test(*name == "==" ? "eq" : *name == "!=" ? "ne" : *name, value, rest);
}

Result<Value> choose(const Value& value, const Arguments& arguments, bool by_member, bool wanted) {
  if (!arguments.named.empty()) { return candidate_error("named arguments are not supported here"); }
  std::string path;
  if (by_member) {
    if (arguments.positional.empty()) { return candidate_error("the name of a member is missing"); }
    VORTEX_ASSIGN(path, to_text(arguments.positional[0]));
  }
  VORTEX_ASSIGN(const std::vector<Value> members, iterate(value));
  std::vector<Value> chosen;
  for (const Value& item : members) {
    Value asked = item;
    if (by_member) { VORTEX_ASSIGN(asked, follow(item, path)); }
    VORTEX_ASSIGN(const bool passed, passes(asked, arguments, by_member ? 1 : 0));
    if (passed == wanted) { chosen.push_back(item); }
  }
  return make_list(std::move(chosen));
}

Result<Value> map(const Value& value, const Arguments& arguments) {
  VORTEX_ASSIGN(const std::vector<Value> members, iterate(value));
  std::vector<Value> mapped;
  const bool by_member = arguments.positional.empty();
  if (by_member) { VORTEX_TRY(arguments.allow({"attribute", "default"})); }
  const Value* path = by_member ? arguments.find(0, "attribute") : nullptr;
  const Value* other = by_member ? arguments.find(1, "default") : nullptr;
  if (by_member && path == nullptr) { return candidate_error("map needs a filter or an attribute"); }
  for (const Value& item : members) {
    VORTEX_ASSIGN(const std::string name, to_text(by_member ? *path : arguments.positional[0]));
    Value result;
    if (by_member) {
      VORTEX_ASSIGN(result, follow(item, name));
      if (result.is<Undefined>() && other != nullptr) { result = *other; }
    } else {
      Arguments rest = arguments;
      rest.positional.erase(rest.positional.begin());
      if (name == "map") { return candidate_error("map of map is not supported"); }
      VORTEX_ASSIGN(result, apply_filter(name, item, rest));
    }
    mapped.push_back(std::move(result));
  }
  return make_list(std::move(mapped));
}

Result<Value> sorted_dict(const Value& value, const Arguments& arguments) {
  VORTEX_TRY(arguments.allow({}));
  if (value.dict() == nullptr) { return candidate_error("dictsort: " + kind_name(value) + " is no dict"); }
  std::vector<std::pair<std::string, std::pair<std::string, Value>>> keyed;
  for (const auto& item : value.dict()->items) {
    VORTEX_ASSIGN(std::string key, change_case(item.first, Case::kLower));
    keyed.emplace_back(std::move(key), item);
  }
  std::stable_sort(keyed.begin(), keyed.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<Value> pairs;
  for (auto& [key, item] : keyed) {
    VORTEX_ASSIGN(Value pair, make_list({Value(item.first), item.second}, true));
    pairs.push_back(std::move(pair));
  }
  return make_list(std::move(pairs));
}

Result<Value> json(const Value& value, const Arguments& arguments) {
  VORTEX_TRY(arguments.allow({"ensure_ascii", "indent"}));
  const Value* ascii = arguments.find(0, "ensure_ascii");
  if (ascii != nullptr && is_true(*ascii)) { return candidate_error("tojson with ensure_ascii is not supported"); }
  const Value* indent = arguments.find(1, "indent");
  int width = -1;
  if (indent != nullptr && !indent->is<None>()) {
    const int64_t* number = indent->get<int64_t>();
    if (number == nullptr || *number < 0 || *number > 100) {
      return candidate_error("tojson: no indent from 0 to 100");
    }
    width = static_cast<int>(*number);
  }
  VORTEX_ASSIGN(std::string text, to_json(value, width));
  if (text.size() > kMaxText) { return candidate_error("tojson: the text is too long"); }
  return Value(std::move(text));
}

Result<Value> indent(const Value& value, const Arguments& arguments) {
  VORTEX_TRY(arguments.allow({"width", "first", "blank"}));
  const Value* width = arguments.find(0, "width");
  const Value* first = arguments.find(1, "first");
  const Value* blank = arguments.find(2, "blank");
  std::string margin(4, ' ');
  if (width != nullptr) {
    const int64_t* number = width->get<int64_t>();
    const std::string* text = width->get<std::string>();
    if (text == nullptr && (number == nullptr || *number < 0 || *number > 100)) {
      return candidate_error("indent: no width from 0 to 100");
    }
    margin = text != nullptr ? *text : std::string(static_cast<size_t>(*number), ' ');
  }
  VORTEX_ASSIGN(const std::string text, to_text(value));
  const std::vector<std::string> lines = split_at_line_breaks(text + "\n");
  if (text.size() + lines.size() * margin.size() > kMaxText) { return candidate_error("indent: the text is too long"); }
  const bool blank_too = blank != nullptr && is_true(*blank);
  std::string out;
  for (size_t i = 0; i < lines.size(); ++i) {
    if (i > 0) { out += '\n'; }
    if (i == 0 ? first != nullptr && is_true(*first) : blank_too || !lines[i].empty()) { out += margin; }
    out += lines[i];
  }
  return Value(std::move(out));
}

Result<Value> to_int(const Value& value, const Arguments& arguments) {
  VORTEX_TRY(arguments.allow({"default"}));
  const Value* other = arguments.find(0, "default");
  const Value missing = other == nullptr ? Value(int64_t{0}) : *other;
  if (const bool* truth = value.get<bool>()) { return Value(int64_t{*truth}); }
  if (value.is<int64_t>()) { return value; }
  double number = 0;
  if (const double* given = value.get<double>()) {
    number = *given;
  } else if (const std::string* text = value.get<std::string>()) {
    const std::string_view digits = strip(*text, std::nullopt, true, true);
    int64_t whole = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), whole);
    if (error == std::errc() && end == digits.data() + digits.size()) { return Value(whole); }
    const auto [stop, failed] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
    if (failed != std::errc() || stop != digits.data() + digits.size()) { return missing; }
  } else {
    return missing;
  }
  if (!(std::fabs(number) < 9e18)) { return candidate_error("int: the number is out of range"); }
  return Value(static_cast<int64_t>(number));
}

Result<Value> absolute(const Value& value, const Arguments& arguments) {
  VORTEX_TRY(arguments.allow({}));
  if (const double* number = value.get<double>()) { return Value(std::fabs(*number)); }
  const int64_t* number = value.get<int64_t>();
  if (number == nullptr || *number == INT64_MIN) { return candidate_error("abs: " + kind_name(value)); }
  return Value(std::abs(*number));
}

Result<Value> safe(const Value&, const Arguments&) {
  return candidate_error("the filter safe is supported only directly in {{ }} and between ~");
}

struct Filter {
  std::string_view name;
  Apply apply;
};

constexpr Filter kFilters[] = {
    {"abs", absolute},
    {"capitalize", [](const Value& v, const Arguments& a) { return to_case(v, a, Case::kCapital); }},
    {"count", count},
    {"d", fallback},
    {"default", fallback},
    {"dictsort", sorted_dict},
    {"first", [](const Value& v, const Arguments& a) { return first_or_last(v, a, true); }},
    {"indent", indent},
    {"int", to_int},
    {"items", items},
    {"join", join},
    {"last", [](const Value& v, const Arguments& a) { return first_or_last(v, a, false); }},
    {"length", count},
    {"list", list},
    {"lower", [](const Value& v, const Arguments& a) { return to_case(v, a, Case::kLower); }},
    {"map", map},
    {"reject", [](const Value& v, const Arguments& a) { return choose(v, a, false, false); }},
    {"rejectattr", [](const Value& v, const Arguments& a) { return choose(v, a, true, false); }},
    {"replace", replace_filter},
    {"reverse", reverse},
    {"safe", safe},
    {"select", [](const Value& v, const Arguments& a) { return choose(v, a, false, true); }},
    {"selectattr", [](const Value& v, const Arguments& a) { return choose(v, a, true, true); }},
    {"string", string},
    {"title", title},
    {"tojson", json},
    {"trim", trim},
    {"unique", unique},
    {"upper", [](const Value& v, const Arguments& a) { return to_case(v, a, Case::kUpper); }},
};

const Filter* find_filter(std::string_view name) {
  const auto* filter =
      std::find_if(std::begin(kFilters), std::end(kFilters), [&](const Filter& f) { return f.name == name; });
  return filter == std::end(kFilters) ? nullptr : filter;
}

}  // namespace

const Value* Arguments::find(size_t place, std::string_view name) const {
  if (place < positional.size()) { return &positional[place]; }
  for (const auto& [given, value] : named) {
    if (given == name) { return &value; }
  }
  return nullptr;
}

Status Arguments::allow(std::initializer_list<std::string_view> names) const {
  if (positional.size() > names.size()) { return candidate_error("too many arguments"); }
  for (const auto& [given, value] : named) {
    const auto* known = std::find(names.begin(), names.end(), given);
    if (known == names.end()) { return candidate_error("the argument " + given + " is not supported"); }
    if (static_cast<size_t>(known - names.begin()) < positional.size()) {
      return candidate_error("the argument " + given + " is given twice");
    }
  }
  return ok_status();
}

bool is_filter(std::string_view name) { return find_filter(name) != nullptr; }

Result<Value> apply_filter(std::string_view name, const Value& operand, const Arguments& arguments) {
  const Filter* filter = find_filter(name);
  if (filter == nullptr) { return candidate_error("the filter " + std::string(name) + " is not supported"); }
  return filter->apply(operand, arguments);
}

}  // namespace vortex::model::jinja
