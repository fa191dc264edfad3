#include "evals/grading/extract.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <optional>
#include <vector>

#include "base/text.h"

namespace vortex::evals {
namespace {

constexpr size_t kLongest = 1000;  // bytes of an answer; what is longer is no answer

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_letter(char c) { return std::isalpha(static_cast<unsigned char>(c)) != 0; }
bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

std::string_view trimmed(std::string_view text, std::string_view extra = "") {
  const auto skip = [&](char c) { return is_space(c) || extra.find(c) != std::string_view::npos; };
  while (!text.empty() && skip(text.front())) { text.remove_prefix(1); }
  while (!text.empty() && skip(text.back())) { text.remove_suffix(1); }
  return text;
}

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
  return std::string_view::npos;
}

// The last "\boxed{...}"; also "\boxed 5".
std::optional<std::string_view> boxed(std::string_view text) {
  constexpr int kTries = 50;  // unclosed ones before giving up: keeps this linear
  size_t end = text.size();
  for (int i = 0; i < kTries && end > 0; ++i) {
    const size_t a = text.rfind("\\boxed", end - 1);
    const size_t b = text.rfind("\\fbox", end - 1);
    const size_t at = a == std::string_view::npos ? b : b == std::string_view::npos ? a : std::max(a, b);
    if (at == std::string_view::npos) { return std::nullopt; }
    size_t open = at + (text.substr(at).starts_with("\\boxed") ? 6 : 5);
    while (open < text.size() && text[open] == ' ') { ++open; }
    if (open < text.size() && text[open] == '{') {
      const size_t close = closing_brace(text, open);
      if (close != std::string_view::npos) { return trimmed(text.substr(open + 1, close - open - 1)); }
    } else {
      size_t last = open;
      while (last < text.size() && last - open < kLongest && !is_space(text[last]) && text[last] != '$') { ++last; }
      if (last > open) { return text.substr(open, last - open); }
    }
    end = at;
  }
  return std::nullopt;
}

// Formulas between dollars, \( \) and \[ \]: [begin, end) of their contents, in order.
std::vector<std::pair<size_t, size_t>> formulas(std::string_view text) {
  std::vector<std::pair<size_t, size_t>> found;
  for (size_t i = 0; i < text.size(); ++i) {
    std::string_view closing;
    size_t begin = i + 2;
    if (text[i] == '\\' && i + 1 < text.size()) {
      if (text[i + 1] == '(') { closing = "\\)"; }
      if (text[i + 1] == '[') { closing = "\\]"; }
      if (closing.empty()) {
        ++i;  // an escaped dollar or backslash
        continue;
      }
    } else if (text[i] == '$') {
      closing = i + 1 < text.size() && text[i + 1] == '$' ? "$$" : "$";
      begin = i + closing.size();
    } else {
      continue;
    }
    const size_t end = text.substr(0, std::min(text.size(), begin + kLongest)).find(closing, begin);
    if (end == std::string_view::npos) {
      i = begin - 1;
      continue;
    }
    found.emplace_back(begin, end);
    i = end + closing.size() - 1;
  }
  return found;
}

// Where the sentence that begins at text[0] ends: a newline after some text, or a full stop that no digit follows.
size_t sentence_end(std::string_view text) {
  const size_t limit = std::min(text.size(), kLongest);
  bool seen = false;
  for (size_t i = 0; i < limit; ++i) {
    if (text[i] == '\n' && seen) { return i; }
    seen = seen || !is_space(text[i]);
    if (text[i] != '.') { continue; }
    if (i + 1 == text.size()) { return i; }
    const bool decimal = is_digit(text[i + 1]);
    if (!decimal && seen) { return i; }
  }
  return limit;
}

std::string_view stated_part(std::string_view sentence) {
  sentence = trimmed(sentence, "*_:=");
  const auto found = formulas(sentence);
  if (!found.empty()) {
    const std::string_view before = sentence.substr(0, found.front().first);
    if (std::none_of(before.begin(), before.end(), is_digit)) {
      return trimmed(sentence.substr(found.front().first, found.front().second - found.front().first));
    }
    sentence = sentence.substr(0, sentence.find_first_of("$\\"));
  }
  return trimmed(sentence, "*_.,;:!`\"");
}

std::optional<std::string_view> stated(std::string_view text, const std::string& lower) {
  constexpr std::string_view kWord = "answer";
  for (size_t at = lower.rfind(kWord); at != std::string::npos;
       at = at == 0 ? std::string::npos : lower.rfind(kWord, at - 1)) {
    size_t next = at + kWord.size();
    while (next < lower.size() && (lower[next] == ' ' || lower[next] == '*' || lower[next] == '_')) { ++next; }
    const std::string_view rest = std::string_view(lower).substr(next);
    size_t skip = 0;
    for (const std::string_view verb :
         {"is ", "is:", "is\n", "is$", "is=", ":", "=", "would be ", "must be ", "equals ", "should be "}) {
      if (rest.starts_with(verb)) { skip = is_letter(verb.back()) || verb.size() == 1 ? verb.size() : verb.size() - 1; }
      if (skip > 0) { break; }
    }
    if (skip == 0) { continue; }
    const std::string_view sentence = text.substr(next + skip);
    const std::string_view part = stated_part(sentence.substr(0, sentence_end(sentence)));
    if (!part.empty()) { return part; }
  }
  return std::nullopt;
}

bool in_number(char c) { return is_digit(c) || c == '.' || c == ',' || c == '/'; }

std::optional<std::string_view> last_number(std::string_view text) {
  const size_t last = text.find_last_of("0123456789");
  if (last == std::string_view::npos) { return std::nullopt; }
  const size_t window = last > 2 * kLongest ? last - 2 * kLongest : 0;
  const std::string_view near = text.substr(window, std::min(text.size() - window, 4 * kLongest));
  for (const auto& [begin, end] : formulas(near)) {
    if (begin <= last - window && last - window < end) { return trimmed(near.substr(begin, end - begin)); }
  }
  size_t begin = last;
  while (begin > 0 && last - begin < kLongest && in_number(text[begin - 1])) { --begin; }
  while (begin < last && !is_digit(text[begin]) && !(text[begin] == '.' && is_digit(text[begin + 1]))) { ++begin; }
  if (begin > 0 && text[begin - 1] == '-' && (begin == 1 || is_space(text[begin - 2]) || text[begin - 2] == '=')) {
    --begin;
  }
  size_t end = last + 1;
  if (end < text.size() && text[end] == '%') { ++end; }
  return text.substr(begin, end - begin);
}

}  // namespace

Extract extract_answer(std::string_view output) {
  if (const auto found = boxed(output); found && !found->empty()) { return {std::string(*found), "boxed"}; }
  if (const auto found = stated(output, lower_ascii(output))) { return {std::string(*found), "stated"}; }
  if (const auto found = last_number(output)) { return {std::string(*found), "last number"}; }
  return {"", "no answer: nothing boxed, nothing stated, no number"};
}

}  // namespace vortex::evals
