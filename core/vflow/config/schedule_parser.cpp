#include "core/vflow/config/schedule_parser.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>
#include <optional>
#include <string_view>

#include "base/text.h"

namespace vortex::vflow {
namespace {

constexpr int kMaxDepth = 40;
constexpr size_t kMaxNodes = 1000;
constexpr size_t kMaxBytes = 8192;
constexpr size_t kMaxVariables = 64;  // in sight, with those that are given: a name is looked for among all

struct Variable {
  std::string name;
  int slot = 0;
  bool is_float = false;
  bool constant = false;
};

struct Function {
  std::string_view name;
  ScheduleOp op;
  int arguments;
};
constexpr std::array<Function, 16> kFunctions = {{
    {"min", ScheduleOp::kMin, 2},
    {"max", ScheduleOp::kMax, 2},
    {"fminf", ScheduleOp::kMin, 2},
    {"fmaxf", ScheduleOp::kMax, 2},
    {"abs", ScheduleOp::kAbs, 1},
    {"fabsf", ScheduleOp::kAbs, 1},
    {"sqrt", ScheduleOp::kSqrt, 1},
    {"sqrtf", ScheduleOp::kSqrt, 1},
    {"floor", ScheduleOp::kFloor, 1},
    {"floorf", ScheduleOp::kFloor, 1},
    {"ceil", ScheduleOp::kCeil, 1},
    {"ceilf", ScheduleOp::kCeil, 1},
    {"log2", ScheduleOp::kLog2, 1},
    {"log2f", ScheduleOp::kLog2, 1},
    {"int", ScheduleOp::kToInt, 1},
    {"float", ScheduleOp::kToFloat, 1},
}};

struct BinaryRule {
  std::string_view symbol;
  int level;
  ScheduleOp op;
};
constexpr std::array<BinaryRule, 13> kBinaryRules = {{
    {"||", 0, ScheduleOp::kOr},
    {"&&", 1, ScheduleOp::kAnd},
    {"==", 2, ScheduleOp::kEqual},
    {"!=", 2, ScheduleOp::kNotEqual},
    {"<=", 3, ScheduleOp::kLessEqual},
    {">=", 3, ScheduleOp::kGreaterEqual},
    {"<", 3, ScheduleOp::kLess},
    {">", 3, ScheduleOp::kGreater},
    {"+", 4, ScheduleOp::kAdd},
    {"-", 4, ScheduleOp::kSubtract},
    {"*", 5, ScheduleOp::kMultiply},
    {"/", 5, ScheduleOp::kDivide},
    {"%", 5, ScheduleOp::kModulo},
}};
constexpr int kUnaryLevel = 6;

bool is_word_char(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

class Compiler {
 public:
  explicit Compiler(Reporter& reporter) : reporter_(reporter), text_(reporter.source().text()) {
    // In the order of ScheduleInputs.
    declare("cached_block_len", false, true);
    declare("topk_val", false, true);
    declare("topk_ratio", true, true);
    declare("block_reserved_bos", false, true);
    declare("block_reserved_eos", false, true);
    next();
  }

  std::shared_ptr<const ScheduleCode> run() {
    if (text_.size() > kMaxBytes) {
      fail({0, 0}, "the schedule policy is longer than " + std::to_string(kMaxBytes) + " bytes");
      return nullptr;
    }
    bool returns = false;
    const int root = statements("", returns);
    if (!failed_ && !returns) {
      const auto end = static_cast<uint32_t>(text_.size());
      fail({end, end}, "not every path ends with a return", "", "end with `return <whole number of pages>;`");
    }
    if (failed_) { return nullptr; }
    code_.root = root;
    code_.slots = slots_;
    return std::make_shared<const ScheduleCode>(std::move(code_));
  }

 private:
  // ---- tokens: words, numbers and symbols; token_ is empty at the end
  void next() {
    skip_blanks();
    const size_t begin = at_;
    if (at_ < text_.size()) {
      const char c = text_[at_];
      if (is_word_char(c) || (c == '.' && at_ + 1 < text_.size() && text_[at_ + 1] >= '0' && text_[at_ + 1] <= '9')) {
        const bool number = c < 'A';
        while (at_ < text_.size()) {
          const bool exponent_sign =
              number && (text_[at_] == '+' || text_[at_] == '-') && (text_[at_ - 1] | 0x20) == 'e';
          if (!is_word_char(text_[at_]) && !(number && text_[at_] == '.') && !exponent_sign) { break; }
          ++at_;
        }
      } else {
        static constexpr std::string_view kPairs[] = {
            "||", "&&", "==", "!=", "<=", ">=", "::", "+=", "-=", "*=", "/=", "%=", "++", "--", "->", "<<", ">>"};
        const std::string_view rest = text_.substr(at_);
        const bool pair =
            std::any_of(std::begin(kPairs), std::end(kPairs), [&](std::string_view p) { return rest.starts_with(p); });
        at_ += pair ? 2U : 1U;
      }
    }
    token_ = text_.substr(begin, at_ - begin);
    span_ = {static_cast<uint32_t>(begin), static_cast<uint32_t>(at_)};
  }

  void skip_blanks() {
    while (at_ < text_.size()) {
      const std::string_view rest = text_.substr(at_);
      if (rest[0] == ' ' || rest[0] == '\n' || rest[0] == '\t' || rest[0] == '\r') {
        ++at_;
      } else if (rest.starts_with("//")) {
        at_ = std::min(text_.find('\n', at_), text_.size());
      } else if (rest.starts_with("/*")) {
        const size_t end = text_.find("*/", at_ + 2);
        at_ = end == std::string_view::npos ? text_.size() : end + 2;
      } else {
        break;
      }
    }
  }

  bool accept(std::string_view symbol) {
    if (failed_ || token_ != symbol) { return false; }
    next();
    return true;
  }
  void expect(std::string_view symbol) {
    if (!failed_ && !accept(symbol)) { fail(span_, "expected \"" + std::string(symbol) + "\", found " + shown()); }
  }
  std::string shown() const { return token_.empty() ? "the end" : "\"" + std::string(token_.substr(0, 40)) + "\""; }
  bool at_word() const { return !token_.empty() && is_word_char(token_[0]) && (token_[0] > '9'); }

  int fail(Span span, std::string message, std::string allowed = {}, std::string suggestion = {}) {
    if (!failed_) {
      reporter_.error(span, {"schedule", std::move(message), std::move(allowed), std::move(suggestion)});
    }
    failed_ = true;
    return -1;
  }

  int add(ScheduleNode node) {
    if (failed_) { return -1; }
    if (code_.nodes.size() >= kMaxNodes) { return fail(span_, "the schedule policy is too long"); }
    code_.nodes.push_back(node);
    return static_cast<int>(code_.nodes.size()) - 1;
  }
  bool is_float(int node) const { return node >= 0 && code_.nodes[static_cast<size_t>(node)].is_float; }

  // ---- names
  int declare(std::string_view name, bool is_float_value, bool constant) {
    variables_.push_back({std::string(name), slots_, is_float_value, constant});
    return slots_++;
  }
  const Variable* find(std::string_view name) const {
    const auto at =
        std::find_if(variables_.rbegin(), variables_.rend(), [&](const Variable& v) { return v.name == name; });
    return at == variables_.rend() ? nullptr : &*at;
  }

  // ---- statements
  // Up to `end` ("" is the end of the text). `returns` tells whether every path through them returns.
  int statements(std::string_view end, bool& returns) {
    const size_t visible = variables_.size();
    int block = add({.op = ScheduleOp::kEmpty});
    returns = false;
    while (!failed_ && token_ != end) {
      if (token_.empty()) { return fail(span_, "expected \"" + std::string(end) + "\", found the end"); }
      bool one_returns = false;
      const int statement = parse_statement(one_returns);
      returns = returns || one_returns;
      block = add({.op = ScheduleOp::kBlock, .a = block, .b = statement});
    }
    if (!end.empty()) { variables_.resize(std::min(visible, variables_.size())); }
    return block;
  }

  int parse_statement(bool& returns) {
    if (++depth_ > kMaxDepth) { return fail(span_, "statements are nested too deeply"); }
    const int statement = parse_statement_kind(returns);
    --depth_;
    return statement;
  }

  int parse_statement_kind(bool& returns) {
    for (std::string_view word : {"for", "while", "do", "goto", "switch", "asm", "struct", "#"}) {
      if (token_ == word) {
        return fail(span_, "`" + std::string(word) + "` is not supported in a schedule policy",
                    "locals, arithmetic, comparisons, min, max, sqrt, if, return", "write the budget as an expression");
      }
    }
    if (accept(";")) { return add({.op = ScheduleOp::kEmpty}); }
    if (accept("{")) {
      const int block = statements("}", returns);
      expect("}");
      return block;
    }
    if (accept("return")) {
      const int value = expression();
      expect(";");
      returns = true;
      return add({.op = ScheduleOp::kReturn, .a = value});
    }
    if (accept("if")) { return parse_if(returns); }
    if (token_ == "const" || token_ == "constexpr" || is_type(token_) || token_ == "auto") { return declaration(); }
    return assignment();
  }

  int parse_if(bool& returns) {
    expect("(");
    const int condition = expression();
    expect(")");
    bool then_returns = false;
    bool else_returns = false;
    const int then = parse_statement(then_returns);
    const int otherwise = accept("else") ? parse_statement(else_returns) : -1;
    returns = then_returns && else_returns;
    return add({.op = ScheduleOp::kIf, .a = condition, .b = then, .c = otherwise});
  }

  static bool is_type(std::string_view word) {
    return word == "int" || word == "float" || word == "double" || word == "bool";
  }

  int declaration() {
    bool constant = false;
    std::string_view type;
    while (!failed_ && (token_ == "const" || token_ == "constexpr" || token_ == "auto" || is_type(token_))) {
      if (token_ == "const" || token_ == "constexpr") {
        constant = true;
      } else {
        type = token_;
      }
      next();
    }
    if (!at_word()) { return fail(span_, "expected a name, found " + shown()); }
    const std::string_view name = token_;
    const Span span = span_;
    next();
    if (token_ != "=") {
      return fail(span_, "expected \"=\", found " + shown(), "", "give every local a value where it is declared");
    }
    next();
    const int value = expression();
    expect(";");
    if (find(name) != nullptr) { return fail(span, "\"" + std::string(name) + "\" is declared twice"); }
    const bool float_value =
        type == "float" || type == "double" || ((type.empty() || type == "auto") && is_float(value));
    if (variables_.size() >= kMaxVariables) { return fail(span, "the schedule policy has too many locals"); }
    const int slot = declare(name, float_value, constant);
    return add({.op = ScheduleOp::kAssign, .is_float = float_value, .a = convert(value, float_value), .slot = slot});
  }

  int assignment() {
    if (!at_word()) { return fail(span_, "expected a statement, found " + shown()); }
    const Variable* found = find(token_);
    if (found == nullptr) { return unknown(); }
    const Variable variable = *found;
    if (variable.constant) {
      return fail(span_, "\"" + variable.name + "\" cannot be changed", "",
                  "declare a local of your own: int budget = ...;");
    }
    next();
    const std::string_view op = token_;
    if (op != "=" &&
        (op.size() != 2 || op[1] != '=' || std::string_view("+-*/%").find(op[0]) == std::string_view::npos)) {
      return fail(span_, "expected an assignment, found " + shown());
    }
    next();
    int value = expression();
    expect(";");
    if (op != "=") {
      const int old = add({.op = ScheduleOp::kSlot, .is_float = variable.is_float, .slot = variable.slot});
      for (const BinaryRule& rule : kBinaryRules) {
        if (rule.symbol == op.substr(0, 1)) { value = arithmetic(rule.op, old, value); }
      }
    }
    return add({.op = ScheduleOp::kAssign,
                .is_float = variable.is_float,
                .a = convert(value, variable.is_float),
                .slot = variable.slot});
  }

  int convert(int value, bool to_float) {
    if (failed_ || is_float(value) == to_float) { return value; }
    return add({.op = to_float ? ScheduleOp::kToFloat : ScheduleOp::kToInt, .is_float = to_float, .a = value});
  }

  // ---- expressions
  int expression() {
    if (failed_) { return -1; }
    if (++depth_ > kMaxDepth) { return fail(span_, "expressions are nested too deeply"); }
    int value = binary(0);
    if (accept("?")) {
      const int yes = expression();
      expect(":");
      const int no = expression();
      const bool float_value = is_float(yes) || is_float(no);
      const int a = convert(yes, float_value);
      const int b = convert(no, float_value);
      value = add({.op = ScheduleOp::kSelect, .is_float = float_value, .a = value, .b = a, .c = b});
    }
    --depth_;
    return value;
  }

  int arithmetic(ScheduleOp op, int left, int right) {
    const bool float_value = is_float(left) || is_float(right);
    if (op == ScheduleOp::kModulo && float_value) { return fail(span_, "% needs whole numbers"); }
    const bool logic = op == ScheduleOp::kAnd || op == ScheduleOp::kOr;
    if (!logic) {
      left = convert(left, float_value);
      right = convert(right, float_value);
    }
    const bool number = op == ScheduleOp::kAdd || op == ScheduleOp::kSubtract || op == ScheduleOp::kMultiply ||
                        op == ScheduleOp::kDivide;
    return add({.op = op, .is_float = number && float_value, .a = left, .b = right});
  }

  int binary(int level) {
    if (level == kUnaryLevel) { return unary(); }
    int left = binary(level + 1);
    while (!failed_) {
      const auto rule = std::find_if(kBinaryRules.begin(), kBinaryRules.end(),
                                     [&](const BinaryRule& r) { return r.level == level && r.symbol == token_; });
      if (rule == kBinaryRules.end()) { break; }
      next();
      const int right = binary(level + 1);
      left = arithmetic(rule->op, left, right);
    }
    return left;
  }

  int unary() {
    if (failed_) { return -1; }
    if (++depth_ > kMaxDepth) { return fail(span_, "expressions are nested too deeply"); }
    int value = -1;
    if (accept("-")) {
      value = unary();
      value = add({.op = ScheduleOp::kNegate, .is_float = is_float(value), .a = value});
    } else if (accept("!")) {
      value = add({.op = ScheduleOp::kNot, .a = unary()});
    } else if (!accept("+")) {
      value = primary();
    } else {
      value = unary();
    }
    --depth_;
    return value;
  }

  int primary() {
    if (accept("(")) { return parenthesised(); }
    if (token_.empty() || !(is_word_char(token_[0]) || token_[0] == '.')) {
      return fail(span_, "expected a value, found " + shown());
    }
    if (token_[0] <= '9') { return number(); }
    if (token_ == "true" || token_ == "false") {
      const double value = token_ == "true" ? 1 : 0;
      next();
      return add({.op = ScheduleOp::kConstant, .constant = value});
    }
    if (accept("static_cast")) {
      expect("<");
      const bool to_float = token_ == "float" || token_ == "double";
      if (!is_type(token_)) { return fail(span_, "expected int or float, found " + shown()); }
      next();
      expect(">");
      expect("(");
      const int value = convert(expression(), to_float);
      expect(")");
      return value;
    }
    if (accept("std")) { expect("::"); }
    const Span span = span_;
    const std::string_view name = token_;
    next();
    if (token_ == "(") { return call(name, span); }
    const Variable* variable = find(name);
    if (variable == nullptr) {
      token_ = name;
      span_ = span;
      return unknown();
    }
    return add({.op = ScheduleOp::kSlot, .is_float = variable->is_float, .slot = variable->slot});
  }

  // "(int)x" or "(x + y)".
  int parenthesised() {
    if (is_type(token_)) {
      const bool to_float = token_ == "float" || token_ == "double";
      next();
      expect(")");
      return convert(unary(), to_float);
    }
    const int value = expression();
    expect(")");
    return value;
  }

  int call(std::string_view name, Span span) {
    const auto function =
        std::find_if(kFunctions.begin(), kFunctions.end(), [&](const Function& f) { return f.name == name; });
    if (function == kFunctions.end()) {
      std::vector<std::string> known;
      for (const Function& f : kFunctions) { known.emplace_back(f.name); }
      const auto nearest = nearest_word(name, known);
      return fail(span, "there is no function \"" + std::string(name) + "\"", join(known, ", "),
                  nearest ? "did you mean \"" + *nearest + "\"?" : "");
    }
    expect("(");
    int a = expression();
    int b = -1;
    if (function->arguments == 2) {
      expect(",");
      b = expression();
    }
    expect(")");
    if (function->op == ScheduleOp::kToInt) { return convert(a, false); }
    const bool always_float = function->op == ScheduleOp::kSqrt || function->op == ScheduleOp::kLog2 ||
                              function->op == ScheduleOp::kFloor || function->op == ScheduleOp::kCeil ||
                              function->op == ScheduleOp::kToFloat || function->name[0] == 'f';
    const bool float_value = always_float || is_float(a) || is_float(b);
    a = convert(a, float_value);
    if (b >= 0) { b = convert(b, float_value); }
    if (function->op == ScheduleOp::kToFloat) { return a; }
    return add({.op = function->op, .is_float = float_value, .a = a, .b = b});
  }

  int number() {
    std::string digits(token_);
    const bool hexadecimal = digits.starts_with("0x") || digits.starts_with("0X");
    const bool suffix = !hexadecimal && (digits.back() == 'f' || digits.back() == 'F');
    if (suffix) { digits.pop_back(); }
    double value = 0;
    const char* end = digits.data() + digits.size();
    const bool float_value = suffix || digits.find_first_of(".eE") != std::string::npos;
    const auto result = std::from_chars(digits.data(), end, value);
    if (hexadecimal || result.ec != std::errc{} || result.ptr != end) {
      return fail(span_, shown() + " is not a number");
    }
    const double largest = float_value ? double{std::numeric_limits<float>::max()} : 2147483647.0;
    if (value > largest) { return fail(span_, shown() + " does not fit in 32 bits"); }
    next();
    return add({.op = ScheduleOp::kConstant,
                .is_float = float_value,
                .constant = float_value ? static_cast<double>(static_cast<float>(value)) : value});
  }

  int unknown() {
    std::vector<std::string> known;
    for (const Variable& variable : variables_) { known.push_back(variable.name); }
    const auto nearest = nearest_word(token_, known);
    return fail(span_, shown() + " is not defined", join(known, ", "),
                nearest ? "did you mean \"" + *nearest + "\"?" : "");
  }

  Reporter& reporter_;
  std::string_view text_;
  size_t at_ = 0;
  std::string_view token_;
  Span span_;
  int depth_ = 0;
  bool failed_ = false;
  int slots_ = 0;
  std::vector<Variable> variables_;
  ScheduleCode code_;
};

}  // namespace

std::shared_ptr<const ScheduleCode> parse_schedule(Reporter& reporter) { return Compiler(reporter).run(); }

}  // namespace vortex::vflow
