#include "evals/grading/clean.h"

#include <array>
#include <cctype>
#include <utility>

namespace vortex::evals {
namespace {

using Replacement = std::pair<std::string_view, std::string_view>;

// Symbols beyond ASCII.
constexpr std::array<Replacement, 41> kSymbols = {{
    {"\u2212", "-"},
    {"\u2013", "-"},
    {"\u00d7", "\\times "},
    {"\u00b7", "\\cdot "},
    {"\u22c5", "\\cdot "},
    {"\u00f7", "\\div "},
    {"\u221a", "\\sqrt "},
    {"\u03c0", "\\pi "},
    {"\u221e", "\\infty "},
    {"\u222a", "\\cup "},
    {"\u2264", "\\le "},
    {"\u2265", "\\ge "},
    {"\u2260", "\\neq "},
    {"\u2248", "\\approx "},
    {"\u00b1", "\\pm "},
    {"\u2208", "\\in "},
    {"\u2205", "\\emptyset "},
    {"\u00b2", "^2"},
    {"\u00b3", "^3"},
    {"\u00b0", ""},
    {"\u00bd", "\\frac{1}{2}"},
    {"\u2153", "\\frac{1}{3}"},
    {"\u00bc", "\\frac{1}{4}"},
    {"\u00be", "\\frac{3}{4}"},
    {"\u00a0", " "},
    {"\u2009", " "},
    {"\u202f", " "},
    {"\u200b", ""},
    {"\u20ac", ""},
    {"\u00a3", ""},
    {"\u03b1", "\\alpha "},
    {"\u03b2", "\\beta "},
    {"\u03b8", "\\theta "},
    {"\u2154", "\\frac{2}{3}"},
    {"\u2044", "/"},
    {"\u2026", ""},
    {"\uff0c", ","},
    {"\u2019", "'"},
    {"\u201c", ""},
    {"\u201d", ""},
    {"\u2032", "'"},
}};

// Commands by what they are replaced with.
constexpr std::array<Replacement, 52> kCommands = {{
    {"left", ""},
    {"right", ""},
    {"big", ""},
    {"Big", ""},
    {"bigl", ""},
    {"bigr", ""},
    {"Bigl", ""},
    {"Bigr", ""},
    {"bigg", ""},
    {"Bigg", ""},
    {"displaystyle", ""},
    {"textstyle", ""},
    {"limits", ""},
    {"quad", " "},
    {"qquad", " "},
    {"dfrac", "\\frac"},
    {"tfrac", "\\frac"},
    {"cfrac", "\\frac"},
    {"dbinom", "\\binom"},
    {"tbinom", "\\binom"},
    {"leq", "\\le "},
    {"leqslant", "\\le "},
    {"geq", "\\ge "},
    {"geqslant", "\\ge "},
    {"ne", "\\neq "},
    {"lt", "<"},
    {"gt", ">"},
    {"circ", ""},
    {"degree", ""},
    {"degrees", ""},
    {"lvert", "|"},
    {"rvert", "|"},
    {"vert", "|"},
    {"mid", "|"},
    {"lbrace", "\\{"},
    {"rbrace", "\\}"},
    {"land", " , "},
    {"lor", " , "},
    {"ldots", ""},
    {"dots", ""},
    {"cdots", ""},
    {"bf", ""},
    {"rm", ""},
    {"it", ""},
    {"varnothing", "\\emptyset "},
    {"simeq", "\\approx "},
    {"hspace", ""},
    {"colon", ":"},
    {"lparen", "("},
    {"rparen", ")"},
    {"arccot", "\\arccot "},
    {"nobreak", ""},
}};

constexpr std::array<std::string_view, 14> kTextCommands = {
    "text",   "textbf", "textrm", "textit", "textnormal",   "mathrm",     "mathbf",
    "mathit", "mathsf", "mbox",   "hbox",   "operatorname", "boldsymbol", "emph"};

bool is_letter(char c) { return std::isalpha(static_cast<unsigned char>(c)) != 0; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }

std::string with_ascii_symbols(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const Replacement* found = nullptr;
    if (static_cast<unsigned char>(text.front()) >= 0x80) {
      for (const Replacement& symbol : kSymbols) {
        if (text.starts_with(symbol.first)) { found = &symbol; }
      }
    }
    if (found != nullptr) {
      out += found->second;
      text.remove_prefix(found->first.size());
    } else {
      const char c = text.front();
      out += c == '\n' || c == '\t' || c == '\r' || c == kTextBegin || c == kTextEnd ? ' ' : c;
      text.remove_prefix(1);
    }
  }
  return out;
}

// The contents of the braces at text[at], where they are; `at` then stands behind them.
std::string_view braced(std::string_view text, size_t& at) {
  size_t open = at;
  while (open < text.size() && text[open] == ' ') { ++open; }
  if (open == text.size() || text[open] != '{') { return {}; }
  int depth = 0;
  for (size_t i = open; i < text.size(); ++i) {
    if (text[i] == '\\') {
      ++i;
    } else if (text[i] == '{') {
      ++depth;
    } else if (text[i] == '}' && --depth == 0) {
      at = i + 1;
      return text.substr(open + 1, i - open - 1);
    }
  }
  return {};
}

// \begin{pmatrix} a & b \\ c & d \end{pmatrix} -> ((a,b),(c,d)), piece by piece. `name` is begin or end.
void matrix_part(std::string_view name, std::string_view text, size_t& at, std::string& out, int& matrices) {
  const std::string_view environment = braced(text, at);
  if (environment == "array") {
    braced(text, at);  // its column format
  }
  out += name == "begin" ? "((" : "))";
  matrices += name == "begin" ? 1 : -1;
}

// One backslash and what belongs to it; `at` stands behind the backslash.
void take_command(std::string_view text, size_t& at, std::string& out, int& matrices) {
  if (at >= text.size()) { return; }
  if (!is_letter(text[at])) {
    const char c = text[at++];
    if (c == '\\') {
      out += matrices > 0 ? "),(" : " ";
    } else if (c == '{' || c == '}') {
      out += '\\';
      out += c;
    } else if (c == '%') {
      out += '%';
    } else if (c == '|') {
      out += '|';
    } else if (c == ' ') {
      out += ' ';
    }  // \, \; \! \( \) \[ \] \$ leave nothing
    return;
  }
  const size_t begin = at;
  while (at < text.size() && is_letter(text[at])) { ++at; }
  const std::string_view name = text.substr(begin, at - begin);
  if (name == "begin" || name == "end") { return matrix_part(name, text, at, out, matrices); }
  for (const std::string_view command : kTextCommands) {
    if (name != command) { continue; }
    out += kTextBegin;
    out += braced(text, at);
    out += kTextEnd;
    return;
  }
  for (const Replacement& command : kCommands) {
    if (name != command.first) { continue; }
    out += command.second;
    return;
  }
  out += '\\';
  out += name;
}

std::string with_plain_commands(std::string_view text) {
  std::string out;
  int matrices = 0;
  for (size_t at = 0; at < text.size();) {
    const char c = text[at++];
    if (c == '\\') {
      take_command(text, at, out, matrices);
    } else if (c == '~') {
      out += ' ';
    } else if (c == '&') {
      out += matrices > 0 ? "," : " ";
    } else if (c != '$' && c != '`') {
      out += c;
    }
  }
  return out;
}

std::string replaced(std::string text, std::string_view from, std::string_view to) {
  for (size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size())) {
    text.replace(at, from.size(), to);
  }
  return text;
}

// The words "and" and "or", in \text{} or between spaces, join answers.
std::string with_commas_for_and(const std::string& text) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const size_t begin = at;
    while (at < text.size() && is_letter(text[at])) { ++at; }
    const std::string_view word = std::string_view(text).substr(begin, at - begin);
    const char before = begin == 0 ? ' ' : text[begin - 1];
    const char after = at == text.size() ? ' ' : text[at];
    const auto apart = [](char c) { return c == ' ' || c == kTextBegin || c == kTextEnd || c == ','; };
    if ((word == "and" || word == "or") && apart(before) && apart(after)) {
      out += ',';
    } else {
      out += word;
    }
    if (at == begin) { out += text[at++]; }
  }
  return out;
}

std::string tidy(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == ' ' && (out.empty() || out.back() == ' ')) { continue; }
    out += c;
  }
  constexpr std::string_view kTail = " .,;";
  while (!out.empty() && kTail.find(out.back()) != std::string_view::npos) { out.pop_back(); }
  return out;
}

}  // namespace

std::string clean(std::string_view text) {
  std::string out = with_plain_commands(with_ascii_symbols(text));
  for (const std::string_view degrees : {"^{}", "^{ }"}) { out = replaced(std::move(out), degrees, ""); }
  if (out.ends_with("^")) {
    out.pop_back();  // of ^\circ
  }
  out = replaced(std::move(out), "^ ", "^");
  out = replaced(std::move(out), "{,}", ",");
  return tidy(with_commas_for_and(out));
}

std::string without_thousands_separators(std::string_view text) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    size_t end = at;
    while (end < text.size() && is_digit(text[end])) { ++end; }
    const bool may_group = end > at && end - at <= 3 && (at == 0 || (text[at - 1] != '.' && !is_digit(text[at - 1])));
    out += text.substr(at, end - at);
    const auto three_digits = [&](size_t from) {
      if (from + 4 > text.size() || (text[from] != ',' && text[from] != ' ')) { return false; }
      for (size_t i = 1; i <= 3; ++i) {
        if (!is_digit(text[from + i])) { return false; }
      }
      return from + 4 == text.size() || !is_digit(text[from + 4]);
    };
    while (may_group && three_digits(end)) {
      out += text.substr(end + 1, 3);
      end += 4;
    }
    if (end == at) { out += text[end++]; }
    at = end;
  }
  return out;
}

}  // namespace vortex::evals
