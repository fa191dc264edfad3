#include "evals/grading/symbols.h"

#include <algorithm>
#include <array>
#include <utility>

namespace vortex::evals {
namespace {

using Replacement = std::pair<std::string_view, std::string_view>;

constexpr std::array<Replacement, 92> kSymbols = {{
    {"\u2212", "-"},
    {"\u2013", "-"},
    {"\u2014", "-"},
    {"\u2010", "-"},
    {"\u2011", "-"},
    {"\u00d7", "\\times "},
    {"\u00b7", "\\cdot "},
    {"\u22c5", "\\cdot "},
    {"\u2217", "*"},
    {"\u00f7", "\\div "},
    {"\u221a", "\\sqrt "},
    {"\u03c0", "\\pi "},
    {"\u221e", "\\infty "},
    {"\u222a", "\\cup "},
    {"\u2229", "\\cap "},
    {"\u2216", "\\setminus "},
    {"\u2264", "\\le "},
    {"\u2265", "\\ge "},
    {"\u2a7d", "\\le "},
    {"\u2a7e", "\\ge "},
    {"\u2260", "\\ne "},
    {"\u2248", "\\approx "},
    {"\u2245", "\\approx "},
    {"\u00b1", "\\pm "},
    {"\u2213", "\\mp "},
    {"\u2208", "\\in "},
    {"\u2205", "\\emptyset "},
    {"\u00d8", "\\emptyset "},
    {"\u211d", "\\mathbb{R}"},
    {"\u2124", "\\mathbb{Z}"},
    {"\u2115", "\\mathbb{N}"},
    {"\u211a", "\\mathbb{Q}"},
    {"\u2102", "\\mathbb{C}"},
    {"\u00b9", "^{1}"},
    {"\u00b2", "^{2}"},
    {"\u00b3", "^{3}"},
    {"\u2074", "^{4}"},
    {"\u2075", "^{5}"},
    {"\u2076", "^{6}"},
    {"\u2077", "^{7}"},
    {"\u2078", "^{8}"},
    {"\u2079", "^{9}"},
    {"\u2080", "_{0}"},
    {"\u2081", "_{1}"},
    {"\u2082", "_{2}"},
    {"\u2083", "_{3}"},
    {"\u2084", "_{4}"},
    {"\u2085", "_{5}"},
    {"\u2086", "_{6}"},
    {"\u2087", "_{7}"},
    {"\u2088", "_{8}"},
    {"\u2089", "_{9}"},
    {"\u00b0", "\\degree "},
    {"\u00bd", "\\frac{1}{2}"},
    {"\u2153", "\\frac{1}{3}"},
    {"\u2154", "\\frac{2}{3}"},
    {"\u00bc", "\\frac{1}{4}"},
    {"\u00be", "\\frac{3}{4}"},
    {"\u2155", "\\frac{1}{5}"},
    {"\u215b", "\\frac{1}{8}"},
    {"\u00a0", " "},
    {"\u2009", " "},
    {"\u202f", " "},
    {"\u2002", " "},
    {"\u2003", " "},
    {"\u3000", " "},
    {"\u200b", ""},
    {"\ufeff", ""},
    {"\u20ac", "\\text{euro}"},
    {"\u00a3", "\\text{sterling}"},
    {"\u00a5", "\\text{yen}"},
    {"\u03b1", "\\alpha "},
    {"\u03b2", "\\beta "},
    {"\u03b3", "\\gamma "},
    {"\u03b4", "\\delta "},
    {"\u03b5", "\\epsilon "},
    {"\u03b8", "\\theta "},
    {"\u03bb", "\\lambda "},
    {"\u03bc", "\\mu "},
    {"\u03c1", "\\rho "},
    {"\u03c3", "\\sigma "},
    {"\u03c6", "\\phi "},
    {"\u03c9", "\\omega "},
    {"\u0394", "\\Delta "},
    {"\u2220", "\\angle "},
    {"\u2044", "/"},
    {"\u2026", "\\ldots "},
    {"\u22ef", "\\ldots "},
    {"\uff0c", ","},
    {"\u2019", "'"},
    {"\u2032", "'"},
    {"\u2713", ""},
}};

constexpr std::array<std::string_view, 41> kIgnored = {
    "left",        "right",  "big",       "Big",        "bigl",  "bigr",  "Bigl",   "Bigr",         "bigg",
    "Bigg",        "biggl",  "biggr",     "Biggl",      "Biggr", "bigm",  "middle", "displaystyle", "textstyle",
    "scriptstyle", "limits", "nolimits",  "mathstrut",  "strut", "bf",    "rm",     "it",           "sf",
    "tt",          "hfill",  "checkmark", "normalsize", "large", "Large", "small",  "relax",        "nobreak",
    "!",           "(",      ")",         "]",          "["};
constexpr std::array<std::string_view, 8> kSpaces = {"quad", "qquad", ",", ";", ":", " ", "enspace", "newline"};
constexpr std::array<std::string_view, 9> kSkipped = {"hspace", "vspace", "phantom", "hphantom", "vphantom",
                                                      "tag",    "color",  "label",   "mspace"};
constexpr std::array<std::string_view, 17> kWrappers = {
    "boxed",     "fbox",         "framebox",   "underline", "ensuremath",     "mathop",
    "mathord",   "mathbin",      "mathrel",    "vec",       "overrightarrow", "overleftrightarrow",
    "wideparen", "displaylines", "underbrace", "emph",      "smash"};
constexpr std::array<std::string_view, 11> kTexts = {"text",   "textbf", "textrm", "textit", "textnormal", "textsf",
                                                     "texttt", "textup", "mbox",   "hbox",   "textsc"};
constexpr std::array<std::string_view, 11> kFonts = {
    "mathrm", "mathbf", "mathit", "mathsf", "mathcal", "mathbb", "bm", "boldsymbol", "pmb", "mathfrak", "operatorname"};
constexpr std::array<std::string_view, 9> kAccents = {"bar",     "hat",      "tilde",     "dot",  "ddot",
                                                      "widehat", "overline", "widetilde", "check"};

// Commands that stand for other text.
constexpr std::array<Replacement, 26> kReplaced = {{
    {"lt", "<"},
    {"gt", ">"},
    {"lvert", "|"},
    {"rvert", "|"},
    {"vert", "|"},
    {"lbrace", "\\{"},
    {"rbrace", "\\}"},
    {"lbrack", "["},
    {"rbrack", "]"},
    {"land", " and "},
    {"lor", " or "},
    {"wedge", " and "},
    {"vee", " or "},
    {"colon", ":"},
    {"lparen", "("},
    {"rparen", ")"},
    {"prime", "'"},
    {"euro", "\\text{euro}"},
    {"pounds", "\\text{sterling}"},
    {"percent", "\\%"},
    {"R", "\\mathbb{R}"},
    {"ast", "*"},
    {"slash", "/"},
    {"comma", ","},
    {"backslash", "\\setminus "},
    {"ratio", ":"},
}};

// Commands by the name that the parser knows.
constexpr std::array<Replacement, 83> kMeaningful = {{
    {"dfrac", "frac"},
    {"tfrac", "frac"},
    {"cfrac", "frac"},
    {"dbinom", "binom"},
    {"tbinom", "binom"},
    {"frac", "frac"},
    {"sqrt", "sqrt"},
    {"binom", "binom"},
    {"over", "over"},
    {"choose", "choose"},
    {"times", "times"},
    {"cdot", "times"},
    {"bullet", "times"},
    {"div", "div"},
    {"pm", "pm"},
    {"mp", "mp"},
    {"le", "le"},
    {"leq", "le"},
    {"leqslant", "le"},
    {"leqq", "le"},
    {"ge", "ge"},
    {"geq", "ge"},
    {"geqslant", "ge"},
    {"geqq", "ge"},
    {"ne", "ne"},
    {"neq", "ne"},
    {"not", "not"},
    {"approx", "approx"},
    {"simeq", "approx"},
    {"approxeq", "approx"},
    {"cong", "equiv"},
    {"equiv", "equiv"},
    {"in", "in"},
    {"notin", "notin"},
    {"cup", "cup"},
    {"bigcup", "cup"},
    {"cap", "cap"},
    {"setminus", "setminus"},
    {"smallsetminus", "setminus"},
    {"emptyset", "emptyset"},
    {"varnothing", "emptyset"},
    {"infty", "infty"},
    {"pi", "pi"},
    {"circ", "degree"},
    {"degree", "degree"},
    {"degrees", "degree"},
    {"mid", "mid"},
    {"bmod", "bmod"},
    {"mod", "bmod"},
    {"pmod", "pmod"},
    {"pod", "pmod"},
    {"ldots", "ldots"},
    {"dots", "ldots"},
    {"cdots", "ldots"},
    {"dotsc", "ldots"},
    {"dotsb", "ldots"},
    {"sum", "sum"},
    {"prod", "prod"},
    {"int", "int"},
    {"sin", "sin"},
    {"cos", "cos"},
    {"tan", "tan"},
    {"cot", "cot"},
    {"sec", "sec"},
    {"csc", "csc"},
    {"arcsin", "arcsin"},
    {"arccos", "arccos"},
    {"arctan", "arctan"},
    {"arccot", "arccot"},
    {"sinh", "sinh"},
    {"cosh", "cosh"},
    {"tanh", "tanh"},
    {"coth", "coth"},
    {"exp", "exp"},
    {"ln", "ln"},
    {"log", "log"},
    {"lg", "lg"},
    {"angle", "angle"},
    {"triangle", "triangle"},
    {"measuredangle", "angle"},
    {"tg", "tan"},
    {"ctg", "cot"},
    {"arctg", "arctan"},
}};

constexpr std::array<std::string_view, 43> kGreek = {
    "alpha", "beta",   "gamma", "delta",   "epsilon", "varepsilon", "zeta",  "eta",      "theta", "vartheta", "iota",
    "kappa", "lambda", "mu",    "nu",      "xi",      "rho",        "sigma", "tau",      "phi",   "varphi",   "chi",
    "psi",   "omega",  "Gamma", "Delta",   "Theta",   "Lambda",     "Xi",    "Sigma",    "Phi",   "Psi",      "Omega",
    "ell",   "hbar",   "Pi",    "upsilon", "square",  "star",       "Re",    "varsigma", "Im",    "Upsilon"};

template <typename List>
bool has(const List& list, std::string_view name) {
  return std::find(list.begin(), list.end(), name) != list.end();
}

template <typename Table>
const Replacement* row_of(const Table& table, std::string_view name) {
  const auto found = std::find_if(table.begin(), table.end(), [&](const auto& row) { return row.first == name; });
  return found == table.end() ? nullptr : &*found;
}

}  // namespace

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
      out += static_cast<unsigned char>(c) < ' ' ? ' ' : c;
      text.remove_prefix(1);
    }
  }
  return out;
}

Command command_of(std::string_view name) {
  if (has(kIgnored, name)) { return {CommandKind::kIgnored, {}}; }
  if (has(kSpaces, name)) { return {CommandKind::kSpace, {}}; }
  if (has(kSkipped, name)) { return {CommandKind::kSkipped, {}}; }
  if (has(kWrappers, name)) { return {CommandKind::kWrapper, {}}; }
  if (name == "textcolor" || name == "colorbox" || name == "fcolorbox") { return {CommandKind::kColored, {}}; }
  if (has(kTexts, name)) { return {CommandKind::kText, {}}; }
  if (has(kFonts, name)) { return {CommandKind::kUpright, name}; }
  if (has(kAccents, name)) { return {CommandKind::kAccent, name}; }
  if (const Replacement* row = row_of(kReplaced, name)) { return {CommandKind::kReplaced, row->second}; }
  if (const Replacement* row = row_of(kMeaningful, name)) { return {CommandKind::kMeaningful, row->second}; }
  if (has(kGreek, name)) { return {CommandKind::kGreek, name}; }
  return {};
}

}  // namespace vortex::evals
