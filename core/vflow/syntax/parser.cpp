#include "core/vflow/syntax/parser.h"

#include <algorithm>
#include <array>

#include "core/vflow/syntax/parser_impl.h"

namespace vortex::vflow {
namespace {

constexpr int kMaxBlockDepth = 30;
constexpr size_t kMaxParameters = 128;  // each is compared with all others

struct Refusal {
  std::string_view word;
  std::string_view suggestion;
};

// Statements of Python that a policy does not need.
constexpr std::array<Refusal, 10> kRefusedStatements = {{
    {"while", "repeat a fixed number of times with `for i in range(n):`"},
    {"try", "remove it: nothing in a policy can fail at run time"},
    {"with", "remove it: a policy opens nothing"},
    {"global", "use a constant of the module or an attribute of self"},
    {"nonlocal", "use an attribute of self"},
    {"async", "write a plain `def`"},
    {"await", "write a plain call"},
    {"del", "remove it"},
    {"yield", "return a list"},
    {"lambda", "write a `def`"},
}};

std::optional<Operator> augmented_operator(std::string_view text) {
  if (text == "+=") { return Operator::kAdd; }
  if (text == "-=") { return Operator::kSubtract; }
  if (text == "*=") { return Operator::kMultiply; }
  if (text == "/=") { return Operator::kDivide; }
  if (text == "//=") { return Operator::kFloorDivide; }
  if (text == "%=") { return Operator::kModulo; }
  if (text == "**=") { return Operator::kPower; }
  return std::nullopt;
}

}  // namespace

Module parse_module(Reporter& reporter) {
  Module module;
  Parser(reporter, module, tokenize(reporter)).parse_module();
  return module;
}

void Parser::advance() {
  if (at_ + 1 < tokens_.size()) { ++at_; }
}
bool Parser::accept_symbol(std::string_view text) {
  if (!at_symbol(text)) { return false; }
  advance();
  return true;
}
bool Parser::accept_word(std::string_view text) {
  if (!at_word(text)) { return false; }
  advance();
  return true;
}
bool Parser::expect_symbol(std::string_view text, std::string_view context) {
  if (failed_ || accept_symbol(text)) { return !failed_; }
  fail_here("\"" + std::string(text) + "\" " + std::string(context));
  return false;
}
bool Parser::expect_word(std::string_view text, std::string_view context) {
  if (failed_ || accept_word(text)) { return !failed_; }
  fail_here("\"" + std::string(text) + "\" " + std::string(context));
  return false;
}

std::string_view Parser::expect_name(std::string_view what) {
  if (failed_) { return {}; }
  if (peek().kind != TokenKind::kName || is_keyword(peek().text)) {
    fail_here(what);
    return {};
  }
  const std::string_view name = peek().text;
  advance();
  return name;
}

// From `begin` to the end of the last token consumed.
Span Parser::since(uint32_t begin) const {
  return {begin, at_ == 0 ? begin : std::max(begin, tokens_[at_ - 1].span.end)};
}

// A mistake in the tokens of the current statement explains whatever the parser makes of it.
bool Parser::has_lexical_error(uint32_t end) const {
  const auto at = std::lower_bound(lexical_errors_.begin(), lexical_errors_.end(), statement_begin_);
  return at != lexical_errors_.end() && *at <= end;
}

Expr* Parser::fail(Span span, Finding finding) {
  if (!failed_ && !has_lexical_error(span.end)) { reporter_.error(span, std::move(finding)); }
  failed_ = true;
  return make_expr(ExprKind::kError, span);
}

std::string Parser::describe(const Token& token) const {
  switch (token.kind) {
    case TokenKind::kNewline:
    case TokenKind::kEnd:
      return "the end of the line";
    case TokenKind::kIndent:
      return "an indented line";
    case TokenKind::kDedent:
      return "the end of the block";
    case TokenKind::kName:
    case TokenKind::kInteger:
    case TokenKind::kFloat:
    case TokenKind::kString:
    case TokenKind::kSymbol:
      break;
  }
  return "\"" + std::string(token.text.substr(0, 40)) + "\"";
}

Expr* Parser::fail_here(std::string_view wanted) {
  return fail(peek().span, {"syntax", "expected " + std::string(wanted) + ", found " + describe(peek())});
}

Stmt* Parser::make_stmt(StmtKind kind, uint32_t begin) {
  Stmt& stmt = module_.stmts.emplace_back();
  stmt.kind = kind;
  stmt.span = {begin, begin};
  return &stmt;
}

void Parser::parse_module() {
  while (peek().kind != TokenKind::kEnd) {
    if (peek().kind == TokenKind::kIndent) {
      fail(peek(1).span, {"unexpected-indent", "this line is indented, but no block is open"});
      advance();
      recover();
      continue;
    }
    if (peek().kind == TokenKind::kDedent || peek().kind == TokenKind::kNewline) {
      advance();
      continue;
    }
    parse_statement(module_.body);
  }
}

// One statement, or one line of simple ones. After a mistake the rest of its line and its block are skipped.
void Parser::parse_statement(std::vector<Stmt*>& body) {
  const uint32_t begin = peek().span.begin;
  statement_begin_ = begin;
  if (refuse_statement()) {
    // Reported; what follows on the line and below it belongs to the refused statement.
  } else if (Stmt* compound = parse_compound()) {
    if (!failed_) { body.push_back(compound); }
  } else {
    parse_simple_line(body);
  }
  if (failed_) {
    body.push_back(make_stmt(StmtKind::kError, begin));
    recover();
  }
}

void Parser::parse_simple_line(std::vector<Stmt*>& body) {
  do {
    if (peek().kind == TokenKind::kNewline) { break; }
    Stmt* stmt = parse_simple();
    if (failed_) { return; }
    body.push_back(stmt);
  } while (accept_symbol(";"));
  if (peek().kind != TokenKind::kNewline) {
    body.pop_back();  // the part before the mistake means nothing on its own
    fail_after_statement();
    return;
  }
  advance();
}

void Parser::fail_after_statement() {
  for (std::string_view symbol : {"@", "&", "|", "^", "<<", ">>"}) {
    if (!at_symbol(symbol)) { continue; }
    fail(peek().span, {"unsupported-operator", "the operator `" + std::string(symbol) + "` is not supported",
                       "+ - * / // % ** and comparisons, on numbers",
                       symbol == "@" ? "for tensors: self.gemm = GeMM() in __init__, then self.gemm(x, y, ctx=ctx), "
                                       "which is y times x transposed"
                                     : ""});
    return;
  }
  fail_here("the end of the statement");
}

void Parser::recover() {
  failed_ = false;
  while (peek().kind != TokenKind::kNewline && peek().kind != TokenKind::kEnd && peek().kind != TokenKind::kIndent &&
         peek().kind != TokenKind::kDedent) {
    advance();
  }
  if (peek().kind == TokenKind::kNewline) { advance(); }
  if (peek().kind == TokenKind::kIndent) { skip_block(); }
  // The other clauses of a statement that failed go with it.
  if (at_word("except") || at_word("finally") || at_word("else") || at_word("elif")) { recover(); }
}

void Parser::skip_block() {
  int open = 0;
  do {
    if (peek().kind == TokenKind::kIndent) { ++open; }
    if (peek().kind == TokenKind::kDedent) { --open; }
    if (peek().kind == TokenKind::kEnd) { return; }
    advance();
  } while (open > 0);
}

bool Parser::refuse_statement() {
  if (peek().kind != TokenKind::kName) { return false; }
  for (const Refusal& refusal : kRefusedStatements) {
    if (peek().text != refusal.word) { continue; }
    fail(peek().span,
         {"unsupported-statement", "`" + std::string(refusal.word) + "` is not part of the policy language",
          "imports, constants, classes, methods, assignments, calls, return, assert, if, for",
          std::string(refusal.suggestion)});
    return true;
  }
  return false;
}

// Null when no compound statement starts here.
Stmt* Parser::parse_compound() {
  if (at_symbol("@")) { return parse_decorated(); }
  if (at_word("class")) { return parse_class(); }
  if (at_word("def")) { return parse_function(); }
  if (at_word("if")) { return parse_if(); }
  if (at_word("for")) { return parse_for(); }
  return nullptr;
}

Stmt* Parser::parse_simple() {
  const uint32_t begin = peek().span.begin;
  if (at_word("import")) { return parse_import(); }
  if (at_word("from")) { return parse_from_import(); }
  if (at_word("return")) { return parse_values(StmtKind::kReturn, 1); }
  if (at_word("raise")) { return parse_values(StmtKind::kRaise, 1); }
  if (at_word("assert")) { return parse_values(StmtKind::kAssert, 2); }
  for (const auto& [word, kind] : {std::pair{"pass", StmtKind::kPass}, std::pair{"break", StmtKind::kBreak},
                                   std::pair{"continue", StmtKind::kContinue}}) {
    if (accept_word(word)) {
      Stmt* stmt = make_stmt(kind, begin);
      stmt->span = since(begin);
      return stmt;
    }
  }
  return parse_expression_statement();
}

// return, raise and assert.
Stmt* Parser::parse_values(StmtKind kind, size_t limit) {
  Stmt* stmt = make_stmt(kind, peek().span.begin);
  advance();
  const bool empty = peek().kind == TokenKind::kNewline || at_symbol(";");
  if (!empty || kind == StmtKind::kAssert) {
    stmt->values.push_back(limit == 1 ? parse_expression_list() : parse_expression());
    if (limit == 2 && accept_symbol(",")) { stmt->values.push_back(parse_expression()); }
  }
  stmt->span = since(stmt->span.begin);
  return stmt;
}

Stmt* Parser::parse_import() {
  Stmt* stmt = make_stmt(StmtKind::kImport, peek().span.begin);
  advance();
  do {
    const uint32_t begin = peek().span.begin;
    std::string_view name = expect_name("a module name");
    const std::string_view first = name;
    while (!failed_ && accept_symbol(".")) {
      expect_name("a module name");
      name = reporter_.source().at(since(begin));
    }
    const Span span = since(begin);
    const std::string_view as = accept_word("as") ? expect_name("a name") : first;
    stmt->aliases.push_back({name, as, span});
  } while (!failed_ && accept_symbol(","));
  stmt->span = since(stmt->span.begin);
  return stmt;
}

// vortex_torch's own flows import relative to their package; the names mean the same here.
void Parser::resolve_relative(Stmt* stmt) {
  constexpr std::array<std::pair<std::string_view, std::string_view>, 7> kKnown = {{
      {".flow", "vortex_torch.flow.flow"},
      {".flow_mla", "vortex_torch.flow.flow_mla"},
      {".registry", "vortex_torch.flow.registry"},
      {"..abs", "vortex_torch.abs"},
      {"..cache", "vortex_torch.cache"},
      {"..flow", "vortex_torch.flow"},
      {"..indexer", "vortex_torch.indexer"},
  }};
  for (const auto& [written, full] : kKnown) {
    if (stmt->name != written) { continue; }
    stmt->name = full;
    reporter_.warn(stmt->name_span,
                   {"relative-import", "only a module inside vortex_torch can import like this, not a file of its own",
                    "", "write `from " + std::string(full) + " import ...`"});
    return;
  }
  fail(stmt->name_span, {"relative-import", "a policy is a file of its own, so it has no relative imports",
                         "from vortex_torch.indexer import ..., from vortex_torch.cache import ...",
                         "write the full module name, e.g. `from vortex_torch.flow import vFlow, register`"});
}

Stmt* Parser::parse_from_import() {
  Stmt* stmt = make_stmt(StmtKind::kFromImport, peek().span.begin);
  advance();
  const uint32_t begin = peek().span.begin;
  const bool relative = at_symbol(".") || at_symbol("...");
  while (accept_symbol(".") || accept_symbol("...")) {}
  if (!relative || !at_word("import")) { expect_name("a module name"); }
  while (!failed_ && accept_symbol(".")) { expect_name("a module name"); }
  stmt->name_span = since(begin);
  stmt->name = reporter_.source().at(stmt->name_span);
  if (relative && !failed_) { resolve_relative(stmt); }
  expect_word("import", "after the module name");
  const bool parenthesised = accept_symbol("(");
  parse_aliases(stmt);
  if (parenthesised) { expect_symbol(")", "after the imported names"); }
  stmt->span = since(stmt->span.begin);
  return stmt;
}

void Parser::parse_aliases(Stmt* stmt) {
  if (at_symbol("*")) {
    fail(peek().span, {"star-import", "`import *` hides which side an operation comes from", "named imports",
                       "list the names: `from vortex_torch.indexer import Mean, GeMM, topK`"});
    return;
  }
  do {
    if (at_symbol(")") && !stmt->aliases.empty()) { break; }
    const Span span = peek().span;
    const std::string_view name = expect_name("a name to import");
    const std::string_view as = accept_word("as") ? expect_name("a name") : name;
    stmt->aliases.push_back({name, as, span});
  } while (!failed_ && accept_symbol(","));
}

Stmt* Parser::parse_decorated() {
  std::vector<Expr*> decorators;
  while (!failed_ && accept_symbol("@")) {
    decorators.push_back(parse_expression());
    if (!failed_ && peek().kind != TokenKind::kNewline) { fail_here("the end of the decorator's line"); }
    if (!failed_) { advance(); }
  }
  Stmt* stmt = at_word("class") ? parse_class() : at_word("def") ? parse_function() : nullptr;
  if (stmt == nullptr) {
    fail_here("a class or a function under the decorator");
    return make_stmt(StmtKind::kError, peek().span.begin);
  }
  stmt->decorators = std::move(decorators);
  return stmt;
}

Stmt* Parser::parse_class() {
  Stmt* stmt = make_stmt(StmtKind::kClass, peek().span.begin);
  advance();
  stmt->name_span = peek().span;
  stmt->name = expect_name("a class name");
  if (accept_symbol("(")) {
    while (!failed_ && !at_symbol(")")) {
      if (peek().kind == TokenKind::kName && peek(1).text == "=") {
        fail(peek().span, {"unsupported-syntax", "a class takes base classes only, no keywords"});
        break;
      }
      stmt->values.push_back(parse_expression());
      if (!accept_symbol(",")) { break; }
    }
    expect_symbol(")", "after the base classes");
  }
  stmt->span = since(stmt->span.begin);
  parse_block(stmt->body);
  return stmt;
}

Stmt* Parser::parse_function() {
  Stmt* stmt = make_stmt(StmtKind::kFunction, peek().span.begin);
  advance();
  stmt->name_span = peek().span;
  stmt->name = expect_name("a function name");
  if (expect_symbol("(", "after the function name")) {
    parse_params(stmt);
    expect_symbol(")", "after the parameters");
  }
  if (accept_symbol("->")) { stmt->annotation = parse_expression(); }
  stmt->span = since(stmt->span.begin);
  parse_block(stmt->body);
  return stmt;
}

void Parser::parse_params(Stmt* stmt) {
  while (!failed_ && !at_symbol(")")) {
    if (at_symbol("*") || at_symbol("**") || at_symbol("/")) {
      fail(peek().span,
           {"unsupported-syntax", "`" + std::string(peek().text) + "` in a parameter list is not supported",
            "plain parameters with optional annotations and defaults", "name every parameter"});
      return;
    }
    Param param;
    param.span = peek().span;
    param.name = expect_name("a parameter name");
    if (accept_symbol(":")) { param.annotation = parse_expression(); }
    if (accept_symbol("=")) { param.default_value = parse_expression(); }
    for (const Param& other : stmt->params) {
      if (!failed_ && other.name == param.name) {
        fail(param.span, {"duplicate-parameter", "parameter \"" + std::string(param.name) + "\" appears twice"});
      }
    }
    if (!failed_ && param.default_value == nullptr && !stmt->params.empty() &&
        stmt->params.back().default_value != nullptr) {
      fail(param.span, {"syntax", "a parameter without a default follows one with a default"});
    }
    if (!failed_ && stmt->params.size() == kMaxParameters) {
      fail(param.span, {"limit", "more than " + std::to_string(kMaxParameters) + " parameters"});
    }
    stmt->params.push_back(param);
    if (!accept_symbol(",")) { return; }
  }
}

Stmt* Parser::parse_if() {
  Stmt* stmt = make_stmt(StmtKind::kIf, peek().span.begin);
  advance();
  stmt->values.push_back(parse_expression());
  stmt->span = since(stmt->span.begin);
  parse_block(stmt->body);
  if (failed_) { return stmt; }
  if (at_word("elif")) {
    if (++depth_ > kMaxBlockDepth) {
      fail(peek().span, {"too-deep", "too many `elif` branches"});
    } else {
      stmt->orelse.push_back(parse_if());
    }
    --depth_;
  } else if (accept_word("else")) {
    parse_block(stmt->orelse);
  }
  return stmt;
}

Stmt* Parser::parse_for() {
  Stmt* stmt = make_stmt(StmtKind::kFor, peek().span.begin);
  advance();
  stmt->targets.push_back(parse_target_list());
  expect_word("in", "after the loop variable");
  stmt->values.push_back(parse_expression_list());
  stmt->span = since(stmt->span.begin);
  parse_block(stmt->body);
  if (!failed_ && at_word("else")) {
    fail(peek().span, {"unsupported-syntax", "`else` after a `for` loop is not supported"});
  }
  return stmt;
}

// ":" and either simple statements on the same line or an indented block.
void Parser::parse_block(std::vector<Stmt*>& body) {
  if (!expect_symbol(":", "before the block")) { return; }
  if (peek().kind != TokenKind::kNewline) {
    parse_simple_line(body);
    return;
  }
  advance();
  if (peek().kind != TokenKind::kIndent) {
    fail(peek().span, {"missing-block", "expected an indented block", "", "indent the body, or write `pass`"});
    return;
  }
  if (++depth_ > kMaxBlockDepth) {
    fail(peek().span, {"too-deep", "blocks are nested more than " + std::to_string(kMaxBlockDepth) + " deep"});
    --depth_;
    return;
  }
  advance();
  while (peek().kind != TokenKind::kDedent && peek().kind != TokenKind::kEnd) {
    if (peek().kind == TokenKind::kIndent) {
      fail(peek(1).span, {"unexpected-indent", "this line is indented more than the block it stands in"});
      body.push_back(make_stmt(StmtKind::kError, peek().span.begin));
      recover();
      continue;
    }
    parse_statement(body);
  }
  if (peek().kind == TokenKind::kDedent) { advance(); }
  --depth_;
}

Stmt* Parser::parse_expression_statement() {
  Stmt* stmt = make_stmt(StmtKind::kExpression, peek().span.begin);
  Expr* first = parse_expression_list();
  if (failed_) { return stmt; }
  if (const auto op = augmented_operator(peek().text); op && peek().kind == TokenKind::kSymbol) {
    advance();
    stmt->kind = StmtKind::kAugmented;
    stmt->op = *op;
    stmt->targets.push_back(first);
    check_target(first);
    stmt->values.push_back(parse_expression_list());
  } else if (at_symbol(":") || at_symbol("=")) {
    stmt->kind = StmtKind::kAssign;
    if (accept_symbol(":")) { stmt->annotation = parse_expression(); }
    stmt->targets.push_back(first);
    check_target(first);
    while (!failed_ && accept_symbol("=")) {
      Expr* value = parse_expression_list();
      if (at_symbol("=")) {
        check_target(value);
        stmt->targets.push_back(value);
      } else {
        stmt->values.push_back(value);
      }
    }
  } else {
    stmt->values.push_back(first);
  }
  stmt->span = since(stmt->span.begin);
  return stmt;
}

void Parser::check_target(const Expr* target) {
  if (failed_) { return; }
  const ExprKind kind = target->kind;
  if (kind == ExprKind::kTuple || kind == ExprKind::kList) {
    for (const Expr* item : target->items) { check_target(item); }
    return;
  }
  const bool place = kind == ExprKind::kName || kind == ExprKind::kAttribute || kind == ExprKind::kSubscript;
  if (place || kind == ExprKind::kError) { return; }
  fail(target->span, {"bad-target", "cannot assign to this expression", "a name, self.name, x[key], or a tuple of them",
                      "for a comparison write `==`"});
}

}  // namespace vortex::vflow
