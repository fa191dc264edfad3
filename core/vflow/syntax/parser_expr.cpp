#include <array>
#include <charconv>
#include <utility>

#include "core/vflow/syntax/parser_impl.h"

namespace vortex::vflow {
namespace {

// Nesting of expressions and blocks together; the evaluator recurses as deep.
constexpr int kMaxDepth = 80;
constexpr size_t kMaxKeywords = 128;  // of a call: each is compared with all others

struct BinaryRule {
  std::string_view symbol;
  int level;
  Operator op;
};
constexpr std::array<BinaryRule, 6> kBinaryRules = {{
    {"+", 0, Operator::kAdd},
    {"-", 0, Operator::kSubtract},
    {"*", 1, Operator::kMultiply},
    {"/", 1, Operator::kDivide},
    {"//", 1, Operator::kFloorDivide},
    {"%", 1, Operator::kModulo},
}};
constexpr int kUnaryLevel = 2;

}  // namespace

Expr* Parser::make_expr(ExprKind kind, Span span) {
  Expr& expr = module_.exprs.emplace_back();
  expr.kind = kind;
  expr.span = span;
  return &expr;
}

Expr* Parser::parse_whole_expression(int depth) {
  depth_ = depth;
  Expr* expr = parse_expression();
  if (!failed_ && peek().kind != TokenKind::kEnd) { fail_here("\"}\""); }
  return expr;
}

Expr* Parser::parse_expression_list() {
  const uint32_t begin = peek().span.begin;
  Expr* first = parse_expression();
  if (failed_ || !at_symbol(",")) { return first; }
  Expr* tuple = make_expr(ExprKind::kTuple, {});
  tuple->items.push_back(first);
  while (!failed_ && accept_symbol(",")) {
    if (peek().kind == TokenKind::kNewline || at_symbol("=") || at_symbol(")") || at_symbol(";")) { break; }
    tuple->items.push_back(parse_expression());
  }
  tuple->span = since(begin);
  return tuple;
}

Expr* Parser::parse_expression() {
  if (failed_) { return make_expr(ExprKind::kError, peek().span); }
  if (depth_ >= kMaxDepth) { return fail(peek().span, {"too-deep", "this expression is nested too deeply"}); }
  ++depth_;
  const uint32_t begin = peek().span.begin;
  Expr* value = parse_or();
  if (!failed_ && at_symbol(":=")) {
    fail(peek().span, {"unsupported-syntax", "`:=` is not supported", "", "assign on a line of its own"});
  }
  if (!failed_ && accept_word("if")) {
    Expr* condition = parse_or();
    expect_word("else", "in the conditional expression");
    Expr* other = parse_expression();
    Expr* result = make_expr(ExprKind::kConditional, since(begin));
    result->items = {value, condition, other};
    value = result;
  }
  --depth_;
  return value;
}

Expr* Parser::parse_or() {
  const uint32_t begin = peek().span.begin;
  Expr* left = parse_and();
  if (failed_ || !at_word("or")) { return left; }
  Expr* result = make_expr(ExprKind::kOr, {});
  result->items.push_back(left);
  while (!failed_ && accept_word("or")) { result->items.push_back(parse_and()); }
  result->span = since(begin);
  return result;
}

Expr* Parser::parse_and() {
  const uint32_t begin = peek().span.begin;
  Expr* left = parse_not();
  if (failed_ || !at_word("and")) { return left; }
  Expr* result = make_expr(ExprKind::kAnd, {});
  result->items.push_back(left);
  while (!failed_ && accept_word("and")) { result->items.push_back(parse_not()); }
  result->span = since(begin);
  return result;
}

Expr* Parser::parse_not() {
  const uint32_t begin = peek().span.begin;
  int negations = 0;
  while (accept_word("not")) { ++negations; }
  Expr* value = parse_comparison();
  for (; negations > 0 && !failed_; negations = negations > 2 ? negations - 2 : negations - 1) {
    Expr* result = make_expr(ExprKind::kUnary, since(begin));
    result->op = Operator::kNot;
    result->items.push_back(value);
    value = result;
  }
  return value;
}

std::optional<Operator> Parser::comparison_operator() {
  static constexpr std::array<std::pair<std::string_view, Operator>, 6> kSymbolOperators = {{
      {"==", Operator::kEqual},
      {"!=", Operator::kNotEqual},
      {"<", Operator::kLess},
      {"<=", Operator::kLessEqual},
      {">", Operator::kGreater},
      {">=", Operator::kGreaterEqual},
  }};
  for (const auto& [symbol, op] : kSymbolOperators) {
    if (accept_symbol(symbol)) { return op; }
  }
  if (accept_word("in")) { return Operator::kIn; }
  if (accept_word("is")) { return accept_word("not") ? Operator::kIsNot : Operator::kIs; }
  if (at_word("not") && peek(1).text == "in") {
    advance();
    advance();
    return Operator::kNotIn;
  }
  return std::nullopt;
}

Expr* Parser::parse_comparison() {
  const uint32_t begin = peek().span.begin;
  Expr* left = parse_binary(0);
  Expr* result = nullptr;
  while (!failed_) {
    const std::optional<Operator> op = comparison_operator();
    if (!op) { break; }
    if (result == nullptr) {
      result = make_expr(ExprKind::kCompare, {});
      result->items.push_back(left);
    }
    result->operators.push_back(*op);
    result->items.push_back(parse_binary(0));
  }
  if (result == nullptr) { return left; }
  result->span = since(begin);
  return result;
}

// Left-associative levels; a long chain nests the tree to the left, so it counts as depth.
Expr* Parser::parse_binary(int level) {
  if (level == kUnaryLevel) { return parse_unary(); }
  const uint32_t begin = peek().span.begin;
  Expr* left = parse_binary(level + 1);
  int chain = 0;
  while (!failed_ && peek().kind == TokenKind::kSymbol) {
    const BinaryRule* rule = nullptr;
    for (const BinaryRule& known : kBinaryRules) {
      if (known.level == level && at_symbol(known.symbol)) { rule = &known; }
    }
    if (rule == nullptr) { break; }
    if (++chain > kMaxDepth) { return fail(peek().span, {"too-deep", "this expression has too many terms"}); }
    advance();
    Expr* right = parse_binary(level + 1);
    Expr* result = make_expr(ExprKind::kBinary, since(begin));
    result->op = rule->op;
    result->items = {left, right};
    left = result;
  }
  return left;
}

Expr* Parser::parse_unary() {
  const uint32_t begin = peek().span.begin;
  if (!at_symbol("-") && !at_symbol("+")) { return parse_power(); }
  if (depth_ >= kMaxDepth) { return fail(peek().span, {"too-deep", "this expression is nested too deeply"}); }
  ++depth_;
  const Operator op = at_symbol("-") ? Operator::kNegate : Operator::kPlus;
  advance();
  Expr* operand = parse_unary();
  --depth_;
  Expr* result = make_expr(ExprKind::kUnary, since(begin));
  result->op = op;
  result->items.push_back(operand);
  return result;
}

Expr* Parser::parse_power() {
  const uint32_t begin = peek().span.begin;
  Expr* base = parse_postfix();
  if (failed_ || !at_symbol("**")) { return base; }
  if (depth_ >= kMaxDepth) { return fail(peek().span, {"too-deep", "this expression is nested too deeply"}); }
  ++depth_;
  advance();
  Expr* exponent = parse_unary();
  --depth_;
  Expr* result = make_expr(ExprKind::kBinary, since(begin));
  result->op = Operator::kPower;
  result->items = {base, exponent};
  return result;
}

Expr* Parser::parse_postfix() {
  const uint32_t begin = peek().span.begin;
  Expr* value = parse_atom();
  int chain = 0;
  while (!failed_) {
    if (++chain > kMaxDepth) { return fail(peek().span, {"too-deep", "this expression has too many parts"}); }
    if (accept_symbol(".")) {
      Expr* result = make_expr(ExprKind::kAttribute, {});
      result->items.push_back(value);
      result->name = expect_name("an attribute name");
      result->span = since(begin);
      value = result;
    } else if (at_symbol("(")) {
      value = parse_call(value);
    } else if (at_symbol("[")) {
      value = parse_subscript(value);
    } else {
      break;
    }
  }
  return value;
}

Expr* Parser::parse_call(Expr* callee) {
  Expr* call = make_expr(ExprKind::kCall, {});
  call->items.push_back(callee);
  advance();
  while (!failed_ && !at_symbol(")")) {
    parse_argument(call);
    if (!accept_symbol(",")) { break; }
  }
  expect_symbol(")", "after the arguments");
  call->span = since(callee->span.begin);
  return call;
}

void Parser::parse_argument(Expr* call) {
  if (at_symbol("*") || at_symbol("**")) {
    fail(peek().span, {"unsupported-syntax", "`" + std::string(peek().text) + "` arguments are not supported", "",
                       "write the arguments out"});
    return;
  }
  if (peek().kind == TokenKind::kName && peek(1).kind == TokenKind::kSymbol && peek(1).text == "=") {
    Keyword keyword;
    keyword.span = peek().span;
    keyword.name = expect_name("a keyword");
    advance();
    keyword.value = parse_expression();
    for (const Keyword& other : call->keywords) {
      if (!failed_ && other.name == keyword.name) {
        fail(keyword.span, {"duplicate-argument", "argument \"" + std::string(keyword.name) + "\" is given twice"});
      }
    }
    if (!failed_ && call->keywords.size() == kMaxKeywords) {
      fail(keyword.span, {"limit", "more than " + std::to_string(kMaxKeywords) + " named arguments"});
    }
    call->keywords.push_back(keyword);
    return;
  }
  const Span span = peek().span;
  Expr* value = parse_expression();
  if (!failed_ && at_word("for")) {
    Expr* comprehension = make_expr(ExprKind::kListComp, span);
    comprehension->items.push_back(value);
    parse_loops(comprehension);
    value = comprehension;
  }
  if (!failed_ && !call->keywords.empty()) {
    fail(span, {"syntax", "a positional argument follows a keyword argument", "", "move it before the keywords"});
  }
  call->items.push_back(value);
}

Expr* Parser::parse_subscript(Expr* object) {
  advance();
  Expr* index = parse_slice();
  if (!failed_ && at_symbol(",")) {
    // Several indices: an annotation such as Dict[str, Tensor].
    Expr* tuple = make_expr(ExprKind::kTuple, index->span);
    tuple->items.push_back(index);
    while (!failed_ && accept_symbol(",") && !at_symbol("]")) { tuple->items.push_back(parse_slice()); }
    tuple->span = since(index->span.begin);
    index = tuple;
  }
  expect_symbol("]", "after the index");
  Expr* result = make_expr(ExprKind::kSubscript, since(object->span.begin));
  result->items = {object, index};
  return result;
}

Expr* Parser::parse_slice() {
  const uint32_t begin = peek().span.begin;
  Expr* first = at_symbol(":") ? nullptr : parse_expression();
  if (failed_ || !at_symbol(":")) { return first == nullptr ? make_expr(ExprKind::kError, peek().span) : first; }
  Expr* slice = make_expr(ExprKind::kSlice, {});
  slice->items = {first, nullptr, nullptr};
  for (size_t part = 1; part < 3 && !failed_ && accept_symbol(":"); ++part) {
    if (!at_symbol(":") && !at_symbol("]") && !at_symbol(",")) { slice->items[part] = parse_expression(); }
  }
  slice->span = since(begin);
  return slice;
}

Expr* Parser::parse_atom() {
  if (failed_) { return make_expr(ExprKind::kError, peek().span); }
  const Token& token = peek();
  switch (token.kind) {
    case TokenKind::kInteger:
    case TokenKind::kFloat:
      return parse_number();
    case TokenKind::kString:
      return parse_strings();
    case TokenKind::kSymbol:
      if (token.text == "(") { return parse_parenthesised(); }
      if (token.text == "[") { return parse_list(); }
      if (token.text == "{") { return parse_braces(); }
      if (token.text == "...") {  // an empty body
        advance();
        return make_expr(ExprKind::kNone, tokens_[at_ - 1].span);
      }
      return refuse_expression();
    case TokenKind::kName:
      break;
    case TokenKind::kNewline:
    case TokenKind::kIndent:
    case TokenKind::kDedent:
    case TokenKind::kEnd:
      return refuse_expression();
  }
  const Span span = token.span;
  if (accept_word("None")) { return make_expr(ExprKind::kNone, span); }
  if (at_word("True") || at_word("False")) {
    Expr* value = make_expr(ExprKind::kBool, span);
    value->integer = at_word("True") ? 1 : 0;
    advance();
    return value;
  }
  if (is_keyword(token.text)) { return refuse_expression(); }
  Expr* name = make_expr(ExprKind::kName, span);
  name->name = token.text;
  advance();
  return name;
}

Expr* Parser::refuse_expression() {
  if (at_word("lambda")) {
    return fail(peek().span, {"unsupported-syntax", "`lambda` is not supported", "", "write a `def`"});
  }
  if (at_symbol("*") || at_symbol("**")) {
    return fail(peek().span,
                {"unsupported-syntax", "unpacking with `" + std::string(peek().text) + "` is not supported", "",
                 "write the values out"});
  }
  return fail_here("an expression");
}

Expr* Parser::parse_number() {
  const Token token = peek();
  advance();
  std::string digits;
  for (char c : token.text) {
    if (c != '_') { digits += c; }
  }
  if (token.kind == TokenKind::kFloat) {
    Expr* value = make_expr(ExprKind::kFloat, token.span);
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value->real);
    if (error == std::errc::result_out_of_range) {
      return fail(token.span, {"bad-number", "\"" + digits + "\" is out of range for a 64-bit float"});
    }
    return value;
  }
  Expr* value = make_expr(ExprKind::kInteger, token.span);
  int base = 10;
  size_t skip = 0;
  if (digits.size() > 2 && digits[0] == '0' && (digits[1] < '0' || digits[1] > '9')) {
    const char radix = static_cast<char>(digits[1] | 0x20);
    base = radix == 'x' ? 16 : radix == 'o' ? 8 : 2;
    skip = 2;
  }
  const char* last = digits.data() + digits.size();
  const auto [end, error] = std::from_chars(digits.data() + skip, last, value->integer, base);
  if (error == std::errc::result_out_of_range) {
    return fail(token.span, {"bad-number", "\"" + digits + "\" does not fit in 64 bits"});
  }
  if (error != std::errc{} || end != last) {
    return fail(token.span, {"bad-number", "\"" + std::string(token.text) + "\" is not a number"});
  }
  return value;
}

Expr* Parser::parse_parenthesised() {
  const uint32_t begin = peek().span.begin;
  advance();
  if (accept_symbol(")")) { return make_expr(ExprKind::kTuple, since(begin)); }
  Expr* value = parse_expression_list();
  if (!failed_ && at_word("for")) {
    Expr* comprehension = make_expr(ExprKind::kListComp, {});
    comprehension->items.push_back(value);
    parse_loops(comprehension);
    value = comprehension;
  }
  expect_symbol(")", "to close \"(\"");
  value->span = since(begin);
  return value;
}

Expr* Parser::parse_list() {
  const uint32_t begin = peek().span.begin;
  advance();
  Expr* list = make_expr(ExprKind::kList, {});
  while (!failed_ && !at_symbol("]")) {
    list->items.push_back(parse_expression());
    if (list->items.size() == 1 && at_word("for")) {
      list->kind = ExprKind::kListComp;
      parse_loops(list);
      break;
    }
    if (!accept_symbol(",")) { break; }
  }
  expect_symbol("]", "to close \"[\"");
  list->span = since(begin);
  return list;
}

Expr* Parser::parse_braces() {
  const uint32_t begin = peek().span.begin;
  advance();
  Expr* dict = make_expr(ExprKind::kDict, {});
  while (!failed_ && !at_symbol("}")) {
    Expr* key = parse_expression();
    if (!failed_ && !at_symbol(":")) {
      return fail(since(begin), {"unsupported-syntax", "sets are not supported", "dicts, lists and tuples"});
    }
    expect_symbol(":", "after the key");
    dict->items.push_back(key);
    dict->items.push_back(parse_expression());
    if (dict->items.size() == 2 && at_word("for")) {
      dict->kind = ExprKind::kDictComp;
      parse_loops(dict);
      break;
    }
    if (!accept_symbol(",")) { break; }
  }
  expect_symbol("}", "to close \"{\"");
  dict->span = since(begin);
  return dict;
}

void Parser::parse_loops(Expr* comprehension) {
  while (!failed_ && accept_word("for")) {
    Loop loop;
    loop.target = parse_target_list();
    expect_word("in", "in the comprehension");
    loop.iterable = parse_or();
    while (!failed_ && accept_word("if")) { loop.conditions.push_back(parse_or()); }
    comprehension->loops.push_back(std::move(loop));
  }
  comprehension->span = since(comprehension->span.begin);
}

// Loop variables: names and tuples of them, up to "in".
Expr* Parser::parse_target_list() {
  const uint32_t begin = peek().span.begin;
  Expr* first = parse_postfix();
  check_target(first);
  if (failed_ || !at_symbol(",")) { return first; }
  Expr* tuple = make_expr(ExprKind::kTuple, {});
  tuple->items.push_back(first);
  while (!failed_ && accept_symbol(",") && !at_word("in")) {
    tuple->items.push_back(parse_postfix());
    check_target(tuple->items.back());
  }
  tuple->span = since(begin);
  return tuple;
}

}  // namespace vortex::vflow
