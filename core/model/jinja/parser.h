#pragma once

#include <algorithm>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "core/model/jinja/ast.h"
#include "core/model/jinja/lexer.h"

namespace vortex::model::jinja {

// Recursive descent over the tokens: statements in parser.cpp, expressions in parser_expr.cpp.
class Parser {
 public:
  explicit Parser(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}

  Result<std::vector<Stmt>> parse_template();

 private:
  using Names = std::initializer_list<std::string_view>;

  const Token& peek(size_t ahead = 0) const { return tokens_[std::min(at_ + ahead, tokens_.size() - 1)]; }
  void advance() { at_ = std::min(at_ + 1, tokens_.size() - 1); }
  bool at_name(std::string_view name) const { return peek().kind == TokenKind::kName && peek().text == name; }
  bool at_operator(std::string_view text) const { return peek().kind == TokenKind::kOperator && peek().text == text; }
  bool accept_name(std::string_view name);
  bool accept_operator(std::string_view text);
  Status expect_operator(std::string_view text);
  Status expect(TokenKind kind, const std::string& what);
  Result<std::string> expect_identifier(const std::string& what);
  Error unexpected() const;
  Error error(const std::string& message, const std::string& hint = {}) const {
    return error_at(peek().line, message, hint);
  }

  // Statements up to one of the tags in `ends`, whose name is left to be read; none: to the template's end.
  Result<std::vector<Stmt>> parse_body(Names ends);
  Result<std::vector<Stmt>> parse_closed_body(std::string_view end);
  Result<Stmt> parse_tag();
  Status parse_if(Stmt& stmt);
  Status parse_for(Stmt& stmt);
  Status parse_set(Stmt& stmt);
  Status parse_macro(Stmt& stmt);
  Status parse_filter_block(Stmt& stmt);
  Status parse_with(Stmt& stmt);
  Result<std::vector<Target>> parse_targets(bool with_attributes);
  Result<std::string> parse_assigned_name();

  Result<ExprPtr> parse_tuple(bool with_conditional);
  Result<ExprPtr> parse_expression(bool with_conditional = true);
  Result<ExprPtr> parse_or();
  Result<ExprPtr> parse_and();
  Result<ExprPtr> parse_not();
  Result<ExprPtr> parse_compare();
  Result<ExprPtr> parse_sum();
  Result<ExprPtr> parse_concat();
  Result<ExprPtr> parse_product();
  Result<ExprPtr> parse_unary(bool with_filters);
  Result<ExprPtr> parse_primary();
  Result<ExprPtr> parse_name();
  Result<ExprPtr> parse_brackets();
  Result<ExprPtr> parse_dict();
  Result<ExprPtr> parse_postfix(ExprPtr expr);
  Result<ExprPtr> parse_subscript(ExprPtr expr);
  Result<ExprPtr> parse_filters(ExprPtr expr);
  Result<ExprPtr> parse_filter(ExprPtr operand);
  Result<ExprPtr> parse_test(ExprPtr operand);
  Status parse_arguments(Expr& call);
  // Marked strings (| safe) are joined by ~ and printed as plain ones; everywhere else they would escape what they
  // meet.
  static void drop_safe(ExprPtr& expr);
  Result<ExprPtr> bounded(ExprPtr expr) const;  // with its depth, if that is not too large
  Result<ExprPtr> binary(ExprKind kind, int line, std::string name, ExprPtr left, ExprPtr right);

  std::vector<Token> tokens_;
  size_t at_ = 0;
  int depth_ = 0;  // of nesting
  int loops_ = 0;
  int scopes_ = 0;  // statements with variables of their own around this one
  bool in_macro_ = false;

  friend class Deeper;
};

// Counts the nesting for as long as it lives.
class Deeper {
 public:
  explicit Deeper(Parser& parser) : parser_(parser) { ++parser_.depth_; }
  ~Deeper() { --parser_.depth_; }
  Deeper(const Deeper&) = delete;
  Deeper& operator=(const Deeper&) = delete;
  Status check() const;

 private:
  Parser& parser_;
};

ExprPtr make_expr(ExprKind kind, int line, std::string name = {});

}  // namespace vortex::model::jinja
