#pragma once

#include <deque>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/model/jinja/ast.h"
#include "core/model/jinja/builtins.h"
#include "core/model/jinja/lexer.h"
#include "core/model/jinja/template.h"

namespace vortex::model::jinja {

// Variables of one block; those of the blocks around it are behind `parent`.
struct Scope {
  Scope* parent = nullptr;
  std::vector<std::pair<std::string, Value>> values;

  void set(const std::string& name, Value value);
};

inline constexpr int kMostDepth = 250;  // of statements and expressions that are being run

// One rendering. Statements are in evaluator.cpp, expressions in evaluator_expr.cpp.
class Evaluator {
 public:
  explicit Evaluator(const Inputs& inputs) : inputs_(inputs) {}

  Result<Rendered> render(const std::vector<Stmt>& body);

 private:
  enum class Flow { kNext, kBreak, kContinue };

  Result<Flow> run(const std::vector<Stmt>& body, Scope& scope, std::string& out);
  Result<Flow> run_one(const Stmt& stmt, Scope& scope, std::string& out);
  Result<Flow> run_if(const Stmt& stmt, Scope& scope, std::string& out);
  Result<Flow> run_for(const Stmt& stmt, Scope& scope, std::string& out);
  Result<std::vector<Value>> loop_items(const Stmt& stmt, Scope& scope);
  Status run_set(const Stmt& stmt, Scope& scope);
  Status run_set_block(const Stmt& stmt, Scope& scope);
  Status assign(const Stmt& stmt, const Target& target, Value value, Scope& scope);
  Status assign_all(const Stmt& stmt, const Value& value, Scope& scope);
  Result<std::string> text_of(const std::vector<Stmt>& body, Scope& scope);

  Result<Value> eval(const Expr& expr, Scope& scope);
  Result<Value> eval_kind(const Expr& expr, Scope& scope);
  Result<Value> eval_dict(const Expr& expr, Scope& scope);
  Result<Value> eval_member(const Expr& expr, Scope& scope);
  Result<Value> eval_loop_member(const Expr& expr, const Loop& loop, const std::string& name);
  Result<Value> eval_slice(const Expr& expr, Scope& scope);
  Result<Value> eval_call(const Expr& expr, Scope& scope);
  Result<Value> call_macro(const Macro& macro, const Arguments& arguments, int line);
  Result<Value> call_function(const std::string& name, const Arguments& arguments, int line);
  Result<Value> eval_filter(const Expr& expr, Scope& scope, const Value* operand);
  Result<Value> eval_test(const Expr& expr, Scope& scope);
  Result<Value> eval_concat(const Expr& expr, Scope& scope);
  Result<Value> eval_compare(const Expr& expr, Scope& scope);
  Result<std::vector<Value>> eval_items(const Expr& expr, Scope& scope);
  Result<Arguments> eval_arguments(const Expr& expr, Scope& scope);
  // The value of a name: of a variable, what the template is given, or a function; null-like Undefined otherwise.
  Result<Value> look_up(const std::string& name, const Scope& scope, int line) const;

  Status spend(int64_t work, int line);  // an error where a rendering does more than any real one
  Status append(std::string& out, std::string_view text, int line);

  const Inputs& inputs_;
  std::deque<Namespace> namespaces_;
  std::deque<Macro> macros_;
  int64_t work_ = 0;
  int depth_ = 0;
  bool used_date_ = false;
};

// The error of an operation, with the line where the template asked for it.
Error at_line(const Error& error, int line);

// Arithmetic as Python's: + - * / // %.
Result<Value> arithmetic(const std::string& symbol, const Value& left, const Value& right);
Result<Value> negated(const Value& value);
// operand[begin:end:step] of a string or list; null parts were left out.
Result<Value> slice(const Value& operand, const std::optional<int64_t>& begin, const std::optional<int64_t>& end,
                    const std::optional<int64_t>& step);

}  // namespace vortex::model::jinja
