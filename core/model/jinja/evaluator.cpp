#include "core/model/jinja/evaluator.h"

#include <algorithm>

namespace vortex::model::jinja {
namespace {

constexpr int64_t kMostWork = 5'000'000;  // a thousand messages take a hundredth of it
constexpr int64_t kLoopWork = 10;         // of a turn, beside what happens in it
constexpr size_t kBytesAWork = 64;

// Takes note of how deep the evaluation stands.
class Level {
 public:
  explicit Level(int& depth) : depth_(depth) { ++depth_; }
  ~Level() { --depth_; }
  Level(const Level&) = delete;
  Level& operator=(const Level&) = delete;

 private:
  int& depth_;
};

}  // namespace

void Scope::set(const std::string& name, Value value) {
  for (auto& [known, old] : values) {
    if (known == name) {
      old = std::move(value);
      return;
    }
  }
  values.emplace_back(name, std::move(value));
}

Error at_line(const Error& error, int line) {
  if (error.message.starts_with("chat template, ")) { return error; }
  return error_at(line, error.message, error.hint);
}

Status Evaluator::spend(int64_t work, int line) {
  work_ += work;
  if (work_ > kMostWork) { return error_at(line, "the template does not come to an end"); }
  return ok_status();
}

Status Evaluator::append(std::string& out, std::string_view text, int line) {
  if (out.size() + text.size() > kMaxText) { return error_at(line, "the text becomes too long"); }
  out += text;
  return spend(static_cast<int64_t>(text.size() / kBytesAWork), line);
}

Result<Rendered> Evaluator::render(const std::vector<Stmt>& body) {
  Scope scope;
  Rendered rendered;
  VORTEX_ASSIGN(const Flow flow, run(body, scope, rendered.text));
  static_cast<void>(flow);
  rendered.used_date = used_date_;
  return rendered;
}

Result<Evaluator::Flow> Evaluator::run(const std::vector<Stmt>& body, Scope& scope, std::string& out) {
  for (const Stmt& stmt : body) {
    VORTEX_TRY(spend(1, stmt.line));
    const Level level(depth_);
    if (depth_ > kMostDepth) { return error_at(stmt.line, "the template goes too deep"); }
    VORTEX_ASSIGN(const Flow flow, run_one(stmt, scope, out));
    if (flow != Flow::kNext) { return flow; }
  }
  return Flow::kNext;
}

Result<Evaluator::Flow> Evaluator::run_one(const Stmt& stmt, Scope& scope, std::string& out) {
  switch (stmt.kind) {
    case StmtKind::kText:
      VORTEX_TRY(append(out, stmt.text, stmt.line));
      return Flow::kNext;
    case StmtKind::kOutput: {
      VORTEX_ASSIGN(const Value value, eval(*stmt.exprs[0], scope));
      const Result<std::string> text = to_text(value);
      if (!text.ok()) { return at_line(text.error(), stmt.line); }
      VORTEX_TRY(append(out, *text, stmt.line));
      return Flow::kNext;
    }
    case StmtKind::kIf:
      return run_if(stmt, scope, out);
    case StmtKind::kFor:
      return run_for(stmt, scope, out);
    case StmtKind::kSet:
      VORTEX_TRY(run_set(stmt, scope));
      return Flow::kNext;
    case StmtKind::kSetBlock:
      VORTEX_TRY(run_set_block(stmt, scope));
      return Flow::kNext;
    case StmtKind::kMacro:
      macros_.push_back({&stmt, &scope});
      scope.set(stmt.text, Value(Value::Data(static_cast<const Macro*>(&macros_.back()))));
      return Flow::kNext;
    case StmtKind::kFilterBlock: {
      VORTEX_ASSIGN(std::string inner, text_of(stmt.bodies[0], scope));
      const Value operand(std::move(inner));
      VORTEX_ASSIGN(const Value value, eval_filter(*stmt.exprs[0], scope, &operand));
      const Result<std::string> text = to_text(value);
      if (!text.ok()) { return at_line(text.error(), stmt.line); }
      VORTEX_TRY(append(out, *text, stmt.line));
      return Flow::kNext;
    }
    case StmtKind::kScope: {
      Scope inner{&scope, {}};
      for (size_t i = 0; i < stmt.targets.size(); ++i) {
        VORTEX_ASSIGN(Value value, eval(*stmt.exprs[i], scope));
        inner.set(stmt.targets[i].name, std::move(value));
      }
      return run(stmt.bodies[0], inner, out);
    }
    case StmtKind::kBreak:
      return Flow::kBreak;
    case StmtKind::kContinue:
      return Flow::kContinue;
  }
  return Flow::kNext;
}

Result<Evaluator::Flow> Evaluator::run_if(const Stmt& stmt, Scope& scope, std::string& out) {
  for (size_t i = 0; i < stmt.exprs.size(); ++i) {
    VORTEX_ASSIGN(const Value condition, eval(*stmt.exprs[i], scope));
    if (is_true(condition)) { return run(stmt.bodies[i], scope, out); }
  }
  if (stmt.bodies.size() > stmt.exprs.size()) { return run(stmt.bodies.back(), scope, out); }
  return Flow::kNext;
}

// What a for goes through, its condition applied.
Result<std::vector<Value>> Evaluator::loop_items(const Stmt& stmt, Scope& scope) {
  VORTEX_ASSIGN(const Value container, eval(*stmt.exprs[0], scope));
  Result<std::vector<Value>> all = iterate(container);
  if (!all.ok()) { return at_line(all.error(), stmt.line); }
  VORTEX_TRY(spend(static_cast<int64_t>(all->size()), stmt.line));
  if (stmt.exprs[1] == nullptr) { return all; }
  std::vector<Value> kept;
  for (const Value& item : *all) {
    VORTEX_TRY(spend(kLoopWork, stmt.line));
    Scope inner{&scope, {}};
    VORTEX_TRY(assign_all(stmt, item, inner));
    VORTEX_ASSIGN(const Value condition, eval(*stmt.exprs[1], inner));
    if (is_true(condition)) { kept.push_back(item); }
  }
  return kept;
}

Result<Evaluator::Flow> Evaluator::run_for(const Stmt& stmt, Scope& scope, std::string& out) {
  VORTEX_ASSIGN(const std::vector<Value> items, loop_items(stmt, scope));
  Loop loop{&items, 0};
  for (loop.index = 0; loop.index < items.size(); ++loop.index) {
    VORTEX_TRY(spend(kLoopWork, stmt.line));
    Scope inner{&scope, {}};
    inner.set("loop", Value(Value::Data(static_cast<const Loop*>(&loop))));
    VORTEX_TRY(assign_all(stmt, items[loop.index], inner));
    VORTEX_ASSIGN(const Flow flow, run(stmt.bodies[0], inner, out));
    if (flow == Flow::kBreak) { break; }
  }
  if (!items.empty()) { return Flow::kNext; }
  Scope inner{&scope, {}};
  return run(stmt.bodies[1], inner, out);
}

Status Evaluator::assign(const Stmt& stmt, const Target& target, Value value, Scope& scope) {
  if (target.attribute.empty()) {
    scope.set(target.name, std::move(value));
    return ok_status();
  }
  VORTEX_ASSIGN(const Value space, look_up(target.name, scope, stmt.line));
  const auto* values = space.get<Namespace*>();
  if (values == nullptr) {
    return error_at(stmt.line, "cannot set a member of " + target.name + ": only namespaces can be changed");
  }
  if (value.is<Namespace*>()) { return error_at(stmt.line, "a namespace within another is not supported"); }
  (*values)->values[target.attribute] = std::move(value);
  return ok_status();
}

Status Evaluator::assign_all(const Stmt& stmt, const Value& value, Scope& scope) {
  if (stmt.targets.size() == 1) { return assign(stmt, stmt.targets[0], value, scope); }
  const Result<std::vector<Value>> parts = iterate(value);
  if (!parts.ok()) { return at_line(parts.error(), stmt.line); }
  if (parts->size() != stmt.targets.size()) {
    return error_at(stmt.line,
                    std::to_string(parts->size()) + " values for " + std::to_string(stmt.targets.size()) + " names");
  }
  for (size_t i = 0; i < parts->size(); ++i) { VORTEX_TRY(assign(stmt, stmt.targets[i], (*parts)[i], scope)); }
  return ok_status();
}

Status Evaluator::run_set(const Stmt& stmt, Scope& scope) {
  VORTEX_ASSIGN(const Value value, eval(*stmt.exprs[0], scope));
  return assign_all(stmt, value, scope);
}

Result<std::string> Evaluator::text_of(const std::vector<Stmt>& body, Scope& scope) {
  Scope inner{&scope, {}};
  std::string text;
  VORTEX_ASSIGN(const Flow flow, run(body, inner, text));
  if (flow != Flow::kNext) {
    return candidate_error("chat template, a break or continue leaves a block: not supported");
  }
  return text;
}

Status Evaluator::run_set_block(const Stmt& stmt, Scope& scope) {
  VORTEX_ASSIGN(std::string text, text_of(stmt.bodies[0], scope));
  Value value(std::move(text));
  if (stmt.exprs[0] != nullptr) { VORTEX_ASSIGN(value, eval_filter(*stmt.exprs[0], scope, &value)); }
  return assign(stmt, stmt.targets[0], std::move(value), scope);
}

struct Template::Parsed {
  std::string source;
  std::vector<Stmt> body;
};

Result<Template> Template::parse(std::string_view source) {
  auto parsed = std::make_shared<Parsed>();
  parsed->source = source;
  VORTEX_ASSIGN(parsed->body, jinja::parse(source));
  Template result;
  result.parsed_ = std::move(parsed);
  return result;
}

Result<Rendered> Template::render(const Inputs& inputs) const { return Evaluator(inputs).render(parsed_->body); }

bool Template::names(std::string_view variable) const { return parsed_->source.find(variable) != std::string::npos; }

}  // namespace vortex::model::jinja
