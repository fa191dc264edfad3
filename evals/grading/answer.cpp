#include "evals/grading/answer.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/text.h"
#include "evals/grading/clean.h"
#include "evals/grading/expression.h"

namespace vortex::evals {
namespace {

constexpr size_t kLongest = 1000;    // bytes; what is longer is compared as text alone
constexpr size_t kMaxElements = 64;  // of a list
constexpr int kMaxDepth = 8;         // of nested lists

using Units = std::pair<std::string_view, std::string_view>;
// Units by one name each. Single letters count as units only in \text{}.
constexpr std::array<Units, 58> kUnits = {{
    {"mm", "mm"},
    {"millimeter", "mm"},
    {"millimetre", "mm"},
    {"cm", "cm"},
    {"centimeter", "cm"},
    {"centimetre", "cm"},
    {"meter", "m"},
    {"metre", "m"},
    {"km", "km"},
    {"kilometer", "km"},
    {"kilometre", "km"},
    {"inch", "in"},
    {"inche", "in"},
    {"ft", "ft"},
    {"foot", "ft"},
    {"feet", "ft"},
    {"yard", "yd"},
    {"mile", "mi"},
    {"kg", "kg"},
    {"kilogram", "kg"},
    {"gram", "g"},
    {"pound", "lb"},
    {"lb", "lb"},
    {"liter", "l"},
    {"litre", "l"},
    {"ml", "ml"},
    {"second", "s"},
    {"sec", "s"},
    {"minute", "min"},
    {"min", "min"},
    {"hour", "h"},
    {"hr", "h"},
    {"day", "day"},
    {"week", "week"},
    {"month", "month"},
    {"year", "year"},
    {"mph", "mph"},
    {"degree", ""},
    {"deg", ""},
    {"radian", ""},
    {"rad", ""},
    {"dollar", "dollar"},
    {"cent", "cent"},
    {"euro", "euro"},
    {"unit", ""},
    {"square", ""},
    {"cubic", ""},
    {"sq", ""},
    {"percent", "percent"},
    {"per", ""},
    {"m", "m"},
    {"g", "g"},
    {"s", "s"},
    {"h", "h"},
    {"l", "l"},
    {"in", "in"},
    {"mi", "mi"},
    {"hz", "hz"},
}};

bool is_letter(char c) { return std::isalpha(static_cast<unsigned char>(c)) != 0; }

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && text.front() == ' ') { text.remove_prefix(1); }
  while (!text.empty() && text.back() == ' ') { text.remove_suffix(1); }
  return text;
}

// Visits the places of `text` outside all brackets; `fn(i)` gives how many bytes to pass over, 0 for one.
template <typename Fn>
void at_top_level(std::string_view text, Fn fn) {
  int depth = 0;
  for (size_t i = 0; i < text.size();) {
    const char c = text[i];
    if (c == '(' || c == '[' || c == '{') { ++depth; }
    if (c == ')' || c == ']' || c == '}') { --depth; }
    const size_t passed = depth == 0 ? fn(i) : 0;
    i += std::max<size_t>(passed, 1);
  }
}

std::vector<std::string> split(std::string_view text, std::string_view separator) {
  std::vector<std::string> parts;
  size_t begin = 0;
  const auto keep = [&](size_t end) {
    const std::string_view part = trimmed(text.substr(begin, end - begin));
    if (!part.empty() && parts.size() <= kMaxElements) { parts.emplace_back(part); }
  };
  at_top_level(text, [&](size_t i) -> size_t {
    if (!text.substr(i).starts_with(separator)) { return 0; }
    if (is_letter(separator.back()) && i + separator.size() < text.size() && is_letter(text[i + separator.size()])) {
      return 0;
    }
    keep(i);
    begin = i + separator.size();
    return separator.size();
  });
  keep(text.size());
  return parts;
}

// A name that may stand before "=": x, x_1, \theta, f(x), (x, y), or words.
bool is_name(std::string_view text) {
  text = trimmed(text);
  if (text.size() > 1 && text.front() == '(' && text.back() == ')') { text = trimmed(text.substr(1, text.size() - 2)); }
  if (text.empty()) { return false; }
  if (const size_t open = text.find('('); open != std::string_view::npos && open > 0 && text.back() == ')') {
    text = text.substr(0, open);
  }
  bool letters = false;
  for (const char c : text) {
    const bool fits = std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '{' || c == '}' ||
                      c == ' ' || c == '\\' || c == '\'' || c == kTextBegin || c == kTextEnd || c == '|' || c == ',';
    if (!fits) { return false; }
    letters = letters || is_letter(c);
  }
  return letters && is_letter(text.front() == '\\' || text.front() == kTextBegin ? text[1] : text.front());
}

// --- scalars

// What is left of a scalar without its words, and which units were among them.
struct Bare {
  std::string text;
  std::string units;     // by their one name each, in order
  bool unknown = false;  // words that are no units were dropped, too
};

std::optional<std::string_view> unit_name(std::string word, bool in_text) {
  word = lower_ascii(word);
  if (word.size() == 1 && !in_text) { return std::nullopt; }
  for (const std::string& form :
       {word, word.size() > 2 && word.back() == 's' ? word.substr(0, word.size() - 1) : word}) {
    for (const Units& unit : kUnits) {
      if (unit.first == form) { return unit.second; }
    }
  }
  return std::nullopt;
}

bool is_math_word(std::string_view word) {
  constexpr std::array<std::string_view, 12> kWords = {"pi",  "sqrt", "sin", "cos",   "tan",      "ln",
                                                       "log", "exp",  "inf", "infty", "infinity", "arctan"};
  return std::find(kWords.begin(), kWords.end(), word) != kWords.end();
}

// The power on a unit that was dropped: cm^2.
void drop_power(std::string_view text, size_t& at) {
  if (at >= text.size() || text[at] != '^') { return; }
  ++at;
  const bool braces = at < text.size() && text[at] == '{';
  if (braces) { ++at; }
  while (at < text.size() && (std::isdigit(static_cast<unsigned char>(text[at])) != 0 || text[at] == '-')) { ++at; }
  if (braces && at < text.size() && text[at] == '}') { ++at; }
}

Bare bare(std::string_view text, bool all_words) {
  Bare made;
  bool in_text = false;
  for (size_t at = 0; at < text.size();) {
    const char c = text[at];
    if (c == kTextBegin || c == kTextEnd) {
      in_text = c == kTextBegin;
      ++at;
      if (!in_text) { drop_power(text, at); }
      made.text += ' ';
      continue;
    }
    if (!is_letter(c) || (at > 0 && text[at - 1] == '\\')) {
      made.text += c;
      ++at;
      if (c == '\\') {
        while (at < text.size() && is_letter(text[at])) { made.text += text[at++]; }
      }
      continue;
    }
    const size_t begin = at;
    while (at < text.size() && is_letter(text[at])) { ++at; }
    const std::string word(text.substr(begin, at - begin));
    if (const auto unit = unit_name(word, in_text)) {
      if (!unit->empty()) { made.units += (made.units.empty() ? "" : " ") + std::string(*unit); }
      drop_power(text, at);
    } else if (in_text || (all_words && word.size() > 1 && !is_math_word(word))) {
      made.unknown = true;
    } else {
      made.text += word;
    }
  }
  // "60 mph" and "60 km/h" leave a slash behind.
  while (!made.text.empty() && (made.text.back() == ' ' || made.text.back() == '/')) { made.text.pop_back(); }
  return made;
}

std::string with_text_kept(std::string_view text) {
  std::string out;
  for (const char c : text) { out += c == kTextBegin || c == kTextEnd ? ' ' : c; }
  return out;
}

struct Scalar {
  std::optional<Value> value;
  bool percent = false;
};

Scalar read_scalar(std::string_view text) {
  Scalar scalar;
  text = trimmed(text);
  if (text.ends_with('%')) {
    scalar.percent = true;
    text.remove_suffix(1);
  }
  scalar.value = evaluate(trimmed(text));
  return scalar;
}

bool same_scalar(const Scalar& a, const Scalar& b) {
  if (!a.value || !b.value) { return false; }
  if (same_value(*a.value, *b.value)) { return true; }
  if (a.percent == b.percent) { return false; }
  const Scalar& percent = a.percent ? a : b;
  const Scalar& plain = a.percent ? b : a;
  return same_value(scaled(*percent.value, 1, 100), *plain.value);
}

bool is_plain_number(const Scalar& scalar) { return scalar.value && !scalar.value->has_variables; }

bool scalars_agree(std::string_view a, std::string_view b) {
  if (same_scalar(read_scalar(with_text_kept(a)), read_scalar(with_text_kept(b)))) { return true; }
  // Without units: one side may lack them, different ones are different answers.
  const Bare a_bare = bare(a, false);
  const Bare b_bare = bare(b, false);
  if (!a_bare.units.empty() && !b_bare.units.empty() && a_bare.units != b_bare.units) { return false; }
  const Scalar a_value = read_scalar(a_bare.text);
  const Scalar b_value = read_scalar(b_bare.text);
  const bool words_differ = a_bare.unknown && b_bare.unknown;
  if (!words_differ && same_scalar(a_value, b_value)) { return true; }
  // Without any words, where the other side is a number.
  if (is_plain_number(b_value) && !b_bare.unknown && same_scalar(read_scalar(bare(a, true).text), b_value)) {
    return true;
  }
  return is_plain_number(a_value) && !a_bare.unknown && same_scalar(a_value, read_scalar(bare(b, true).text));
}

// Letters and digits alone, in lower case.
std::string words_of(std::string_view text) {
  std::string out;
  for (const char c : lower_ascii(text)) {
    if (std::isalnum(static_cast<unsigned char>(c)) != 0 || static_cast<unsigned char>(c) >= 0x80) { out += c; }
  }
  return out;
}

// Do they consist of the same words? Only where there is no formula in them.
bool same_words(std::string_view a, std::string_view b) {
  const auto is_prose = [](std::string_view text) {
    return text.find_first_of("+-*/^=<>\\_{}") == std::string_view::npos &&
           std::count_if(text.begin(), text.end(), is_letter) >= 2;
  };
  return is_prose(a) && is_prose(b) && words_of(a) == words_of(b);
}

// --- structure

bool same(std::string_view a, std::string_view b, int depth);

bool same_lists(const std::vector<std::string>& a, const std::vector<std::string>& b, bool ordered, int depth) {
  if (a.size() != b.size() || a.size() > kMaxElements) { return false; }
  std::vector<bool> used(b.size(), false);
  for (size_t i = 0; i < a.size(); ++i) {
    bool found = false;
    for (size_t j = ordered ? i : 0; j < (ordered ? i + 1 : b.size()) && !found; ++j) {
      if (used[j] || !same(a[i], b[j], depth + 1)) { continue; }
      used[j] = found = true;
    }
    if (!found) { return false; }
  }
  return true;
}

// Is `text` one bracket from end to end? Then its inside.
struct Group {
  std::string open;
  std::string close;
  std::string_view inside;
};

std::optional<Group> group_of(std::string_view text) {
  if (text.size() < 2) { return std::nullopt; }
  const size_t open = text.starts_with("\\{")                                                ? 2
                      : std::string_view("([{").find(text.front()) != std::string_view::npos ? 1
                                                                                             : 0;
  const size_t close = text.ends_with("\\}")                                                 ? 2
                       : std::string_view(")]}").find(text.back()) != std::string_view::npos ? 1
                                                                                             : 0;
  if (open == 0 || close == 0 || open + close > text.size()) { return std::nullopt; }
  int depth = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    if (std::string_view("([{").find(text[i]) != std::string_view::npos) { ++depth; }
    if (std::string_view(")]}").find(text[i]) != std::string_view::npos) { --depth; }
    if (depth == 0 && i + 1 < text.size() && i > 0) { return std::nullopt; }
  }
  return Group{std::string(text.substr(0, open)), std::string(text.substr(text.size() - close)),
               trimmed(text.substr(open, text.size() - open - close))};
}

// The relation signs at top level: where and which.
struct Relation {
  size_t at;
  size_t size;
  std::string sign;  // = < > \le \ge
};

std::vector<Relation> relations_of(std::string_view text) {
  std::vector<Relation> found;
  at_top_level(text, [&](size_t i) -> size_t {
    for (const auto& [written, sign] : {std::pair{"\\le", "\\le"},
                                        {"\\ge", "\\ge"},
                                        {"<=", "\\le"},
                                        {">=", "\\ge"},
                                        {"=", "="},
                                        {"<", "<"},
                                        {">", ">"}}) {
      const std::string_view name = written;
      if (!text.substr(i).starts_with(name)) { continue; }
      if (is_letter(name.back()) && i + name.size() < text.size() && is_letter(text[i + name.size()])) { continue; }
      found.push_back({i, name.size(), sign});
      return name.size();
    }
    return 0;
  });
  return found;
}

// x > 2, 2 < x and 2 < x \le 5 as intervals; nothing for other relations.
std::optional<std::string> as_interval(std::string_view text) {
  const std::vector<Relation> relations = relations_of(text);
  if (relations.empty() || relations.size() > 2) { return std::nullopt; }
  for (const Relation& relation : relations) {
    if (relation.sign == "=") { return std::nullopt; }
  }
  const auto is_less = [](const Relation& relation) { return relation.sign == "<" || relation.sign == "\\le"; };
  const auto is_open = [](const Relation& relation) { return relation.sign.size() == 1; };
  const Relation& first = relations.front();
  const std::string left(trimmed(text.substr(0, first.at)));
  if (relations.size() == 2) {
    const Relation& second = relations.back();
    const std::string middle(trimmed(text.substr(first.at + first.size, second.at - first.at - first.size)));
    const std::string right(trimmed(text.substr(second.at + second.size)));
    if (is_less(first) != is_less(second) || !is_name(middle)) { return std::nullopt; }
    const Relation& low = is_less(first) ? first : second;
    const Relation& high = is_less(first) ? second : first;
    return (is_open(low) ? "(" : "[") + (is_less(first) ? left : right) + "," + (is_less(first) ? right : left) +
           (is_open(high) ? ")" : "]");
  }
  const std::string right(trimmed(text.substr(first.at + first.size)));
  if (!is_name(left) && !is_name(right)) { return std::nullopt; }
  const bool name_first = is_name(left);
  const std::string& bound = name_first ? right : left;
  if (is_less(first) == name_first) { return "(-\\infty," + bound + (is_open(first) ? ")" : "]"); }
  return (is_open(first) ? "(" : "[") + bound + ",\\infty)";
}

// The value of an answer that is written as `x = value`, `x \in set`, `exact \approx rough`.
std::string_view without_name(std::string_view text) {
  for (const std::string_view sign : {"\\approx", "\\in", "\\to"}) {
    const std::vector<std::string> parts = split(text, sign);
    if (parts.size() != 2) { continue; }
    const size_t at = text.find(sign);
    text = is_name(parts[0]) ? text.substr(at + sign.size()) : text.substr(0, at);
  }
  const std::vector<Relation> relations = relations_of(text);
  const bool all_equal =
      std::all_of(relations.begin(), relations.end(), [](const Relation& r) { return r.sign == "="; });
  if (!relations.empty() && all_equal && is_name(text.substr(0, relations.front().at))) {
    return trimmed(text.substr(relations.back().at + 1));
  }
  return trimmed(text);
}

// left - right of an equation with one "=".
std::optional<Value> difference_of(std::string_view text) {
  const std::vector<Relation> relations = relations_of(text);
  if (relations.size() != 1 || relations[0].sign != "=") { return std::nullopt; }
  return evaluate(with_text_kept(std::string(text.substr(0, relations[0].at)) + "-(" +
                                 std::string(text.substr(relations[0].at + 1)) + ")"));
}

bool same_equations(std::string_view a, std::string_view b) {
  const auto a_value = difference_of(a);
  const auto b_value = difference_of(b);
  return a_value && b_value && (same_value(*a_value, *b_value) || same_value(*a_value, scaled(*b_value, -1, 1)));
}

std::string with_plus_minus_spelled_out(std::string_view text) {
  constexpr std::string_view kSign = "\\pm";
  const size_t at = text.find(kSign);
  if (at == std::string_view::npos) { return std::string(text); }
  const std::string before(text.substr(0, at));
  const std::string after(text.substr(at + kSign.size()));
  return before + "+" + after + "," + before + "-" + after;
}

// The same answer without what may stand around it: braces, names, inequalities, plus-minus.
std::string simplified(std::string_view text) {
  text = trimmed(text);
  while (true) {
    const auto group = group_of(text);
    if (!group || group->open != "{" || group->close != "}") { break; }
    text = group->inside;
  }
  if (const auto interval = as_interval(text)) { return *interval; }
  return with_plus_minus_spelled_out(without_name(text));
}

bool same_groups(const Group& a, const Group& b, int depth) {
  const bool set = a.open == "\\{" && b.open == "\\{";
  if (a.open != b.open || a.close != b.close) { return false; }
  return same_lists(split(a.inside, ","), split(b.inside, ","), !set, depth);
}

// The answers that a text lists, each simplified; one where it is no list.
std::vector<std::string> elements_of(std::string_view text) {
  std::vector<std::string> elements;
  for (const std::string& part : split(text, ",")) {
    const std::string simple = simplified(part);
    const auto group = group_of(simple);
    for (std::string& element : split(group && group->open == "\\{" ? group->inside : simple, ",")) {
      elements.push_back(std::move(element));
    }
  }
  return elements;
}

bool same(std::string_view a_text, std::string_view b_text, int depth) {
  if (depth > kMaxDepth) { return false; }
  if (trimmed(a_text) == trimmed(b_text) || same_words(a_text, b_text) || same_equations(a_text, b_text)) {
    return true;
  }
  const std::vector<std::string> a_elements = elements_of(a_text);
  const std::vector<std::string> b_elements = elements_of(b_text);
  if (a_elements.size() != 1 || b_elements.size() != 1) {
    return !a_elements.empty() && same_lists(a_elements, b_elements, false, depth);
  }
  const std::string& a = a_elements.front();
  const std::string& b = b_elements.front();
  if (a == b || same_words(a, b)) { return true; }
  const std::vector<std::string> a_parts = split(a, "\\cup");
  const std::vector<std::string> b_parts = split(b, "\\cup");
  if (a_parts.size() > 1 || b_parts.size() > 1) { return same_lists(a_parts, b_parts, false, depth); }
  const auto a_group = group_of(a);
  const auto b_group = group_of(b);
  const auto has_comma = [](const std::optional<Group>& group) {
    return group && split(group->inside, ",").size() > 1;
  };
  if (has_comma(a_group) && has_comma(b_group)) { return same_groups(*a_group, *b_group, depth); }
  if (has_comma(a_group) || has_comma(b_group)) { return false; }
  if (scalars_agree(a, b)) { return true; }
  // "3 + 4 = 7": what it comes to.
  const auto last_side = [](const std::string& text) {
    const std::vector<Relation> relations = relations_of(text);
    return relations.empty() ? text : std::string(trimmed(text.substr(relations.back().at + relations.back().size)));
  };
  const bool one_equation = relations_of(a).empty() != relations_of(b).empty();
  return one_equation && scalars_agree(last_side(a), last_side(b));
}

// "(B) 27": the letter of a choice before its text.
std::string without_choice(std::string_view text) {
  std::string plain = with_text_kept(text);
  const std::string_view view = trimmed(plain);
  const bool bracketed = view.size() > 4 && view[0] == '(' && view[1] >= 'A' && view[1] <= 'E' && view[2] == ')';
  return bracketed ? std::string(trimmed(view.substr(3))) : std::string();
}

bool same_cleaned(const std::string& reference, const std::string& answer) {
  if (same(reference, answer, 0)) { return true; }
  const std::string merged_reference = without_thousands_separators(reference);
  const std::string merged_answer = without_thousands_separators(answer);
  const bool merged = merged_reference != reference || merged_answer != answer;
  return merged && same(merged_reference, merged_answer, 0);
}

}  // namespace

bool same_answer(std::string_view reference, std::string_view answer) {
  if (reference.size() > kLongest || answer.size() > kLongest) { return trimmed(reference) == trimmed(answer); }
  const std::string a = clean(reference);
  const std::string b = clean(answer);
  if (b.empty()) { return false; }
  if (same_cleaned(a, b)) { return true; }
  const std::string choice = without_choice(b);
  return !choice.empty() && without_choice(a).empty() && same_cleaned(a, choice);
}

}  // namespace vortex::evals
