#include "core/model/jinja/parser.h"

#include <algorithm>

namespace vortex::model::jinja {
namespace {

constexpr int kMaxDepth = 150;

}  // namespace

Status Deeper::check() const {
  if (parser_.depth_ <= kMaxDepth) { return ok_status(); }
  return parser_.error("nested deeper than " + std::to_string(kMaxDepth));
}

ExprPtr make_expr(ExprKind kind, int line, std::string name) {
  auto expr = std::make_unique<Expr>();
  expr->kind = kind;
  expr->line = line;
  expr->name = std::move(name);
  return expr;
}

bool Parser::accept_name(std::string_view name) {
  if (!at_name(name)) { return false; }
  advance();
  return true;
}

bool Parser::accept_operator(std::string_view text) {
  if (!at_operator(text)) { return false; }
  advance();
  return true;
}

Error Parser::unexpected() const {
  switch (peek().kind) {
    case TokenKind::kEnd:
      return error("the template ends too early");
    case TokenKind::kTagEnd:
      return error("the tag ends too early");
    case TokenKind::kOutputEnd:
      return error("the expression ends too early");
    default:
      return error("unexpected " + peek().text);
  }
}

Status Parser::expect_operator(std::string_view text) {
  if (accept_operator(text)) { return ok_status(); }
  return unexpected();
}

Status Parser::expect(TokenKind kind, const std::string& what) {
  if (peek().kind != kind) { return error("expected " + what); }
  advance();
  return ok_status();
}

Result<std::string> Parser::expect_identifier(const std::string& what) {
  if (peek().kind != TokenKind::kName) { return error("expected " + what); }
  std::string name = peek().text;
  advance();
  return name;
}

Result<std::vector<Stmt>> Parser::parse_template() {
  VORTEX_ASSIGN(std::vector<Stmt> body, parse_body({}));
  if (peek().kind != TokenKind::kEnd) { return unexpected(); }
  return body;
}

Result<std::vector<Stmt>> Parser::parse_body(Names ends) {
  const Deeper deeper(*this);
  VORTEX_TRY(deeper.check());
  std::vector<Stmt> body;
  while (peek().kind != TokenKind::kEnd) {
    Stmt stmt;
    stmt.line = peek().line;
    if (peek().kind == TokenKind::kText) {
      stmt.text = peek().text;
      advance();
    } else if (peek().kind == TokenKind::kOutputBegin) {
      advance();
      stmt.kind = StmtKind::kOutput;
      VORTEX_ASSIGN(ExprPtr value, parse_tuple(true));
      drop_safe(value);
      stmt.exprs.push_back(std::move(value));
      VORTEX_TRY(expect(TokenKind::kOutputEnd, "}}"));
    } else {
      const Token& name = peek(1);
      if (std::find(ends.begin(), ends.end(), name.text) != ends.end()) {
        advance();
        return body;
      }
      VORTEX_ASSIGN(stmt, parse_tag());
    }
    body.push_back(std::move(stmt));
  }
  if (ends.size() > 0) { return error("expected {% " + std::string(*(ends.end() - 1)) + " %}"); }
  return body;
}

Result<std::vector<Stmt>> Parser::parse_closed_body(std::string_view end) {
  VORTEX_TRY(expect(TokenKind::kTagEnd, "%}"));
  ++scopes_;
  VORTEX_ASSIGN(std::vector<Stmt> body, parse_body({end}));
  --scopes_;
  advance();
  VORTEX_TRY(expect(TokenKind::kTagEnd, "%}"));
  return body;
}

Result<Stmt> Parser::parse_tag() {
  advance();
  Stmt stmt;
  stmt.line = peek().line;
  VORTEX_ASSIGN(const std::string name, expect_identifier("the name of a tag"));
  if (name == "if") {
    VORTEX_TRY(parse_if(stmt));
  } else if (name == "for") {
    VORTEX_TRY(parse_for(stmt));
  } else if (name == "set") {
    VORTEX_TRY(parse_set(stmt));
  } else if (name == "macro") {
    VORTEX_TRY(parse_macro(stmt));
  } else if (name == "filter") {
    VORTEX_TRY(parse_filter_block(stmt));
  } else if (name == "with") {
    VORTEX_TRY(parse_with(stmt));
  } else if (name == "generation") {  // marks what a model is trained on; nothing for a prompt
    stmt.kind = StmtKind::kScope;
    VORTEX_ASSIGN(std::vector<Stmt> body, parse_closed_body("endgeneration"));
    stmt.bodies.push_back(std::move(body));
  } else if (name == "break" || name == "continue") {
    if (loops_ == 0) { return error_at(stmt.line, name + " outside of a for"); }
    stmt.kind = name == "break" ? StmtKind::kBreak : StmtKind::kContinue;
    VORTEX_TRY(expect(TokenKind::kTagEnd, "%}"));
  } else {
    return error_at(stmt.line, "the tag " + name + " is not supported");
  }
  return stmt;
}

Status Parser::parse_if(Stmt& stmt) {
  stmt.kind = StmtKind::kIf;
  while (true) {
    VORTEX_ASSIGN(ExprPtr condition, parse_tuple(false));
    stmt.exprs.push_back(std::move(condition));
    VORTEX_TRY(expect(TokenKind::kTagEnd, "%}"));
    VORTEX_ASSIGN(std::vector<Stmt> body, parse_body({"elif", "else", "endif"}));
    stmt.bodies.push_back(std::move(body));
    if (accept_name("elif")) { continue; }
    if (accept_name("else")) {
      VORTEX_TRY(expect(TokenKind::kTagEnd, "%}"));
      VORTEX_ASSIGN(std::vector<Stmt> other, parse_body({"endif"}));
      stmt.bodies.push_back(std::move(other));
    }
    advance();
    return expect(TokenKind::kTagEnd, "%}");
  }
}

Status Parser::parse_for(Stmt& stmt) {
  stmt.kind = StmtKind::kFor;
  VORTEX_ASSIGN(stmt.targets, parse_targets(false));
  if (!accept_name("in")) { return unexpected(); }
  VORTEX_ASSIGN(ExprPtr items, parse_tuple(false));
  stmt.exprs.push_back(std::move(items));
  stmt.exprs.push_back(nullptr);
  if (accept_name("if")) { VORTEX_ASSIGN(stmt.exprs[1], parse_expression()); }
  if (at_name("recursive")) { return error("recursive loops are not supported"); }
  VORTEX_TRY(expect(TokenKind::kTagEnd, "%}"));
  ++loops_;
  ++scopes_;
  VORTEX_ASSIGN(std::vector<Stmt> body, parse_body({"else", "endfor"}));
  --scopes_;
  --loops_;
  stmt.bodies.push_back(std::move(body));
  stmt.bodies.emplace_back();
  if (accept_name("else")) {
    VORTEX_ASSIGN(stmt.bodies[1], parse_closed_body("endfor"));
    return ok_status();
  }
  advance();
  return expect(TokenKind::kTagEnd, "%}");
}

Result<std::string> Parser::parse_assigned_name() {
  VORTEX_ASSIGN(std::string name, expect_identifier("a name to assign to"));
  for (const std::string_view constant : {"true", "false", "none", "True", "False", "None"}) {
    if (name == constant) { return error("nothing can be assigned to " + name); }
  }
  return name;
}

Result<std::vector<Target>> Parser::parse_targets(bool with_attributes) {
  std::vector<Target> targets;
  const bool bracketed = accept_operator("(");
  do {
    if (!targets.empty() && peek().kind != TokenKind::kName) { break; }  // a comma at the end
    Target target;
    VORTEX_ASSIGN(target.name, parse_assigned_name());
    if (with_attributes && accept_operator(".")) {
      VORTEX_ASSIGN(target.attribute, expect_identifier("the name of a member"));
    }
    if (at_operator(".") || at_operator("[")) { return error("assigning to a part of a value is not supported"); }
    targets.push_back(std::move(target));
  } while (accept_operator(","));
  if (bracketed) { VORTEX_TRY(expect_operator(")")); }
  return targets;
}

Status Parser::parse_set(Stmt& stmt) {
  VORTEX_ASSIGN(stmt.targets, parse_targets(true));
  stmt.kind = StmtKind::kSet;
  if (accept_operator("=")) {
    VORTEX_ASSIGN(ExprPtr value, parse_tuple(true));
    stmt.exprs.push_back(std::move(value));
    return expect(TokenKind::kTagEnd, "%}");
  }
  stmt.kind = StmtKind::kSetBlock;
  if (stmt.targets.size() != 1) { return unexpected(); }
  stmt.exprs.push_back(nullptr);
  if (at_operator("|")) { VORTEX_ASSIGN(stmt.exprs[0], parse_filters(nullptr)); }
  VORTEX_ASSIGN(std::vector<Stmt> body, parse_closed_body("endset"));
  stmt.bodies.push_back(std::move(body));
  return ok_status();
}

Status Parser::parse_macro(Stmt& stmt) {
  stmt.kind = StmtKind::kMacro;
  if (scopes_ > 0) { return error("a macro within a loop, a macro or a block is not supported"); }
  VORTEX_ASSIGN(stmt.text, parse_assigned_name());
  VORTEX_TRY(expect_operator("("));
  while (!at_operator(")")) {
    if (!stmt.targets.empty()) { VORTEX_TRY(expect_operator(",")); }
    if (at_operator(")")) { break; }
    VORTEX_ASSIGN(std::string name, parse_assigned_name());
    stmt.targets.push_back({std::move(name), {}});
    stmt.exprs.push_back(nullptr);
    if (accept_operator("=")) {
      VORTEX_ASSIGN(stmt.exprs.back(), parse_expression());
    } else if (stmt.exprs.size() > 1 && stmt.exprs[stmt.exprs.size() - 2] != nullptr) {
      return error("a parameter without a default follows one with a default");
    }
  }
  advance();
  const bool outer = std::exchange(in_macro_, true);
  const int loops = std::exchange(loops_, 0);
  VORTEX_ASSIGN(std::vector<Stmt> body, parse_closed_body("endmacro"));
  in_macro_ = outer;
  loops_ = loops;
  stmt.bodies.push_back(std::move(body));
  return ok_status();
}

Status Parser::parse_filter_block(Stmt& stmt) {
  stmt.kind = StmtKind::kFilterBlock;
  VORTEX_ASSIGN(ExprPtr filter, parse_filter(nullptr));
  VORTEX_ASSIGN(filter, parse_filters(std::move(filter)));
  stmt.exprs.push_back(std::move(filter));
  VORTEX_ASSIGN(std::vector<Stmt> body, parse_closed_body("endfilter"));
  stmt.bodies.push_back(std::move(body));
  return ok_status();
}

Status Parser::parse_with(Stmt& stmt) {
  stmt.kind = StmtKind::kScope;
  while (peek().kind != TokenKind::kTagEnd) {
    if (!stmt.targets.empty()) { VORTEX_TRY(expect_operator(",")); }
    VORTEX_ASSIGN(std::string name, parse_assigned_name());
    stmt.targets.push_back({std::move(name), {}});
    VORTEX_TRY(expect_operator("="));
    VORTEX_ASSIGN(ExprPtr value, parse_expression());
    stmt.exprs.push_back(std::move(value));
  }
  VORTEX_ASSIGN(std::vector<Stmt> body, parse_closed_body("endwith"));
  stmt.bodies.push_back(std::move(body));
  return ok_status();
}

Result<std::vector<Stmt>> parse(std::string_view source) {
  VORTEX_ASSIGN(std::vector<Token> tokens, tokenize(source));
  return Parser(std::move(tokens)).parse_template();
}

}  // namespace vortex::model::jinja
