#include <algorithm>
#include <charconv>

#include "core/model/jinja/builtins.h"
#include "core/model/jinja/parser.h"

namespace vortex::model::jinja {
namespace {

constexpr int kMaxDepth = 200;  // of an expression: what goes through it calls itself

}  // namespace

void Parser::drop_safe(ExprPtr& expr) {
  if (expr->kind == ExprKind::kFilter && expr->name == "safe" && expr->items[0] != nullptr) {
    ExprPtr operand = std::move(expr->items[0]);
    expr = std::move(operand);
  }
}

Result<ExprPtr> Parser::bounded(ExprPtr expr) const {
  for (const ExprPtr& item : expr->items) {
    if (item != nullptr) { expr->depth = std::max(expr->depth, item->depth + 1); }
  }
  if (expr->depth > kMaxDepth) { return error("an expression is nested deeper than " + std::to_string(kMaxDepth)); }
  return expr;
}

Result<ExprPtr> Parser::binary(ExprKind kind, int line, std::string name, ExprPtr left, ExprPtr right) {
  ExprPtr expr = make_expr(kind, line, std::move(name));
  expr->items.push_back(std::move(left));
  expr->items.push_back(std::move(right));
  return bounded(std::move(expr));
}

// One expression, or several with commas between them.
Result<ExprPtr> Parser::parse_tuple(bool with_conditional) {
  const int line = peek().line;
  VORTEX_ASSIGN(ExprPtr first, parse_expression(with_conditional));
  if (!at_operator(",")) { return first; }
  ExprPtr tuple = make_expr(ExprKind::kTuple, line);
  tuple->items.push_back(std::move(first));
  while (accept_operator(",")) {
    if (peek().kind == TokenKind::kTagEnd || peek().kind == TokenKind::kOutputEnd || at_operator(")")) { break; }
    VORTEX_ASSIGN(ExprPtr next, parse_expression(with_conditional));
    tuple->items.push_back(std::move(next));
  }
  return bounded(std::move(tuple));
}

Result<ExprPtr> Parser::parse_expression(bool with_conditional) {
  const Deeper deeper(*this);
  VORTEX_TRY(deeper.check());
  VORTEX_ASSIGN(ExprPtr expr, parse_or());
  while (with_conditional && at_name("if")) {
    const int line = peek().line;
    advance();
    VORTEX_ASSIGN(ExprPtr condition, parse_or());
    ExprPtr other;
    if (accept_name("else")) { VORTEX_ASSIGN(other, parse_expression()); }
    VORTEX_ASSIGN(expr, binary(ExprKind::kConditional, line, {}, std::move(expr), std::move(condition)));
    expr->items.push_back(std::move(other));
    VORTEX_ASSIGN(expr, bounded(std::move(expr)));
  }
  return expr;
}

Result<ExprPtr> Parser::parse_or() {
  VORTEX_ASSIGN(ExprPtr left, parse_and());
  while (at_name("or")) {
    const int line = peek().line;
    advance();
    VORTEX_ASSIGN(ExprPtr right, parse_and());
    VORTEX_ASSIGN(left, binary(ExprKind::kOr, line, {}, std::move(left), std::move(right)));
  }
  return left;
}

Result<ExprPtr> Parser::parse_and() {
  VORTEX_ASSIGN(ExprPtr left, parse_not());
  while (at_name("and")) {
    const int line = peek().line;
    advance();
    VORTEX_ASSIGN(ExprPtr right, parse_not());
    VORTEX_ASSIGN(left, binary(ExprKind::kAnd, line, {}, std::move(left), std::move(right)));
  }
  return left;
}

Result<ExprPtr> Parser::parse_not() {
  if (!at_name("not")) { return parse_compare(); }
  const Deeper deeper(*this);
  VORTEX_TRY(deeper.check());
  ExprPtr expr = make_expr(ExprKind::kNot, peek().line);
  advance();
  VORTEX_ASSIGN(ExprPtr operand, parse_not());
  expr->items.push_back(std::move(operand));
  return bounded(std::move(expr));
}

Result<ExprPtr> Parser::parse_compare() {
  const int line = peek().line;
  VORTEX_ASSIGN(ExprPtr first, parse_sum());
  ExprPtr compare;
  while (true) {
    std::string relation;
    for (const std::string_view symbol : {"==", "!=", "<=", ">=", "<", ">"}) {
      if (at_operator(symbol)) { relation = symbol; }
    }
    if (at_name("in")) { relation = "in"; }
    if (at_name("not") && peek(1).kind == TokenKind::kName && peek(1).text == "in") { relation = "not in"; }
    if (relation.empty()) { break; }
    if (relation == "not in") { advance(); }
    advance();
    if (compare == nullptr) {
      compare = make_expr(ExprKind::kCompare, line);
      compare->items.push_back(std::move(first));
      compare->names.emplace_back();
    }
    VORTEX_ASSIGN(ExprPtr next, parse_sum());
    compare->items.push_back(std::move(next));
    compare->names.push_back(relation);
  }
  return bounded(compare == nullptr ? std::move(first) : std::move(compare));
}

Result<ExprPtr> Parser::parse_sum() {
  VORTEX_ASSIGN(ExprPtr left, parse_concat());
  while (at_operator("+") || at_operator("-")) {
    const Token symbol = peek();
    advance();
    VORTEX_ASSIGN(ExprPtr right, parse_concat());
    VORTEX_ASSIGN(left, binary(ExprKind::kBinary, symbol.line, symbol.text, std::move(left), std::move(right)));
  }
  return left;
}

Result<ExprPtr> Parser::parse_concat() {
  const int line = peek().line;
  VORTEX_ASSIGN(ExprPtr first, parse_product());
  if (!at_operator("~")) { return first; }
  ExprPtr concat = make_expr(ExprKind::kConcat, line);
  drop_safe(first);
  concat->items.push_back(std::move(first));
  while (accept_operator("~")) {
    VORTEX_ASSIGN(ExprPtr next, parse_product());
    drop_safe(next);
    concat->items.push_back(std::move(next));
  }
  return bounded(std::move(concat));
}

Result<ExprPtr> Parser::parse_product() {
  VORTEX_ASSIGN(ExprPtr left, parse_unary(true));
  while (at_operator("*") || at_operator("/") || at_operator("//") || at_operator("%")) {
    const Token symbol = peek();
    advance();
    VORTEX_ASSIGN(ExprPtr right, parse_unary(true));
    VORTEX_ASSIGN(left, binary(ExprKind::kBinary, symbol.line, symbol.text, std::move(left), std::move(right)));
  }
  if (at_operator("**")) { return error("powers (**) are not supported"); }
  return left;
}

Result<ExprPtr> Parser::parse_unary(bool with_filters) {
  const Deeper deeper(*this);
  VORTEX_TRY(deeper.check());
  ExprPtr expr;
  if (at_operator("-") || at_operator("+")) {
    expr = make_expr(at_operator("-") ? ExprKind::kNegative : ExprKind::kPositive, peek().line);
    advance();
    VORTEX_ASSIGN(ExprPtr operand, parse_unary(false));
    expr->items.push_back(std::move(operand));
    VORTEX_ASSIGN(expr, bounded(std::move(expr)));
  } else {
    VORTEX_ASSIGN(expr, parse_primary());
  }
  VORTEX_ASSIGN(expr, parse_postfix(std::move(expr)));
  if (with_filters) { return parse_filters(std::move(expr)); }
  return expr;
}

Result<ExprPtr> Parser::parse_name() {
  const Token& token = peek();
  ExprPtr expr = make_expr(ExprKind::kConst, token.line);
  if (token.text == "true" || token.text == "True") {
    expr->value = Value(true);
  } else if (token.text == "false" || token.text == "False") {
    expr->value = Value(false);
  } else if (token.text == "none" || token.text == "None") {
    expr->value = Value(None{});
  } else {
    if (in_macro_ && (token.text == "varargs" || token.text == "kwargs" || token.text == "caller")) {
      return error(token.text + " in a macro is not supported");
    }
    expr->kind = ExprKind::kName;
    expr->name = token.text;
  }
  advance();
  return expr;
}

Result<ExprPtr> Parser::parse_primary() {
  const Token& token = peek();
  ExprPtr expr = make_expr(ExprKind::kConst, token.line);
  switch (token.kind) {
    case TokenKind::kName:
      return parse_name();
    case TokenKind::kString: {
      std::string text;
      while (peek().kind == TokenKind::kString) {  // neighbours are one string
        text += peek().text;
        advance();
      }
      expr->value = Value(std::move(text));
      return expr;
    }
    case TokenKind::kInteger: {
      int64_t whole = 0;
      const auto [end, error_code] = std::from_chars(token.text.data(), token.text.data() + token.text.size(), whole);
      if (error_code != std::errc()) { return error("the number " + token.text + " is too large"); }
      expr->value = Value(whole);
      advance();
      return expr;
    }
    case TokenKind::kFloat: {
      double number = 0;
      const auto [end, error_code] = std::from_chars(token.text.data(), token.text.data() + token.text.size(), number);
      if (error_code != std::errc()) { return error("the number " + token.text + " is out of range"); }
      expr->value = Value(number);
      advance();
      return expr;
    }
    default:
      return parse_brackets();
  }
}

Result<ExprPtr> Parser::parse_brackets() {
  const int line = peek().line;
  if (accept_operator("(")) {
    if (accept_operator(")")) { return make_expr(ExprKind::kTuple, line); }
    VORTEX_ASSIGN(ExprPtr expr, parse_tuple(true));
    VORTEX_TRY(expect_operator(")"));
    return expr;
  }
  if (accept_operator("[")) {
    ExprPtr list = make_expr(ExprKind::kList, line);
    while (!at_operator("]")) {
      if (!list->items.empty()) { VORTEX_TRY(expect_operator(",")); }
      if (at_operator("]")) { break; }
      VORTEX_ASSIGN(ExprPtr item, parse_expression());
      list->items.push_back(std::move(item));
    }
    advance();
    return bounded(std::move(list));
  }
  if (at_operator("{")) { return parse_dict(); }
  return unexpected();
}

Result<ExprPtr> Parser::parse_dict() {
  ExprPtr dict = make_expr(ExprKind::kDict, peek().line);
  advance();
  while (!at_operator("}")) {
    if (!dict->items.empty()) { VORTEX_TRY(expect_operator(",")); }
    if (at_operator("}")) { break; }
    VORTEX_ASSIGN(ExprPtr key, parse_expression());
    VORTEX_TRY(expect_operator(":"));
    VORTEX_ASSIGN(ExprPtr value, parse_expression());
    dict->items.push_back(std::move(key));
    dict->items.push_back(std::move(value));
  }
  advance();
  return bounded(std::move(dict));
}

Result<ExprPtr> Parser::parse_postfix(ExprPtr expr) {
  while (true) {
    const int line = peek().line;
    VORTEX_ASSIGN(expr, bounded(std::move(expr)));
    if (accept_operator(".")) {
      if (peek().kind == TokenKind::kInteger) {
        VORTEX_ASSIGN(ExprPtr index, parse_primary());
        VORTEX_ASSIGN(expr, binary(ExprKind::kItem, line, {}, std::move(expr), std::move(index)));
        continue;
      }
      VORTEX_ASSIGN(std::string name, expect_identifier("the name of a member"));
      ExprPtr member = make_expr(ExprKind::kAttribute, line, std::move(name));
      member->items.push_back(std::move(expr));
      expr = std::move(member);
    } else if (accept_operator("[")) {
      VORTEX_ASSIGN(expr, parse_subscript(std::move(expr)));
    } else if (at_operator("(")) {
      ExprPtr call = make_expr(ExprKind::kCall, line);
      call->items.push_back(std::move(expr));
      call->names.emplace_back();
      VORTEX_TRY(parse_arguments(*call));
      expr = std::move(call);
    } else {
      return expr;
    }
  }
}

Result<ExprPtr> Parser::parse_subscript(ExprPtr expr) {
  const int line = peek().line;
  ExprPtr slice = make_expr(ExprKind::kSlice, line);
  slice->items.push_back(std::move(expr));
  size_t colons = 0;
  ExprPtr part;
  while (!at_operator("]")) {
    if (accept_operator(":")) {
      if (++colons > 2) { return unexpected(); }
      slice->items.push_back(std::move(part));
      continue;
    }
    if (part != nullptr) { return unexpected(); }
    VORTEX_ASSIGN(part, parse_expression());
  }
  advance();
  if (colons == 0 && part == nullptr) { return error_at(line, "nothing between [ and ]"); }
  slice->items.push_back(std::move(part));
  if (colons == 0) {
    slice->kind = ExprKind::kItem;
  } else {
    slice->items.resize(4);
  }
  return slice;
}

Result<ExprPtr> Parser::parse_filters(ExprPtr expr) {
  while (true) {
    if (expr != nullptr) { VORTEX_ASSIGN(expr, bounded(std::move(expr))); }
    if (accept_operator("|")) {
      VORTEX_ASSIGN(expr, parse_filter(std::move(expr)));
    } else if (at_name("is")) {
      VORTEX_ASSIGN(expr, parse_test(std::move(expr)));
    } else if (at_operator("(") && expr != nullptr) {
      ExprPtr call = make_expr(ExprKind::kCall, peek().line);
      call->items.push_back(std::move(expr));
      call->names.emplace_back();
      VORTEX_TRY(parse_arguments(*call));
      expr = std::move(call);
    } else {
      return expr;
    }
  }
}

Result<ExprPtr> Parser::parse_filter(ExprPtr operand) {
  const int line = peek().line;
  VORTEX_ASSIGN(std::string name, expect_identifier("the name of a filter"));
  if (!is_filter(name)) { return error_at(line, "the filter " + name + " is not supported"); }
  ExprPtr filter = make_expr(ExprKind::kFilter, line, std::move(name));
  filter->items.push_back(std::move(operand));
  filter->names.emplace_back();
  if (at_operator("(")) { VORTEX_TRY(parse_arguments(*filter)); }
  return filter;
}

Result<ExprPtr> Parser::parse_test(ExprPtr operand) {
  const int line = peek().line;
  advance();
  const bool negated = accept_name("not");
  VORTEX_ASSIGN(std::string name, expect_identifier("the name of a test"));
  if (!is_test(name)) { return error_at(line, "the test " + name + " is not supported"); }
  ExprPtr test = make_expr(ExprKind::kTest, line, std::move(name));
  test->items.push_back(std::move(operand));
  test->names.emplace_back();
  const TokenKind kind = peek().kind;
  const bool follows = kind == TokenKind::kName || kind == TokenKind::kString || kind == TokenKind::kInteger ||
                       kind == TokenKind::kFloat || at_operator("[") || at_operator("{");
  if (at_operator("(")) {
    VORTEX_TRY(parse_arguments(*test));
  } else if (at_name("is")) {
    return error("one test on another is not supported");
  } else if (follows && !at_name("else") && !at_name("or") && !at_name("and") && !at_name("if") && !at_name("in") &&
             !at_name("not")) {
    VORTEX_ASSIGN(ExprPtr argument, parse_primary());
    VORTEX_ASSIGN(argument, parse_postfix(std::move(argument)));
    test->items.push_back(std::move(argument));
    test->names.emplace_back();
  }
  if (!negated) { return test; }
  ExprPtr expr = make_expr(ExprKind::kNot, line);
  expr->items.push_back(std::move(test));
  return expr;
}

Status Parser::parse_arguments(Expr& call) {
  VORTEX_TRY(expect_operator("("));
  const size_t operands = call.items.size();
  while (!at_operator(")")) {
    if (call.items.size() > operands) { VORTEX_TRY(expect_operator(",")); }
    if (at_operator(")")) { break; }
    if (at_operator("*") || at_operator("**")) { return error("unpacking arguments is not supported"); }
    std::string keyword;
    if (peek().kind == TokenKind::kName && peek(1).kind == TokenKind::kOperator && peek(1).text == "=") {
      keyword = peek().text;
      advance();
      advance();
    }
    if (keyword.empty() && !call.names.back().empty()) {
      return error("an argument without a name follows a named one");
    }
    VORTEX_ASSIGN(ExprPtr argument, parse_expression());
    call.items.push_back(std::move(argument));
    call.names.push_back(std::move(keyword));
  }
  advance();
  return ok_status();
}

}  // namespace vortex::model::jinja
