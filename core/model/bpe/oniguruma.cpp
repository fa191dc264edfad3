#include "core/model/bpe/oniguruma.h"

#include <algorithm>
#include <optional>
#include <string_view>

namespace vortex::model {
namespace {

constexpr int kMaxDepth = 100;  // of groups
constexpr std::string_view kWhiteSpace =
    R"(\t-\r\x20\x85\xa0\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000})";

// What Unicode 15.0 to 16.0 added to a category, as the tokenizers package (npm: @anush008/tokenizers 0.6.0) knows it;
// scripts/compare_patterns.py asks it anew.
struct Category {
  std::string_view name;
  std::string_view newer;
};
constexpr std::string_view kNewUpper = R"(\x{1c89}\x{a7cb}-\x{a7cc}\x{a7da}\x{a7dc}\x{10d50}-\x{10d65})";
constexpr std::string_view kNewLower = R"(\x{1c8a}\x{a7cd}\x{a7db}\x{10d70}-\x{10d85}\x{1df25}-\x{1df2a})";
constexpr std::string_view kNewModifier =
    R"(\x{10d4e}\x{10d6f}\x{16d40}-\x{16d42}\x{16d6b}-\x{16d6c}\x{1e030}-\x{1e06d}\x{1e4eb})";
constexpr std::string_view kNewOther =
    R"(\x{105c0}-\x{105f3}\x{10d4a}-\x{10d4d}\x{10d4f}\x{10ec2}-\x{10ec4}\x{1123f}-\x{11240}\x{11380}-\x{11389}\x{1138b})"
    R"(\x{1138e}\x{11390}-\x{113b5}\x{113b7}\x{113d1}\x{113d3}\x{11bc0}-\x{11be0}\x{11f02}\x{11f04}-\x{11f10})"
    R"(\x{11f12}-\x{11f33}\x{1342f}\x{13441}-\x{13446}\x{13460}-\x{143fa}\x{16100}-\x{1611d}\x{16d43}-\x{16d6a}\x{18cff})"
    R"(\x{1b132}\x{1b155}\x{1e4d0}-\x{1e4ea}\x{1e5d0}-\x{1e5ed}\x{1e5f0}\x{2b739}\x{2ebf0}-\x{2ee5d}\x{31350}-\x{323af})";
constexpr std::string_view kNewNonspacing =
    R"(\x{897}\x{ece}\x{10d69}-\x{10d6d}\x{10efc}-\x{10eff}\x{11241}\x{113bb}-\x{113c0}\x{113ce}\x{113d0}\x{113d2})"
    R"(\x{113e1}-\x{113e2}\x{11f00}-\x{11f01}\x{11f36}-\x{11f3a}\x{11f40}\x{11f42}\x{11f5a}\x{13440}\x{13447}-\x{13455})"
    R"(\x{1611e}-\x{16129}\x{1612d}-\x{1612f}\x{1e08f}\x{1e4ec}-\x{1e4ef}\x{1e5ee}-\x{1e5ef})";
constexpr std::string_view kNewSpacing =
    R"(\x{cf3}\x{113b8}-\x{113ba}\x{113c2}\x{113c5}\x{113c7}-\x{113ca}\x{113cc}-\x{113cd}\x{113cf}\x{11f03})"
    R"(\x{11f34}-\x{11f35}\x{11f3e}-\x{11f3f}\x{11f41}\x{1612a}-\x{1612c})";
constexpr std::string_view kNewDigits =
    R"(\x{10d40}-\x{10d49}\x{116d0}-\x{116e3}\x{11bf0}-\x{11bf9}\x{11f50}-\x{11f59}\x{16130}-\x{16139}\x{16d70}-\x{16d79})"
    R"(\x{1ccf0}-\x{1ccf9}\x{1e4f0}-\x{1e4f9}\x{1e5f1}-\x{1e5fa})";
constexpr std::string_view kNewNumbers = R"(\x{1d2c0}-\x{1d2d3})";
constexpr std::string_view kNewPunctuation =
    R"(\x{1b4e}-\x{1b4f}\x{1b7f}\x{10d6e}\x{113d4}-\x{113d5}\x{113d7}-\x{113d8}\x{11b00}-\x{11b09}\x{11be1})"
    R"(\x{11f43}-\x{11f4f}\x{16d6d}-\x{16d6f}\x{1e5ff})";
constexpr std::string_view kNewSymbols =
    R"(\x{2427}-\x{2429}\x{2ffc}-\x{2fff}\x{31e4}-\x{31e5}\x{31ef}\x{10d8e}-\x{10d8f}\x{1cc00}-\x{1ccef}\x{1cd00}-\x{1ceb3})"
    R"(\x{1f6dc}\x{1f774}-\x{1f776}\x{1f77b}-\x{1f77f}\x{1f7d9}\x{1f8b2}-\x{1f8bb}\x{1f8c0}-\x{1f8c1}\x{1fa75}-\x{1fa77})"
    R"(\x{1fa87}-\x{1fa89}\x{1fa8f}\x{1faad}-\x{1faaf}\x{1fabb}-\x{1fabf}\x{1fac6}\x{1face}-\x{1facf}\x{1fada}-\x{1fadc})"
    R"(\x{1fadf}\x{1fae8}-\x{1fae9}\x{1faf7}-\x{1faf8}\x{1fbcb}-\x{1fbef})";

// What \p{...} means in a class: PCRE2's own tables, and what is newer. Nothing: not a category that is translated.
std::optional<std::string> category(std::string_view name) {
  constexpr Category kOne[] = {{"Lu", kNewUpper},    {"Ll", kNewLower},   {"Lt", ""},
                               {"Lm", kNewModifier}, {"Lo", kNewOther},   {"Mn", kNewNonspacing},
                               {"Mc", kNewSpacing},  {"Me", ""},          {"Nd", kNewDigits},
                               {"Nl", ""},           {"No", kNewNumbers}, {"P", kNewPunctuation},
                               {"S", kNewSymbols},   {"Z", ""},           {"Zs", ""},
                               {"Zl", ""},           {"Zp", ""},          {"Cc", ""}};
  std::string meant;
  for (const Category& one : kOne) {
    const bool part = name.size() == 1 && one.name.front() == name.front();
    if (one.name == name || (part && one.name.size() == 2 && name != "C" && name != "Z")) {
      meant += "\\p{" + std::string(one.name) + "}" + std::string(one.newer);
    }
  }
  if (meant.empty()) { return std::nullopt; }
  return meant;
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

struct Interval {
  std::string low;
  std::string high;
  bool exact = false;
  size_t size = 0;  // of its text
};

class Translator {
 public:
  explicit Translator(const std::string& pattern) : pattern_(pattern), rest_(pattern) {}

  Result<std::string> run() {
    VORTEX_TRY(alternatives(0));
    if (!rest_.empty()) { return refused("a ) that closes nothing"); }
    return std::move(out_);
  }

 private:
  Error refused(const std::string& what) const {
    return candidate_error("tokenizer.json: the pattern " + pattern_ + " uses " + what + ", which is not supported");
  }

  bool at(std::string_view text) const { return rest_.starts_with(text); }
  bool accept(std::string_view text) {
    if (!at(text)) { return false; }
    rest_.remove_prefix(text.size());
    return true;
  }
  char take() {
    const char c = rest_.front();
    rest_.remove_prefix(1);
    return c;
  }

  // Up to the end of the group, or of the pattern.
  Status alternatives(int depth) {
    if (depth > kMaxDepth) { return refused("groups nested deeper than " + std::to_string(kMaxDepth)); }
    bool first = true;
    const bool outer = insensitive_;
    while (!rest_.empty() && !at(")")) {
      if (accept("|")) {
        out_ += '|';
        last_letter_ = 0;
      } else {
        VORTEX_TRY(repeated_atom(depth, first));
      }
      first = false;
    }
    insensitive_ = outer;
    last_letter_ = 0;
    return ok_status();
  }

  Status repeated_atom(int depth, bool first) {
    const size_t begin = out_.size();
    bool repeatable = true;
    VORTEX_TRY(atom(depth, first, repeatable));
    bool of_interval = true;
    while (true) {
      const std::optional<Interval> range = interval();
      const bool sign = at("*") || at("+") || at("?");
      if (!sign && !range) { return ok_status(); }
      last_letter_ = 0;
      if (!repeatable) { return refused("a repetition of what matches nothing"); }
      if (!of_interval) { return refused("a repetition of a repetition"); }
      if (out_.size() > begin && repeated_) {
        out_.insert(begin, "(?:");
        out_ += ')';
      }
      repeated_ = true;
      of_interval = range.has_value();
      if (sign) {
        out_ += take();
        if (accept("?")) {
          out_ += '?';
        } else if (accept("+")) {
          out_ += '+';
        }
        continue;
      }
      rest_.remove_prefix(range->size);
      out_ += "{" + range->low + (range->exact ? "" : "," + range->high) + "}";
      if (!range->exact && accept("?")) {
        out_ += '?';
        of_interval = false;
      }
    }
  }

  // {n}, {n,}, {n,m} or {,m}; anything else is text.
  std::optional<Interval> interval() const {
    if (!at("{")) { return std::nullopt; }
    const size_t end = rest_.find('}');
    if (end == std::string_view::npos) { return std::nullopt; }
    const std::string_view inside = rest_.substr(1, end - 1);
    const size_t comma = std::min(inside.find(','), inside.size());
    const auto digits = [](std::string_view text) { return std::all_of(text.begin(), text.end(), is_digit); };
    Interval range;
    range.low = inside.substr(0, comma);
    range.exact = comma == inside.size();
    range.high = range.exact ? "" : std::string(inside.substr(comma + 1));
    range.size = end + 1;
    if (!digits(range.low) || !digits(range.high) || (range.low.empty() && range.high.empty())) { return std::nullopt; }
    if (range.low.empty()) { range.low = "0"; }
    return range;
  }

  Status atom(int depth, bool first, bool& repeatable) {
    repeated_ = false;
    const char c = take();
    switch (c) {
      case '\\':
        return escape(false);
      case '[':
        return char_class();
      case '(':
        return group(depth, first, repeatable);
      case '^':
      case '$':
        out_ += c == '^' ? "(?m:^)" : "(?m:$)";
        repeatable = false;
        last_letter_ = 0;
        return ok_status();
      case '.':
        out_ += c;
        last_letter_ = 0;
        return ok_status();
      case '*':
      case '+':
      case '?':
        return refused("a repetition of nothing");
      default:
        if (c == '{' || c == '}' || c == ']') { out_ += '\\'; }
        return literal(c);
    }
  }

  // Without regard to case Oniguruma also takes one letter for two, such as the ligature of "ff" for them.
  Status literal(char c) {
    out_ += c;
    if (!insensitive_) { return ok_status(); }
    if (static_cast<unsigned char>(c) >= 0x80) { return refused("letters beyond ASCII without regard to case"); }
    const char letter = is_letter(c) ? static_cast<char>(c | 0x20) : '\0';
    for (const std::string_view pair : {"ss", "ff", "fi", "fl", "st"}) {
      if (last_letter_ == pair[0] && letter == pair[1]) {
        return refused(std::string(pair) + " without regard to case");
      }
    }
    last_letter_ = letter;
    return ok_status();
  }

  Status group(int depth, bool first, bool& repeatable) {
    last_letter_ = 0;
    if (!accept("?")) {
      out_ += "(?:";
      return close_group(depth, insensitive_);
    }
    for (const std::string_view mark : {":", "=", "!", ">", "<=", "<!"}) {
      if (!accept(mark)) { continue; }
      out_ += "(?" + std::string(mark);
      repeatable = mark == ":" || mark == ">";
      return close_group(depth, insensitive_);
    }
    return options(depth, first, repeatable);
  }

  Status close_group(int depth, bool insensitive) {
    const bool outer = std::exchange(insensitive_, insensitive);
    VORTEX_TRY(alternatives(depth + 1));
    insensitive_ = outer;
    if (!accept(")")) { return refused("a ( that is not closed"); }
    out_ += ')';
    repeated_ = false;
    return ok_status();
  }

  // (?i), (?m), (?i-m:...): m is what PCRE2 calls s. For the rest of a group they hold from its beginning only.
  Status options(int depth, bool first, bool& repeatable) {
    bool on = true;
    bool insensitive = insensitive_;
    std::string flags;
    while (!rest_.empty() && !at(")") && !at(":")) {
      const char c = take();
      if (c != 'i' && c != 'm' && c != '-') { return refused("(?" + flags + c); }
      if (c == '-') { on = false; }
      if (c == 'i') { insensitive = on; }
      flags += c == 'm' ? 's' : c;
    }
    if (flags.empty() || rest_.empty()) { return refused("(?"); }
    out_ += "(?" + flags;
    if (take() == ':') {
      out_ += ':';
      return close_group(depth, insensitive);
    }
    if (!first) { return refused("an option behind the beginning of a group"); }
    out_ += ')';
    insensitive_ = insensitive;
    repeatable = false;
    return ok_status();
  }

  // Behind a backslash, in or out of a class.
  Status escape(bool in_class) {
    if (rest_.empty()) { return refused("a \\ at its end"); }
    const char c = take();
    if (c == 'x' || c == 'u') { return code_point(c); }
    last_letter_ = 0;
    if (c == 's' || c == 'S') { return put_class(std::string(kWhiteSpace), c == 'S', in_class, "\\S"); }
    if (c == 'd' || c == 'D') { return put_class(*category("Nd"), c == 'D', in_class, "\\D"); }
    if (c == 'p' || c == 'P') { return property(c == 'P', in_class); }
    if (c == 'r' || c == 'n' || c == 't') {
      out_ += {'\\', c};
      return ok_status();
    }
    if (is_letter(c) || is_digit(c)) { return refused(std::string("\\") + c); }
    if (static_cast<unsigned char>(c) < 0x80) { out_ += '\\'; }
    return in_class ? put(c) : literal(c);
  }

  Status put(char c) {
    out_ += c;
    return ok_status();
  }

  Status put_class(const std::string& members, bool negated, bool in_class, const std::string& name) {
    if (in_class && negated) { return refused(name + " within a class"); }
    out_ += in_class ? members : (negated ? "[^" : "[") + members + "]";
    class_member_ = true;
    return ok_status();
  }

  Status property(bool negated, bool in_class) {
    const size_t end = rest_.find('}');
    if (!accept("{") || end == std::string_view::npos) { return refused("\\p without braces"); }
    if (accept("^")) { negated = !negated; }
    const std::string name(rest_.substr(0, rest_.find('}')));
    rest_.remove_prefix(name.size() + 1);
    const std::optional<std::string> members = category(name);
    if (!members) { return refused("the property " + name); }
    return put_class(*members, negated, in_class, "\\P{" + name + "}");
  }

  Status code_point(char kind) {
    const bool braced = kind == 'x' && accept("{");
    const size_t most = kind == 'u' ? 4 : braced ? 6 : 2;
    size_t size = 0;
    while (size < rest_.size() && size < most &&
           std::string_view("0123456789abcdefABCDEF").find(rest_[size]) != std::string_view::npos) {
      ++size;
    }
    const std::string digits(rest_.substr(0, size));
    rest_.remove_prefix(size);
    if (digits.empty() || (kind == 'u' && size != 4) || (braced && !accept("}"))) {
      return refused("an unfinished code");
    }
    if (kind == 'x' && !braced && digits.size() == 2 && digits[0] >= '8') { return refused("a byte beyond ASCII"); }
    out_ += "\\x{" + digits + "}";
    if (insensitive_) { return refused("a code without regard to case"); }
    return ok_status();
  }

  Status char_class() {
    last_letter_ = 0;
    out_ += '[';
    if (accept("^")) { out_ += '^'; }
    if (at("]")) { return refused("an empty class"); }
    while (!rest_.empty() && !at("]")) {
      if (at("[") || at("&&")) { return refused("a nested class or an intersection"); }
      class_member_ = false;
      if (accept("\\")) {
        VORTEX_TRY(escape(true));
      } else {
        const char c = take();
        if (insensitive_ && static_cast<unsigned char>(c) >= 0x80) {
          return refused("letters beyond ASCII without regard to case");
        }
        out_ += c;
      }
      if (class_member_ && at("-") && !at("-]")) { return refused("a range from a class"); }
    }
    if (!accept("]")) { return refused("a [ that is not closed"); }
    out_ += ']';
    return ok_status();
  }

  const std::string& pattern_;
  std::string_view rest_;
  std::string out_;
  bool insensitive_ = false;
  bool repeated_ = false;      // the atom at the end of what is out has a repetition
  bool class_member_ = false;  // what was put into a class last stands for many characters
  char last_letter_ = 0;       // the literal before, without regard to case
};

}  // namespace

Result<std::string> oniguruma_to_pcre2(const std::string& pattern) { return Translator(pattern).run(); }

}  // namespace vortex::model
