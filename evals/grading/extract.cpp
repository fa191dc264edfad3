#include "evals/grading/extract.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <optional>
#include <utility>
#include <vector>

#include "base/text.h"
#include "evals/grading/words.h"

namespace vortex::evals {
namespace {

constexpr size_t kLongest = 1000;  // bytes of an answer; what is longer is no answer
constexpr size_t kMaxBoxes = 16;   // of one answer
constexpr size_t npos = std::string_view::npos;

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_letter(char c) { return std::isalpha(static_cast<unsigned char>(c)) != 0; }
bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

std::string_view trimmed(std::string_view text, std::string_view extra = "") {
  const auto skip = [&](char c) { return is_space(c) || extra.find(c) != npos; };
  while (!text.empty() && skip(text.front())) { text.remove_prefix(1); }
  while (!text.empty() && skip(text.back())) { text.remove_suffix(1); }
  return text;
}

// --- boxes

// Where the brace at text[open] is closed; npos when it is not.
size_t closing_brace(std::string_view text, size_t open) {
  int depth = 0;
  for (size_t i = open; i < text.size() && i - open <= kLongest; ++i) {
    if (text[i] == '\\') {
      ++i;  // \{ and \} are no braces
    } else if (text[i] == '{') {
      ++depth;
    } else if (text[i] == '}' && --depth == 0) {
      return i;
    }
  }
  return npos;
}

struct Box {
  size_t begin;  // of the command
  size_t end;    // behind the closing brace
  std::string_view inside;
};

// The last full box that ends before `end`; also "\boxed 5".
std::optional<Box> last_box(std::string_view text, size_t end) {
  constexpr int kTries = 50;  // unclosed ones before giving up: keeps this linear
  for (int i = 0; i < kTries && end > 0; ++i) {
    const size_t a = text.rfind("\\boxed", end - 1);
    const size_t b = text.rfind("\\fbox", end - 1);
    const size_t at = a == npos ? b : b == npos ? a : std::max(a, b);
    if (at == npos) { return std::nullopt; }
    size_t open = at + (text.substr(at).starts_with("\\boxed") ? 6 : 5);
    while (open < text.size() && is_space(text[open])) { ++open; }
    if (open < text.size() && text[open] == '{') {
      const size_t close = closing_brace(text, open);
      // Longer than an answer can be: nobody reads it, and nothing else is taken for it.
      if (close == npos && text.size() - open > kLongest) { return Box{at, text.size(), text.substr(open, kLongest)}; }
      const std::string_view inside = close == npos ? "" : trimmed(text.substr(open + 1, close - open - 1));
      if (!inside.empty()) { return Box{at, close + 1, inside}; }
    } else {
      size_t last = open;
      while (last < text.size() && last - open < kLongest && !is_space(text[last]) && text[last] != '$') { ++last; }
      if (last > open) { return Box{at, last, text.substr(open, last - open)}; }
    }
    end = at;
  }
  return std::nullopt;
}

// May boxes with this between them be one answer? Nothing, a comma, or a few words with "and" in their sentence,
// besides spacing and the delimiters of formulas.
bool joins(std::string_view between) {
  constexpr size_t kFar = 60;
  if (between.size() > kFar) { return false; }
  bool words = false;
  bool joined = between.empty();
  for (size_t i = 0; i < between.size();) {
    const size_t begin = i + (between[i] == '\\' ? 1 : 0);
    size_t end = begin;
    while (end < between.size() && is_letter(between[end])) { ++end; }
    const std::string_view word = between.substr(begin, end - begin);
    const bool spacing = begin > i && (word == "quad" || word == "qquad" || word == "text" || word == "mbox");
    words = words || (!word.empty() && !spacing && word != "and");
    joined = joined || word == "and" || (word.empty() && (between[i] == ',' || between[i] == ';'));
    if (between[i] == '.' || between[i] == '\n' || between[i] == '+') { return false; }
    i = std::max(end, i + 1);
  }
  return joined && (!words || between.find("and") != npos);
}

// The word right behind a box that makes another number of what is in it.
std::string_view multiplier_behind(std::string_view text, size_t at) {
  size_t begin = at;
  while (begin < text.size() && (is_space(text[begin]) || text[begin] == '$') && begin - at < 4) { ++begin; }
  size_t end = begin;
  while (end < text.size() && is_letter(text[end])) { ++end; }
  const std::string_view word = text.substr(begin, end - begin);
  return multiplier_of(word) ? word : std::string_view();
}

std::optional<std::string> boxed(std::string_view text) {
  auto box = last_box(text, text.size());
  if (!box) { return std::nullopt; }
  std::string answer(box->inside);
  if (const auto word = multiplier_behind(text, box->end); !word.empty()) {
    answer += "\\text{ " + std::string(word) + "}";
  }
  for (size_t i = 1; i < kMaxBoxes; ++i) {
    const auto before = last_box(text, box->begin);
    if (!before || before->end > box->begin || !joins(text.substr(before->end, box->begin - before->end))) { break; }
    if (before->inside != box->inside) { answer = std::string(before->inside) + ", " + answer; }  // said twice
    box = before;
  }
  return answer;
}

// --- formulas

// Formulas between dollars, \( \) and \[ \]: [begin, end) of their contents and how long their delimiters are, in
// order.
struct Formula {
  size_t begin;
  size_t end;
  size_t delimiter;
};

std::vector<Formula> formulas(std::string_view text) {
  std::vector<Formula> found;
  for (size_t i = 0; i < text.size(); ++i) {
    std::string_view closing;
    if (text[i] == '\\' && i + 1 < text.size()) {
      if (text[i + 1] == '(') { closing = "\\)"; }
      if (text[i + 1] == '[') { closing = "\\]"; }
      if (closing.empty()) {
        ++i;  // an escaped dollar or backslash
        continue;
      }
    } else if (text[i] == '$') {
      closing = i + 1 < text.size() && text[i + 1] == '$' ? "$$" : "$";
    } else {
      continue;
    }
    const size_t begin = i + closing.size();
    const std::string_view near = text.substr(0, std::min(text.size(), begin + kLongest));
    size_t end = near.find(closing, begin);
    while (closing == "$" && end != npos && end > begin && text[end - 1] == '\\') { end = near.find(closing, end + 1); }
    if (end == npos) {
      i = begin - 1;
      continue;
    }
    found.push_back({begin, end, closing.size()});
    i = end + closing.size() - 1;
  }
  return found;
}

// --- statements

// The word that begins at text[at]; empty where none does.
std::string_view word_at(std::string_view text, size_t at) {
  size_t end = at;
  while (end < text.size() && is_letter(text[end])) { ++end; }
  return text.substr(at, end - at);
}

// Does a remark about the answer begin with this word? Some do behind a value alone.
bool begins_a_remark(std::string_view word, bool behind_a_value) {
  constexpr std::array<std::string_view, 3> kAlways = {"because", "since", "which"};
  constexpr std::array<std::string_view, 19> kBehind = {"as",    "where", "when", "for",  "so",    "that",  "if",
                                                        "this",  "by",    "with", "from", "after", "given", "while",
                                                        "using", "due",   "i",    "we",   "but"};
  const std::string lower = lower_ascii(word);
  const bool always = std::find(kAlways.begin(), kAlways.end(), lower) != kAlways.end();
  return always || (behind_a_value && std::find(kBehind.begin(), kBehind.end(), lower) != kBehind.end());
}

// Where the clause that begins at text[0] ends: at a line break behind some text, a full stop that no digit follows, or
// a remark: "(which is ...", ", as ...", " because ...". Formulas are passed over.
size_t clause_end(std::string_view text) {
  const size_t limit = std::min(text.size(), kLongest);
  const std::vector<Formula> inside = formulas(text.substr(0, limit));
  size_t next = 0;
  bool seen = false;
  bool value = false;
  for (size_t i = 0; i < limit; ++i) {
    while (next < inside.size() && inside[next].end <= i) { ++next; }
    if (next < inside.size() && inside[next].begin - inside[next].delimiter == i) {
      i = inside[next].end + inside[next].delimiter - 1;
      seen = value = true;
      continue;
    }
    const char c = text[i];
    value = value || is_digit(c);
    if (c == '\n' && seen) { return i; }
    const bool last = i + 1 >= limit;
    if (c == '.' && seen &&
        (last || is_space(text[i + 1]) || text[i + 1] == '*' || text[i + 1] == ')' || text[i + 1] == '"')) {
      return i;
    }
    if (c == '(' && seen && !last && word_at(text, i + 1).size() > 1) { return i; }
    const bool apart = is_space(c) && seen && !last;
    if (apart && begins_a_remark(word_at(text, i + 1), value)) { return text[i - 1] == ',' ? i - 1 : i; }
    seen = seen || (!is_space(c) && c != '*' && c != '#' && c != ':');
  }
  return limit;
}

// Are all words before `end` ones that leave a value as it is?
bool says_nothing(std::string_view text) {
  for (size_t i = 0; i < text.size();) {
    const std::string_view word = word_at(text, i);
    if (is_digit(text[i])) { return false; }
    if (!word.empty() && (!is_harmless(word) || is_changing(word))) { return false; }
    i += std::max<size_t>(word.size(), 1);
  }
  return true;
}

std::string without_stars(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text.substr(i).starts_with("**") || text.substr(i).starts_with("__")) {
      ++i;
    } else {
      out += text[i];
    }
  }
  return out;
}

// What a clause states: its formula, where nothing but words without meaning stands around it, or all of it.
std::string stated_value(std::string_view clause) {
  clause = trimmed(clause, "*_:=");
  const auto found = formulas(clause);
  if (!found.empty()) {
    const Formula& first = found.front();
    const std::string_view before = clause.substr(0, first.begin - first.delimiter);
    const std::string_view behind = clause.substr(first.end + first.delimiter);
    const bool alone = trimmed(behind, "*_.,;:!`\"").empty();
    if (found.size() == 1 && alone && says_nothing(before)) {
      return std::string(trimmed(clause.substr(first.begin, first.end - first.begin)));
    }
    if (says_nothing(before)) {
      return std::string(trimmed(clause.substr(first.begin - first.delimiter), "*_.,;:!`\""));
    }
  }
  return without_stars(trimmed(clause, "*_.,;:!`\""));
}

// "the smallest $m$ is 58" says 58; not what stands before a word that changes the value.
std::string_view what_it_is(std::string_view clause) {
  for (const std::string_view verb : {" is equal to ", " equals ", " is: ", " is "}) {
    const size_t at = clause.rfind(verb);
    if (at == npos || clause.substr(at + verb.size()).find_first_not_of(" \n*") == npos) { continue; }
    return clause.substr(at + verb.size());
  }
  return clause;
}

// How long the words are that introduce an answer at text[0], behind the word "answer": "is", ":", "=", or the line
// break of a heading. 0 where it is none.
size_t introduction(std::string_view text, bool heading) {
  for (const std::string_view verb :
       {"is ", "is:", "is\n", "is$", "is=", "is\\", ":", "=", "would be ", "must be ", "equals ", "should be "}) {
    if (!text.starts_with(verb)) { continue; }
    return is_letter(verb.back()) || is_space(verb.back()) || verb.size() == 1 || verb == "is:" ? verb.size()
                                                                                                : verb.size() - 1;
  }
  return heading && text.starts_with("\n") ? 1 : 0;
}

// Is the word at text[at] alone in its line but for the signs of a heading: "### Final Answer"?
bool is_heading(std::string_view lower, size_t at) {
  const size_t line = at == 0 ? npos : lower.rfind('\n', at - 1);
  const std::string_view before =
      trimmed(lower.substr(line == npos ? 0 : line + 1, at - (line == npos ? 0 : line + 1)), "#*_");
  return before.empty() || before == "final" || before == "the final" || before == "the" || before == "my";
}

std::optional<std::string> last_number(std::string_view text);

// How many numbers and how many words there are in a clause.
std::pair<int, int> numbers_and_words(std::string_view clause) {
  int numbers = 0;
  int words = 0;
  for (size_t i = 0; i < clause.size(); ++i) {
    const char before = i == 0 ? ' ' : clause[i - 1];
    numbers += is_digit(clause[i]) && !is_digit(before) ? 1 : 0;
    words += is_letter(clause[i]) && !is_letter(before) ? 1 : 0;
  }
  return {numbers, words};
}

std::optional<std::string> stated(std::string_view text, const std::string& lower) {
  constexpr std::string_view kWord = "answer";
  constexpr int kTries = 200;  // mentions of an answer that state none
  size_t at = lower.rfind(kWord);
  for (int i = 0; i < kTries && at != npos; ++i, at = at == 0 ? npos : lower.rfind(kWord, at - 1)) {
    size_t next = at + kWord.size();
    while (next < lower.size() && (lower[next] == ' ' || lower[next] == '*' || lower[next] == '_')) { ++next; }
    const size_t skip = introduction(std::string_view(lower).substr(next, 16), is_heading(lower, at));
    if (skip == 0) { continue; }
    const std::string_view sentence = text.substr(next + skip, kLongest + 100);
    const size_t start = sentence.find_first_not_of(" \n\t\r*_:");
    if (start == npos) { continue; }
    const std::string_view clause = sentence.substr(start, clause_end(sentence.substr(start)));
    const std::string value = stated_value(what_it_is(clause));
    constexpr int kSentence = 4;  // words
    const auto [numbers, words] = numbers_and_words(value);
    if (numbers == 1 && words >= kSentence && value.find_first_of("$\\") == npos) { return last_number(value); }
    if (!value.empty()) { return value; }
  }
  return std::nullopt;
}

// --- the last number

// The begin of the LaTeX that the character at text[at] is part of, as far as braces and commands go.
size_t formula_begin(std::string_view text, size_t at) {
  int depth = 0;
  size_t begin = at;
  const size_t window = at > kLongest ? at - kLongest : 0;
  for (size_t i = at; i > window; --i) {
    const char c = text[i - 1];
    if (c == '}') { ++depth; }
    if (c == '{' && depth > 0) { --depth; }  // else text[at] stands within these braces
    const bool command = is_letter(c) || c == '\\';
    const bool number = is_digit(c) || std::string_view(".,/:^_+-*").find(c) != npos;
    if (c == '{' || c == '}' || number || depth != 0) {
      begin = i - 1;
    } else if (command) {
      size_t letters = i;
      while (letters > window && is_letter(text[letters - 1])) { --letters; }
      if (letters == window || text[letters - 1] != '\\') { break; }
      begin = letters - 1;
      i = letters;
    } else {
      break;
    }
  }
  return begin;
}

size_t formula_end(std::string_view text, size_t begin, size_t last) {
  int depth = 0;
  size_t end = last + 1;
  for (size_t i = begin; i < text.size() && i < begin + 2 * kLongest; ++i) {
    if (text[i] == '{') { ++depth; }
    if (text[i] == '}') { --depth; }
    if (i >= last && depth <= 0) { return i + 1; }
  }
  return end;
}

// Where the number that ends at text[last] begins; digits in groups of three belong together.
size_t number_begin(std::string_view text, size_t last) {
  const auto in_number = [&](size_t i) {
    const char c = text[i];
    if (is_digit(c) || c == '.' || c == ',' || c == '/') { return true; }
    return c == ':' && i > 0 && is_digit(text[i - 1]) && is_digit(text[i + 1]);
  };
  size_t begin = last;
  while (begin > 0 && last - begin < kLongest && in_number(begin - 1)) { --begin; }
  while (last + 1 - begin == 3 && begin > 1 && text[begin - 1] == ' ' && is_digit(text[begin - 2])) {
    size_t group = begin - 1;
    while (group > 0 && is_digit(text[group - 1])) { --group; }
    if (begin - 1 - group > 3) { break; }
    begin = group;
    last = begin + 2;
  }
  while (begin < last && !is_digit(text[begin]) && !(text[begin] == '.' && is_digit(text[begin + 1]))) { ++begin; }
  return begin;
}

// Words before a number that make it another one, within its clause: "less than 5".
size_t words_begin(std::string_view text, size_t number) {
  size_t begin = number;
  for (size_t at = number; at > 1 && text[at - 1] == ' ';) {
    size_t word = at - 1;
    while (word > 0 && is_letter(text[word - 1])) { --word; }
    const std::string_view found = text.substr(word, at - 1 - word);
    const bool at_least = begin != number && lower_ascii(found) == "at";
    if (!is_changing(found) && !at_least) { break; }
    begin = at = word;
  }
  return begin;
}

size_t words_end(std::string_view text, size_t end) {
  if (end < text.size() && text[end] == '%') { return end + 1; }
  if (text.substr(end).starts_with("\\%")) { return end + 2; }
  const size_t begin = end + (end < text.size() && text[end] == ' ' ? 1 : 0);
  const std::string_view word = word_at(text, begin);
  const std::string lower = lower_ascii(word);
  const bool counts = multiplier_of(word) || lower == "percent" || lower == "pct" || lower == "degrees";
  const bool daytime = text.substr(begin).starts_with("p.m") || text.substr(begin).starts_with("a.m");
  if (daytime) { return begin + 3; }
  return counts || lower == "am" || lower == "pm" ? begin + word.size() : end;
}

// The place of the last digit that is part of no word.
size_t last_digit(std::string_view text) {
  constexpr std::string_view kDigits = "0123456789";
  constexpr int kTries = 50;
  size_t last = text.find_last_of(kDigits);
  for (int i = 0; i < kTries && last != npos; ++i) {
    size_t begin = last;
    while (begin > 0 && is_digit(text[begin - 1])) { --begin; }
    size_t letters = begin;
    while (letters > 0 && is_letter(text[letters - 1])) { --letters; }
    const bool command = letters > 0 && text[letters - 1] == '\\';
    if (letters == begin || command) { return last; }
    last = begin == 0 ? npos : text.find_last_of(kDigits, begin - 1);
  }
  return npos;
}

std::optional<std::string> last_formula(std::string_view text) {
  const std::string_view near = text.size() > 4 * kLongest ? text.substr(text.size() - 4 * kLongest) : text;
  const std::vector<Formula> found = formulas(near);
  if (found.empty()) { return std::nullopt; }
  return std::string(trimmed(near.substr(found.back().begin, found.back().end - found.back().begin)));
}

std::optional<std::string> last_number(std::string_view text) {
  size_t last = last_digit(text);
  if (last == npos) { return last_formula(text); }
  const size_t window = last > 2 * kLongest ? last - 2 * kLongest : 0;
  const std::string_view near = text.substr(window, std::min(text.size() - window, 4 * kLongest));
  last -= window;
  for (const Formula& formula : formulas(near)) {
    if (formula.begin <= last && last < formula.end) {
      return std::string(trimmed(near.substr(formula.begin, formula.end - formula.begin)));
    }
  }
  const size_t whole = formula_begin(near, last);
  if (near.substr(whole, last - whole).find_first_of("\\^") != npos) {
    const std::string_view start = near.substr(whole);
    return std::string(trimmed(start.substr(0, formula_end(start, 0, last - whole)), ".,:"));
  }
  size_t begin = number_begin(near, last);
  if (begin > 0 && near[begin - 1] == '-' && (begin == 1 || is_space(near[begin - 2]) || near[begin - 2] == '=')) {
    --begin;
  }
  begin = words_begin(near, begin);
  return std::string(near.substr(begin, words_end(near, last + 1) - begin));
}

}  // namespace

Extract extract_answer(std::string_view output) {
  if (const auto found = boxed(output)) { return {*found, "boxed"}; }
  if (const auto found = stated(output, lower_ascii(output))) { return {*found, "stated"}; }
  if (const auto found = last_number(output); found && !found->empty()) { return {*found, "last number"}; }
  return {"", "no answer: nothing boxed, nothing stated, no number"};
}

std::string reference_answer(std::string_view reference) {
  if (const auto found = boxed(reference)) { return *found; }
  if (reference.size() > kLongest) { return extract_answer(reference).text; }  // a whole solution
  const size_t marked = reference.rfind("####");
  return std::string(trimmed(marked == npos ? reference : reference.substr(marked + 4)));
}

}  // namespace vortex::evals
