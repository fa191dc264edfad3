#pragma once

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "core/vflow/syntax/ast.h"
#include "core/vflow/syntax/lexer.h"

namespace vortex::vflow {

// Recursive descent over the token list: statements in parser.cpp, expressions in parser_expr.cpp, string literals in
// parser_string.cpp. A mistake is reported once and sets `failed_`; every rule then returns at once, and the statement
// loop recovers.
class Parser {
 public:
  Parser(Reporter& reporter, Module& module, TokenList list)
      : reporter_(reporter),
        module_(module),
        tokens_(std::move(list.tokens)),
        lexical_errors_(std::move(list.errors)) {}

  void parse_module();
  // One expression that fills the whole token list (an f-string's braces).
  Expr* parse_whole_expression(int depth);

 private:
  // Tokens.
  const Token& peek(size_t ahead = 0) const { return tokens_[std::min(at_ + ahead, tokens_.size() - 1)]; }
  // Asked dozens of times a token, mostly in vain: the first letter tells.
  bool is_at(TokenKind kind, std::string_view text) const {
    const Token& token = peek();
    return token.kind == kind && token.text.front() == text.front() && token.text == text;
  }
  bool at_symbol(std::string_view text) const { return is_at(TokenKind::kSymbol, text); }
  bool at_word(std::string_view text) const { return is_at(TokenKind::kName, text); }
  bool accept_symbol(std::string_view text);
  bool accept_word(std::string_view text);
  bool expect_symbol(std::string_view text, std::string_view context);
  bool expect_word(std::string_view text, std::string_view context);
  std::string_view expect_name(std::string_view what);
  void advance();
  Span since(uint32_t begin) const;
  Expr* fail(Span span, Finding finding);
  bool has_lexical_error(uint32_t end) const;
  Expr* fail_here(std::string_view wanted);
  std::string describe(const Token& token) const;

  // Statements.
  void parse_statement(std::vector<Stmt*>& body);
  void parse_simple_line(std::vector<Stmt*>& body);
  Stmt* parse_simple();
  Stmt* parse_compound();
  Stmt* parse_import();
  Stmt* parse_from_import();
  void resolve_relative(Stmt* stmt);
  void parse_aliases(Stmt* stmt);
  Stmt* parse_decorated();
  Stmt* parse_class();
  Stmt* parse_function();
  void parse_params(Stmt* stmt);
  Stmt* parse_if();
  Stmt* parse_for();
  Stmt* parse_expression_statement();
  Stmt* parse_values(StmtKind kind, size_t limit);
  void parse_block(std::vector<Stmt*>& body);
  void check_target(const Expr* target);
  bool refuse_statement();
  void fail_after_statement();
  void recover();
  void skip_block();
  Stmt* make_stmt(StmtKind kind, uint32_t begin);

  // Expressions.
  Expr* parse_expression_list();  // an expression, or a tuple without parentheses
  Expr* parse_expression();
  Expr* parse_or();
  Expr* parse_and();
  Expr* parse_not();
  Expr* parse_comparison();
  Expr* parse_binary(int level);
  Expr* parse_unary();
  Expr* parse_power();
  Expr* parse_postfix();
  Expr* parse_call(Expr* callee);
  void parse_argument(Expr* call);
  Expr* parse_subscript(Expr* object);
  Expr* parse_slice();
  Expr* parse_atom();
  Expr* parse_number();
  Expr* parse_strings();
  Expr* parse_parenthesised();
  Expr* parse_list();
  Expr* parse_braces();
  void parse_loops(Expr* comprehension);
  Expr* parse_target_list();
  std::optional<Operator> comparison_operator();
  Expr* refuse_expression();
  void add_string(Expr* string, const Token& token);
  void add_fstring(Expr* string, std::string_view body, uint32_t offset, bool raw);
  void add_replacement(Expr* string, Span span);
  std::string decode(std::string_view body, bool raw);
  void add_text(Expr* string, std::string text);
  Expr* make_expr(ExprKind kind, Span span);

  Reporter& reporter_;
  Module& module_;
  std::vector<Token> tokens_;
  std::vector<uint32_t> lexical_errors_;
  uint32_t statement_begin_ = 0;
  size_t at_ = 0;
  int depth_ = 0;  // of nesting, bounded so that hostile input cannot exhaust the stack
  bool failed_ = false;
};

}  // namespace vortex::vflow
