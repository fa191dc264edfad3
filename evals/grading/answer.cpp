#include "evals/grading/answer.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "evals/grading/answer_tree.h"
#include "evals/grading/lexer.h"
#include "evals/grading/names.h"

namespace vortex::evals {
namespace {

constexpr size_t kLongest = 1000;  // bytes; what is longer is compared as text alone
constexpr int kMaxDepth = 16;      // of lists within each other

Agreement agree(const Node& reference, const Node& answer, int depth);

Agreement from(bool same) { return same ? Agreement::kSame : Agreement::kDifferent; }

// One of two readings is enough.
Agreement either(Agreement a, Agreement b) {
  if (a == Agreement::kSame || b == Agreement::kSame) { return Agreement::kSame; }
  return a == Agreement::kUnreadable || b == Agreement::kUnreadable ? Agreement::kUnreadable : Agreement::kDifferent;
}

bool is_plain_number(const Node& node) {
  return node.kind == NodeKind::kNumber && !node.term.is_matrix() && !node.term.value.has_variables;
}

Name name_of(const Node& side) { return {side.as_name, side.descriptive}; }

// --- numbers

bool same_cells(const Term& a, const Term& b) {
  const bool columns = a.columns == b.columns && a.cells.size() == b.cells.size();
  return columns && std::equal(a.cells.begin(), a.cells.end(), b.cells.begin(), same_value);
}

Value scaled(const Value& value, const Unit& unit) {
  return divide(multiply(value, number(unit.numerator)), number(unit.denominator));
}

bool is_percent(const Unit& unit) { return unit == Unit{{{"percent", 1}}, 1, 1}; }

// Numbers with their units: one side may lack them, and n % is n or n / 100.
bool same_terms(const Term& a, const Term& b) {
  if (a.is_matrix() || b.is_matrix()) { return same_cells(a, b); }
  if (a.unit.powers == b.unit.powers) { return same_value(scaled(a.value, a.unit), scaled(b.value, b.unit)); }
  const bool one_lacks_them = a.unit.powers.empty() || b.unit.powers.empty();
  if (!one_lacks_them) { return false; }
  if (same_value(a.value, b.value)) { return true; }
  const Term& with = a.unit.powers.empty() ? b : a;
  const Term& without = a.unit.powers.empty() ? a : b;
  if (is_percent(with.unit)) { return same_value(divide(with.value, number(100)), without.value); }
  const auto angle = pure(with);  // 90 degrees are pi / 2
  return angle && same_value(*angle, without.value);
}

// Do they differ by a multiple of the modulus?
bool same_residue(const Node& a, const Node& b) {
  const auto x = whole(a.term.value);
  const auto y = whole(b.term.value);
  const auto m = whole(*a.modulus);
  return x && y && m && *m != 0 && same_value(*a.modulus, *b.modulus) && (*x - *y) % *m == 0;
}

Agreement same_numbers(const Node& a, const Node& b) {
  if (a.modulus && b.modulus) { return from(same_residue(a, b)); }
  if (a.words != b.words) { return Agreement::kUnreadable; }
  return from(same_terms(a.term, b.term));
}

// --- ratios and times

bool is_time(const Node& ratio) {
  if (!ratio.daytime.empty()) { return true; }
  const auto is_two_digits = [](const Node& part) { return part.text.size() == 3 && part.text[0] <= '5'; };
  const auto hour = whole(ratio.parts[0].term.value);
  return ratio.parts.size() == 2 && hour && *hour >= 0 && *hour < 24 && is_two_digits(ratio.parts[1]) &&
         ratio.parts[0].text.size() <= 3;
}

// Minutes since midnight, by the clock of 12 hours where `daytime` says so.
std::optional<int64_t> minutes_of(const Node& time, const std::string& daytime) {
  const auto hour = whole(time.parts[0].term.value);
  const auto minute = time.parts.size() > 1 ? whole(time.parts[1].term.value) : std::optional<int64_t>(0);
  if (!hour || !minute || time.parts.size() > 2) { return std::nullopt; }
  return (daytime.empty() ? *hour : *hour % 12 + (daytime == "pm" ? 12 : 0)) * 60 + *minute;
}

bool same_time(const Node& a, const Node& b) {
  const auto x = minutes_of(a, a.daytime);
  const auto y = minutes_of(b, b.daytime);
  if (x && y && *x == *y) { return true; }
  const std::string& daytime = a.daytime.empty() ? b.daytime : a.daytime;
  if (!a.daytime.empty() && !b.daytime.empty()) { return false; }
  const auto hours = [](const Node& time) { return whole(time.parts[0].term.value).value_or(24); };
  if (hours(a) > 12 || hours(b) > 12) { return false; }
  return minutes_of(a, daytime) && minutes_of(a, daytime) == minutes_of(b, daytime);
}

bool same_ratio(const Node& a, const Node& b) {
  if (!a.daytime.empty() || !b.daytime.empty() || (is_time(a) && is_time(b))) { return same_time(a, b); }
  if (a.parts.size() != b.parts.size()) { return false; }
  for (size_t i = 0; i < a.parts.size(); ++i) {
    const size_t next = (i + 1) % a.parts.size();
    const auto cross = [&](const Node& x, const Node& y) {
      return multiply(x.parts[i].term.value, y.parts[next].term.value);
    };
    if (!same_value(cross(a, b), cross(b, a))) { return false; }
  }
  const auto is_zero = [](const Node& part) { return same_value(part.term.value, number(0)); };
  return std::none_of(a.parts.begin(), a.parts.end(), is_zero) ? std::none_of(b.parts.begin(), b.parts.end(), is_zero)
                                                               : false;
}

// 1 : 2 is 1 / 2.
Agreement ratio_and_number(const Node& ratio, const Node& value) {
  if (ratio.parts.size() != 2 || !ratio.daytime.empty()) { return Agreement::kDifferent; }
  const Value quotient = divide(ratio.parts[0].term.value, ratio.parts[1].term.value);
  return from(value.words.empty() && same_value(quotient, value.term.value));
}

// --- lists, sets and tuples

Agreement same_in_order(const std::vector<Node>& a, const std::vector<Node>& b, int depth) {
  if (a.size() != b.size()) { return Agreement::kDifferent; }
  Agreement all = Agreement::kSame;
  for (size_t i = 0; i < a.size(); ++i) {
    const Agreement one = agree(a[i], b[i], depth + 1);
    if (one == Agreement::kDifferent) { return one; }
    if (one == Agreement::kUnreadable) { all = one; }
  }
  return all;
}

Agreement same_in_any_order(const std::vector<Node>& a, const std::vector<Node>& b, int depth) {
  if (a.size() != b.size()) { return Agreement::kDifferent; }
  std::vector<bool> used(b.size(), false);
  bool unreadable = false;
  bool all = true;
  for (const Node& item : a) {
    bool found = false;
    for (size_t j = 0; j < b.size() && !found; ++j) {
      if (used[j]) { continue; }
      const Agreement one = agree(item, b[j], depth + 1);
      unreadable = unreadable || one == Agreement::kUnreadable;
      used[j] = found = one == Agreement::kSame;
    }
    all = all && found;
  }
  if (all) { return Agreement::kSame; }
  return unreadable ? Agreement::kUnreadable : Agreement::kDifferent;
}

// Values by name, where every item of a list is `name = value` and the names differ in more than their scripts.
std::optional<std::map<std::string, Node>> record_of(const Node& node) {
  std::map<std::string, Node> record;
  if (node.kind == NodeKind::kEquation && node.parts.size() == 2 && node.parts[1].kind == NodeKind::kTuple) {
    std::string names = node.parts[0].as_name;  // (x, y) = (3, 8)
    for (const Node& part : node.parts[1].parts) {
      const size_t comma = std::min(names.find(','), names.size());
      if (comma == 0) { return std::nullopt; }
      record.emplace(names.substr(0, comma), part);
      names.erase(0, comma + 1);
    }
    return names.empty() && record.size() == node.parts[1].parts.size() ? std::optional(record) : std::nullopt;
  }
  if (node.kind != NodeKind::kList) { return std::nullopt; }
  for (const Node& item : node.parts) {
    if (item.kind != NodeKind::kEquation || item.parts.front().as_name.empty() || item.parts.front().descriptive) {
      return std::nullopt;
    }
    if (!record.emplace(base_of(item.parts.front().as_name), item.parts.back()).second) { return std::nullopt; }
  }
  return record;
}

// What stands behind the equals signs of a list.
std::vector<Node> values_of(const Node& list) {
  std::vector<Node> values;
  for (const Node& part : list.parts) { values.push_back(part.kind == NodeKind::kEquation ? part.parts.back() : part); }
  return values;
}

// A record as the tuple of its values, in the order of the alphabet; nothing where it is none.
std::optional<std::vector<Node>> ordered(const Node& node) {
  const auto record = record_of(node);
  if (!record) { return std::nullopt; }
  std::vector<Node> values;
  for (const auto& [name, value] : *record) { values.push_back(value); }
  return values;
}

Agreement same_records(const std::map<std::string, Node>& a, const std::map<std::string, Node>& b, int depth) {
  std::vector<Node> x;
  std::vector<Node> y;
  for (const auto& [name, value] : a) {
    const auto other = b.find(name);
    if (other == b.end()) { return Agreement::kDifferent; }
    x.push_back(value);
    y.push_back(other->second);
  }
  return a.size() == b.size() ? same_in_order(x, y, depth) : Agreement::kDifferent;
}

// Without the parts that are there before.
std::vector<Node> without_repeats(const std::vector<Node>& parts, int depth) {
  std::vector<Node> kept;
  for (const Node& part : parts) {
    const bool seen = std::any_of(kept.begin(), kept.end(),
                                  [&](const Node& other) { return agree(other, part, depth + 1) == Agreement::kSame; });
    if (!seen) { kept.push_back(part); }
  }
  return kept;
}

bool is_collection(const Node& node) {
  return node.kind == NodeKind::kTuple || node.kind == NodeKind::kList || node.kind == NodeKind::kSet;
}

// A list without brackets stands for a set, or, in its order, for a tuple.
Agreement same_collections(const Node& a, const Node& b, int depth) {
  const auto a_record = record_of(a);
  const auto b_record = record_of(b);
  if (a_record && b_record) { return same_records(*a_record, *b_record, depth); }
  if (a_record || b_record) {
    const Node& other = a_record ? b : a;
    const std::vector<Node> values = *ordered(a_record ? a : b);
    const bool fits = other.kind == NodeKind::kList || (other.kind == NodeKind::kTuple && other.brackets == "()");
    if (!fits) { return Agreement::kDifferent; }
    if (other.kind == NodeKind::kList) {  // also as it is written
      const Agreement written = same_in_order(values_of(a), values_of(b), depth);
      if (written == Agreement::kSame) { return written; }
    }
    return a_record ? same_in_order(values, b.parts, depth) : same_in_order(a.parts, values, depth);
  }
  if (a.kind == NodeKind::kTuple && b.kind == NodeKind::kTuple) {
    return a.brackets == b.brackets ? same_in_order(a.parts, b.parts, depth) : Agreement::kDifferent;
  }
  if (a.kind == NodeKind::kTuple || b.kind == NodeKind::kTuple) {
    const Node& tuple = a.kind == NodeKind::kTuple ? a : b;
    const Node& other = a.kind == NodeKind::kTuple ? b : a;
    const bool fits = tuple.brackets == "()" && other.kind == NodeKind::kList;
    return fits ? same_in_order(a.parts, b.parts, depth) : Agreement::kDifferent;
  }
  // Who lists a solution twice lists the same solutions.
  if (b.parts.size() > a.parts.size() && without_repeats(a.parts, depth).size() == a.parts.size()) {
    return same_in_any_order(a.parts, without_repeats(b.parts, depth), depth);
  }
  return same_in_any_order(a.parts, b.parts, depth);
}

// A column or a row is a tuple.
Agreement matrix_and_tuple(const Term& matrix, const Node& tuple) {
  const bool line = matrix.columns == 1 || matrix.columns == matrix.cells.size();
  if (!line || tuple.brackets != "()" || tuple.parts.size() != matrix.cells.size()) { return Agreement::kDifferent; }
  for (size_t i = 0; i < matrix.cells.size(); ++i) {
    const Node& part = tuple.parts[i];
    if (part.kind != NodeKind::kNumber || part.term.is_matrix() || !same_value(part.term.value, matrix.cells[i])) {
      return Agreement::kDifferent;
    }
  }
  return Agreement::kSame;
}

// --- equations and inequalities

// Which side of an equation says what the other one is: the last, where the first is a name, or the first, where the
// last one is.
std::optional<size_t> value_side(const Node& equation) {
  if (!equation.parts.front().as_name.empty()) { return equation.parts.size() - 1; }
  if (!equation.parts.back().as_name.empty()) { return 0; }
  return std::nullopt;
}

std::optional<Value> difference_of(const Node& equation) {
  if (equation.parts.size() != 2) { return std::nullopt; }
  const Node& left = equation.parts[0];
  const Node& right = equation.parts[1];
  if (left.kind != NodeKind::kNumber || right.kind != NodeKind::kNumber) { return std::nullopt; }
  if (left.term.is_matrix() || right.term.is_matrix() || !left.words.empty() || !right.words.empty()) {
    return std::nullopt;
  }
  return subtract(left.term.value, right.term.value);
}

bool has_variables(const Node& node) { return node.kind == NodeKind::kNumber && node.term.value.has_variables; }

Agreement same_equations(const Node& a, const Node& b, int depth) {
  const auto a_record = record_of(a);
  const auto b_record = record_of(b);
  if (a_record && b_record) { return same_records(*a_record, *b_record, depth); }
  const auto a_difference = difference_of(a);
  const auto b_difference = difference_of(b);
  if (a_difference && b_difference && a_difference->has_variables && b_difference->has_variables &&
      proportional(*a_difference, *b_difference) != 0) {
    return Agreement::kSame;
  }
  const auto a_side = value_side(a);
  const auto b_side = value_side(b);
  if (!a_side || !b_side) { return a_difference && b_difference ? Agreement::kDifferent : Agreement::kUnreadable; }
  const Name x = name_of(a.parts[*a_side == 0 ? a.parts.size() - 1 : 0]);
  const Name y = name_of(b.parts[*b_side == 0 ? b.parts.size() - 1 : 0]);
  // f(x) = 2x and y = 2x are the same function.
  const auto is_function = [](const Name& name) { return name.text.ends_with("()") || name.text == "y"; };
  const bool functions = is_function(x) && is_function(y) && has_variables(a.parts[*a_side]);
  if (!may_be_same_name(x, y) && !functions) { return Agreement::kDifferent; }
  return agree(a.parts[*a_side], b.parts[*b_side], depth + 1);
}

// An equation and an answer that is none. What a bare answer is the value of has to be a name; an equation that answers
// a question for a number is worth what it comes to.
Agreement equation_and_other(const Node& equation, const Node& other, bool equation_answers, int depth) {
  const auto side = value_side(equation);
  if (side) {
    return equation_answers ? agree(other, equation.parts[*side], depth + 1)
                            : agree(equation.parts[*side], other, depth + 1);
  }
  if (equation_answers && is_plain_number(other)) { return agree(other, equation.parts.back(), depth + 1); }
  return Agreement::kDifferent;
}

bool same_constraint(const Constraint& a, const Constraint& b) {
  if (a.relation != b.relation) { return false; }
  if (!a.difference.has_variables || !b.difference.has_variables) { return same_value(a.difference, b.difference); }
  const int sign = proportional(a.difference, b.difference);
  return a.relation == '!' ? sign != 0 : sign > 0;
}

Agreement same_inequalities(const Node& a, const Node& b) {
  const bool may_be_same = may_be_same_name({a.name, false}, {b.name, false});
  if (a.reals && b.reals) { return from(may_be_same && same_set(*a.reals, *b.reals)); }
  if (a.constraints.empty() || a.constraints.size() != b.constraints.size()) { return Agreement::kDifferent; }
  std::vector<bool> used(b.constraints.size(), false);
  for (const Constraint& constraint : a.constraints) {
    bool found = false;
    for (size_t j = 0; j < b.constraints.size() && !found; ++j) {
      if (!used[j] && same_constraint(constraint, b.constraints[j])) { used[j] = found = true; }
    }
    if (!found) { return Agreement::kDifferent; }
  }
  return Agreement::kSame;
}

bool is_real_set(const Node& node) {
  return node.reals && (node.kind == NodeKind::kReals || node.kind == NodeKind::kTuple || node.kind == NodeKind::kSet ||
                        node.kind == NodeKind::kInequality);
}

// --- all kinds

char single_letter(const Node& node) {
  const bool letter =
      node.kind == NodeKind::kNumber && node.text.size() == 2 && node.text[0] >= 'A' && node.text[0] <= 'H';
  return letter ? node.text[0] : '\0';
}

// The letter of a choice, where both sides have one. Nothing where only values can be compared.
std::optional<Agreement> same_choice(const Node& a, const Node& b) {
  const char x = a.choice != '\0' ? a.choice : single_letter(a);
  const char y = b.choice != '\0' ? b.choice : single_letter(b);
  if ((a.choice == '\0' && b.choice == '\0') || x == '\0' || y == '\0') { return std::nullopt; }
  if (x != y) { return Agreement::kDifferent; }
  if (a.choice == '\0' || b.choice == '\0') { return Agreement::kSame; }
  return std::nullopt;
}

// Is `rough` the value, rounded? One unit in its last place is near enough.
bool rounds(const Node& exact, const Node& rough) {
  const auto value = is_plain_number(exact) ? real_number(exact.term.value) : std::nullopt;
  const auto about = is_plain_number(rough) ? real_number(rough.term.value) : std::nullopt;
  if (!value || !about) { return false; }
  const size_t point = rough.text.find('.');
  const auto places = point == std::string::npos ? 0 : static_cast<int>(rough.text.size() - point) - 2;
  return std::abs(*value - *about) <= std::pow(10.0L, -places);
}

// "2/3, which is about 0.67" says both.
std::optional<Agreement> with_rough(const Node& a, const Node& b, int depth) {
  if (a.rough.empty() && b.rough.empty()) { return std::nullopt; }
  Node x = a;
  Node y = b;
  x.rough.clear();
  y.rough.clear();
  Agreement found = agree(x, y, depth + 1);
  if (!a.rough.empty() && b.rough.empty() && rounds(x, a.rough[0])) {
    found = either(found, agree(a.rough[0], y, depth + 1));
  }
  if (!b.rough.empty() && a.rough.empty() && rounds(y, b.rough[0])) {
    found = either(found, agree(x, b.rough[0], depth + 1));
  }
  return found;
}

Agreement same_kind(const Node& a, const Node& b, int depth) {
  switch (a.kind) {
    case NodeKind::kNumber:
      return same_numbers(a, b);
    case NodeKind::kWords:
      return from(a.text == b.text);
    case NodeKind::kRatio:
      return from(same_ratio(a, b));
    case NodeKind::kTuple:
    case NodeKind::kList:
    case NodeKind::kSet:
      return same_collections(a, b, depth);
    case NodeKind::kReals:
      return from(a.reals && b.reals && same_set(*a.reals, *b.reals));
    case NodeKind::kUnion:
      return same_in_any_order(a.parts, b.parts, depth);
    case NodeKind::kEquation:
      return same_equations(a, b, depth);
    case NodeKind::kInequality:
      return same_inequalities(a, b);
    case NodeKind::kUnread:
      break;
  }
  return Agreement::kUnreadable;
}

Agreement agree(const Node& a, const Node& b, int depth) {
  if (depth > kMaxDepth) { return Agreement::kUnreadable; }
  if (a.kind == NodeKind::kUnread || b.kind == NodeKind::kUnread) {
    return a.kind == b.kind && a.text == b.text && !a.text.empty() ? Agreement::kSame : Agreement::kUnreadable;
  }
  if (const auto choice = same_choice(a, b)) { return *choice; }
  if (const auto found = with_rough(a, b, depth)) { return *found; }
  const bool record = record_of(a) || record_of(b);
  if (record && (is_collection(a) || is_collection(b)) && !(a.kind == b.kind)) {
    if (is_collection(a) && is_collection(b)) { return same_collections(a, b, depth); }
    if (record_of(a) && record_of(b)) { return same_records(*record_of(a), *record_of(b), depth); }
  }
  if (a.kind == b.kind) { return same_kind(a, b, depth); }
  if (a.kind == NodeKind::kEquation) { return equation_and_other(a, b, false, depth); }
  if (b.kind == NodeKind::kEquation) { return equation_and_other(b, a, true, depth); }
  if (is_real_set(a) && is_real_set(b) && !(is_collection(a) && is_collection(b))) {
    return from(same_set(*a.reals, *b.reals));
  }
  if (is_collection(a) && is_collection(b)) { return same_collections(a, b, depth); }
  // A set of one is its member.
  if (a.kind == NodeKind::kSet && a.parts.size() == 1) { return agree(a.parts[0], b, depth + 1); }
  if (b.kind == NodeKind::kSet && b.parts.size() == 1) { return agree(a, b.parts[0], depth + 1); }
  if (a.kind == NodeKind::kRatio && b.kind == NodeKind::kNumber) { return ratio_and_number(a, b); }
  if (b.kind == NodeKind::kRatio && a.kind == NodeKind::kNumber) { return ratio_and_number(b, a); }
  if (a.kind == NodeKind::kNumber && a.term.is_matrix() && b.kind == NodeKind::kTuple) {
    return matrix_and_tuple(a.term, b);
  }
  if (b.kind == NodeKind::kNumber && b.term.is_matrix() && a.kind == NodeKind::kTuple) {
    return matrix_and_tuple(b.term, a);
  }
  const bool words = a.kind == NodeKind::kWords || b.kind == NodeKind::kWords;
  return words ? Agreement::kUnreadable : Agreement::kDifferent;
}

// "2,74" as it is written where the comma is no decimal point; nothing where it may be a thousand or a list: "2,5".
std::optional<std::string> with_decimal_point(std::string_view text) {
  const size_t comma = text.find(',');
  if (comma == std::string_view::npos || comma == 0 || comma + 1 == text.size()) { return std::nullopt; }
  std::string made(text);
  made[comma] = '.';
  const size_t first = made[0] == '-' ? 1 : 0;
  if (made.find_first_not_of("0123456789.", first) != std::string::npos) { return std::nullopt; }
  const size_t places = text.size() - comma - 1;
  const bool thousands = places == 3 && made[first] != '0';
  return thousands || places == 1 || made.find('.') != comma || made.rfind('.') != comma ? std::nullopt
                                                                                         : std::optional(made);
}

bool same_tokens(std::string_view a, std::string_view b) {
  const std::vector<Token> x = lex(a, false).tokens;
  const std::vector<Token> y = lex(b, false).tokens;
  return !x.empty() && x == y;
}

}  // namespace

Agreement agreement(std::string_view reference, std::string_view answer) {
  if (reference.size() > kLongest || answer.size() > kLongest) {
    return reference == answer ? Agreement::kSame : Agreement::kUnreadable;
  }
  if (same_tokens(reference, answer)) { return Agreement::kSame; }
  const Agreement found = agree(read_answer(reference, false), read_answer(answer, false), 0);
  if (found == Agreement::kSame ||
      (reference.find(',') == std::string_view::npos && answer.find(',') == std::string_view::npos)) {
    return found;
  }
  const Agreement merged = either(found, agree(read_answer(reference, true), read_answer(answer, true), 0));
  const auto a = with_decimal_point(reference);
  const auto b = with_decimal_point(answer);
  if (merged == Agreement::kSame || (!a && !b)) { return merged; }
  const Node x = read_answer(a ? std::string_view(*a) : reference, true);
  return either(merged, agree(x, read_answer(b ? std::string_view(*b) : answer, true), 0));
}

}  // namespace vortex::evals
