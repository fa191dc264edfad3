#include "core/vflow/trace/interp.h"

#include <algorithm>

#include "base/text.h"

namespace vortex::vflow {
namespace {

constexpr int64_t kMaxSteps = 200'000;
constexpr int64_t kMaxItems = 100'000;      // of all lists and dicts together
constexpr int64_t kMaxTextBytes = 1 << 20;  // of all strings together
constexpr int kMaxDepth = 300;              // of nested statements, expressions and calls
constexpr size_t kMaxAncestors = 64;  // of a class, with itself: finding their order takes more than twice for two

// Restores a counter that a nested evaluation raised.
class Nesting {
 public:
  explicit Nesting(int& depth) : depth_(depth) { ++depth_; }
  ~Nesting() { --depth_; }
  Nesting(const Nesting&) = delete;
  Nesting& operator=(const Nesting&) = delete;

 private:
  int& depth_;
};

}  // namespace

Interp::Interp(Reporter& reporter, const Module& module) : reporter_(reporter), module_(module) {
  for (const auto& [pointer, name] : {std::pair{&vflow_, "vFlow"}, std::pair{&vflow_mla_, "vFlowMLA"}}) {
    *pointer = &classes_.emplace_back();
    (*pointer)->name = name;
    (*pointer)->order = {*pointer};
  }
}

void Interp::run_module() {
  globals_ = &make_scope(nullptr);
  execute_block(module_.body, *globals_);
}

// ---- bookkeeping

Value Interp::error(Span span, Finding finding) {
  if (!stopped_) { reporter_.error(span, std::move(finding)); }
  return Poison{};
}

Value Interp::type_error(Span span, std::string message, std::string allowed, std::string suggestion) {
  return error(span, {"type", std::move(message), std::move(allowed), std::move(suggestion)});
}

// Counts one unit of work. False once evaluation must end.
bool Interp::step(Span span) {
  if (stopped_) { return false; }
  if (++steps_ > kMaxSteps) {
    return stop(span, "the module does not finish within " + std::to_string(kMaxSteps) + " steps");
  }
  if (depth_ > kMaxDepth) { return stop(span, "calls and expressions are nested too deeply here"); }
  return true;
}

bool Interp::equal(const Value& a, const Value& b) {
  const bool result = values_equal(a, b, steps_, kMaxSteps);
  if (steps_ > kMaxSteps) { step({}); }
  return result;
}

bool Interp::stop(Span span, std::string message) {
  error(span, {"limit", std::move(message), "", "a policy is traced once: its loops should be short"});
  stopped_ = true;
  return false;
}

bool Interp::grow(size_t items, Span span) {
  items_ += static_cast<int64_t>(items);
  if (items_ <= kMaxItems) { return true; }
  return stop(span, "the module builds lists of more than " + std::to_string(kMaxItems) + " items");
}

// All numbers of a range at once, so that the message can say how many they are.
bool Interp::grow(const Range& range, Span span) {
  const auto start = static_cast<uint64_t>(range.start);
  const auto end = static_cast<uint64_t>(range.stop);
  const auto step = static_cast<uint64_t>(range.step);
  uint64_t count = 0;
  if (range.step > 0 && range.start < range.stop) { count = (end - start - 1) / step + 1; }
  if (range.step < 0 && range.start > range.stop) { count = (start - end - 1) / (0 - step) + 1; }
  if (count <= static_cast<uint64_t>(kMaxItems)) { return grow(static_cast<size_t>(count), span); }
  return stop(span, "a range of " + std::to_string(count) + " numbers: a module can go through " +
                        std::to_string(kMaxItems) + " items in all");
}

Value Interp::make_list(std::vector<Value> items, Span span) {
  if (!grow(items.size(), span)) { return Poison{}; }
  ListObject& list = lists_.emplace_back();
  list.items = std::move(items);
  return List{&list};
}

Value Interp::make_tuple(std::vector<Value> items, Span span) {
  if (!grow(items.size(), span)) { return Poison{}; }
  ListObject& list = lists_.emplace_back();
  list.items = std::move(items);
  return Tuple{&list};
}

const std::string* Interp::make_string(std::string text) {
  text_bytes_ += static_cast<int64_t>(text.size());
  if (text_bytes_ > kMaxTextBytes) {
    stop({}, "the module builds more than a megabyte of text");
    text.clear();
  }
  return &strings_.emplace_back(std::move(text));
}

Scope& Interp::make_scope(Scope* parent) {
  Scope& scope = scopes_.emplace_back();
  scope.parent = parent;
  if (parent != nullptr) { scope.tainted = parent->tainted; }
  return scope;
}

// ---- statements

Interp::Flow Interp::execute_block(const std::vector<Stmt*>& body, Scope& scope) {
  for (const Stmt* stmt : body) {
    const Flow flow = execute(*stmt, scope);
    if (flow != Flow::kNext) { return flow; }
    if (stopped_) { return Flow::kReturn; }
  }
  return Flow::kNext;
}

Interp::Flow Interp::execute(const Stmt& stmt, Scope& scope) {
  const Nesting nesting(depth_);
  if (!step(stmt.span)) { return Flow::kReturn; }
  switch (stmt.kind) {
    case StmtKind::kError:
      scope.tainted = true;
      if (scope.self != nullptr) { set_name(scope.self->attributes, "", Poison{}); }
      break;
    case StmtKind::kImport:
      execute_import(stmt, scope);
      break;
    case StmtKind::kFromImport:
      execute_from_import(stmt, scope);
      break;
    case StmtKind::kClass:
      execute_class(stmt, scope);
      break;
    case StmtKind::kFunction:
      execute_function(stmt, scope);
      break;
    case StmtKind::kExpression:
      execute_expression(stmt, scope);
      break;
    case StmtKind::kAssign:
      execute_assign(stmt, scope);
      break;
    case StmtKind::kAugmented:
      execute_augmented(stmt, scope);
      break;
    case StmtKind::kReturn:
      return_value_ = stmt.values.empty() ? Value(NoneValue{}) : evaluate(*stmt.values[0], scope);
      return Flow::kReturn;
    case StmtKind::kRaise:
      execute_raise(stmt, scope);
      return_value_ = Poison{};
      return Flow::kReturn;
    case StmtKind::kAssert:
      execute_assert(stmt, scope);
      break;
    case StmtKind::kIf:
      return execute_if(stmt, scope);
    case StmtKind::kFor:
      return execute_for(stmt, scope);
    case StmtKind::kBreak:
      return Flow::kBreak;
    case StmtKind::kContinue:
      return Flow::kContinue;
    case StmtKind::kPass:
      break;
  }
  return Flow::kNext;
}

void Interp::execute_import(const Stmt& stmt, Scope& scope) {
  for (const Alias& alias : stmt.aliases) {
    if (!module_exists(alias.name)) {
      report_missing_module(alias.name, alias.span);
      set_name(scope.names, alias.as, Poison{});
      continue;
    }
    // `import a.b` binds a; `import a.b as c` binds a.b.
    const std::string_view first = alias.name.substr(0, alias.name.find('.'));
    set_name(scope.names, alias.as, ModuleRef{alias.as == first ? first : alias.name});
  }
}

void Interp::execute_from_import(const Stmt& stmt, Scope& scope) {
  if (stmt.name == "__future__") {
    lazy_annotations_ = true;
    return;
  }
  const bool known = module_exists(stmt.name);
  if (!known) { report_missing_module(stmt.name, stmt.name_span); }
  for (const Alias& alias : stmt.aliases) {
    std::optional<Value> value;
    if (known) {
      value = module_member(stmt.name, alias.name);
      if (!value) { report_missing_member(stmt.name, alias.name, alias.span); }
    }
    set_name(scope.names, alias.as, value.value_or(Poison{}));
  }
}

// Annotations are evaluated when a function is defined, so a name that was not imported fails there.
void Interp::check_annotation(const Expr* annotation, Scope& scope) {
  if (annotation == nullptr || lazy_annotations_) { return; }
  if (annotation->kind == ExprKind::kName) {
    evaluate(*annotation, scope);
    return;
  }
  for (const Expr* item : annotation->items) { check_annotation(item, scope); }
}

void Interp::execute_function(const Stmt& stmt, Scope& scope) {
  FunctionObject& function = functions_.emplace_back();
  function.definition = &stmt;
  // A method does not see the names of its class's body.
  function.closure = &scope;
  for (const Param& param : stmt.params) {
    check_annotation(param.annotation, scope);
    if (param.default_value != nullptr) { function.defaults.push_back(evaluate(*param.default_value, scope)); }
  }
  check_annotation(stmt.annotation, scope);
  set_name(scope.names, stmt.name, apply_decorators(stmt, &function, scope));
}

Value Interp::apply_decorators(const Stmt& stmt, Value value, Scope& scope) {
  for (auto decorator = stmt.decorators.rbegin(); decorator != stmt.decorators.rend(); ++decorator) {
    const Value function = evaluate(**decorator, scope);
    if (is_poison(function)) {
      continue;  // reported; the class itself is still worth checking
    }
    Arguments arguments;
    arguments.values.push_back(value);
    arguments.spans.push_back((*decorator)->span);
    value = call(function, arguments, **decorator, scope);
  }
  return value;
}

void Interp::execute_class(const Stmt& stmt, Scope& scope) {
  ClassObject& type = classes_.emplace_back();
  type.name = stmt.name;
  type.span = stmt.name_span;
  std::vector<ClassObject*> bases;
  bool tainted = false;
  for (const Expr* base : stmt.values) {
    const Value value = evaluate(*base, scope);
    if (const auto* known = std::get_if<ClassObject*>(&value)) {
      bases.push_back(*known);
    } else if (const auto* opaque = std::get_if<Opaque>(&value); opaque != nullptr && opaque->name == "object") {
      continue;
    } else {
      tainted = true;
      if (!is_poison(value)) {
        type_error(base->span, "a base class must be a class, got " + std::string(kind_name(value)));
      }
    }
  }
  if (!linearize(&type, bases)) {
    error(stmt.name_span,
          {"base-classes", "the base classes of \"" + std::string(stmt.name) + "\" have no consistent order"});
  }
  Scope& body = make_scope(&scope);
  body.is_class = true;
  execute_block(stmt.body, body);
  for (auto& [name, value] : body.names) {
    if (auto* function = std::get_if<FunctionObject*>(&value); function != nullptr && (*function)->closure == &body) {
      (*function)->owner = &type;
      (*function)->closure = &scope;
    }
  }
  type.attributes = body.names;
  // With an unknown base or a statement lost, a missing attribute is no finding of its own.
  if (tainted || body.tainted) { set_name(type.attributes, "", Poison{}); }
  set_name(scope.names, stmt.name, apply_decorators(stmt, &type, scope));
}

// Python's method resolution order (C3: Barrett et al. 1996).
bool Interp::linearize(ClassObject* type, const std::vector<ClassObject*>& bases) {
  std::vector<std::vector<ClassObject*>> sequences;
  size_t ancestors = 1 + bases.size();
  for (const ClassObject* base : bases) { ancestors += base->order.size(); }
  if (ancestors > kMaxAncestors) {
    stop(type->span, "a class can have at most " + std::to_string(kMaxAncestors) + " ancestors");
    return true;
  }
  if (bases.size() == 1) {
    type->order = {type};
    type->order.insert(type->order.end(), bases[0]->order.begin(), bases[0]->order.end());
    return true;
  }
  for (const ClassObject* base : bases) { sequences.push_back(base->order); }
  sequences.push_back(bases);
  type->order = {type};
  while (true) {
    std::erase_if(sequences, [](const auto& sequence) { return sequence.empty(); });
    if (sequences.empty()) { return true; }
    ClassObject* next = nullptr;
    for (const auto& sequence : sequences) {
      const bool blocked = std::any_of(sequences.begin(), sequences.end(), [&](const auto& other) {
        return std::find(other.begin() + 1, other.end(), sequence.front()) != other.end();
      });
      if (!blocked) {
        next = sequence.front();
        break;
      }
    }
    if (next == nullptr) { return false; }
    type->order.push_back(next);
    for (auto& sequence : sequences) {
      if (sequence.front() == next) { sequence.erase(sequence.begin()); }
    }
  }
}

void Interp::execute_assign(const Stmt& stmt, Scope& scope) {
  if (scope.function == nullptr) { check_annotation(stmt.annotation, scope); }
  if (stmt.values.empty()) { return; }
  const Value value = evaluate(*stmt.values[0], scope);
  for (const Expr* target : stmt.targets) { assign(*target, value, scope); }
}

void Interp::execute_augmented(const Stmt& stmt, Scope& scope) {
  const Value left = evaluate(*stmt.targets[0], scope);
  const Value right = evaluate(*stmt.values[0], scope);
  assign(*stmt.targets[0], binary(stmt.op, left, right, stmt.span), scope);
}

void Interp::assign(const Expr& target, const Value& value, Scope& scope) {
  if (target.kind == ExprKind::kName) { return set_name(scope.names, target.name, value); }
  if (target.kind == ExprKind::kAttribute) { return assign_attribute(target, value, scope); }
  if (target.kind == ExprKind::kSubscript) { return assign_subscript(target, value, scope); }
  if (target.kind != ExprKind::kTuple && target.kind != ExprKind::kList) { return; }
  std::optional<std::vector<Value>> items;
  if (!is_poison(value)) { items = elements(value, target.span); }
  if (items && items->size() != target.items.size()) {
    error(target.span, {"unpack", "cannot unpack " + std::to_string(items->size()) + " values into " +
                                      std::to_string(target.items.size()) + " names"});
    items.reset();
  }
  for (size_t i = 0; i < target.items.size(); ++i) { assign(*target.items[i], items ? (*items)[i] : poison(), scope); }
}

void Interp::assign_attribute(const Expr& target, const Value& value, Scope& scope) {
  const Value object = evaluate(*target.items[0], scope);
  if (is_poison(object)) { return; }
  if (const auto* instance = std::get_if<Instance*>(&object)) {
    set_name((*instance)->attributes, target.name, value);
    return;
  }
  const auto* op = std::get_if<OpObject*>(&object);
  if (op == nullptr) {
    type_error(target.span, "cannot set an attribute of " + std::string(kind_name(object)), "self.name = ...");
    return;
  }
  for (const ArgInfo& info : (*op)->info->args) {
    if (info.name == target.name) {
      set_op_argument(**op, info, value, target.span);
      return;
    }
  }
  error(target.span, {"unknown-attribute",
                      std::string((*op)->info->name) + " has no attribute \"" + std::string(target.name) + "\""});
}

void Interp::assign_subscript(const Expr& target, const Value& value, Scope& scope) {
  const Value object = evaluate(*target.items[0], scope);
  const Value key = evaluate(*target.items[1], scope);
  if (is_poison(object) || is_poison(key)) { return; }
  if (const auto* dict = std::get_if<DictObject*>(&object)) {
    set_dict(**dict, key, value, target.span);
    return;
  }
  const auto* list = std::get_if<List>(&object);
  const auto* index = std::get_if<int64_t>(&key);
  if (list != nullptr && index != nullptr) {
    const auto size = static_cast<int64_t>(list->object->items.size());
    if (*index < -size || *index >= size) {
      error(target.span,
            {"index", "index " + std::to_string(*index) + " is outside the list's " + std::to_string(size) + " items"});
      return;
    }
    list->object->items[static_cast<size_t>(*index < 0 ? *index + size : *index)] = value;
    return;
  }
  if (std::holds_alternative<Special>(object)) {
    error(target.span,
          {"field-assignment", "fields of the cache are written by operations, not by assignment",
           "cache side: op(x, cache[\"f\"], loc=loc, ctx=ctx); indexer side: Save()(x, cache[\"f\"], ctx=ctx)"});
    return;
  }
  type_error(target.span, "cannot assign to an item of " + std::string(kind_name(object)));
}

void Interp::execute_assert(const Stmt& stmt, Scope& scope) {
  const std::optional<bool> holds = truth(evaluate(*stmt.values[0], scope), stmt.values[0]->span);
  if (!holds || *holds) { return; }
  std::string message = "this assertion of the policy fails";
  if (stmt.values.size() > 1) {
    const Value text = evaluate(*stmt.values[1], scope);
    if (!is_poison(text)) { message += ": " + value_text(text).substr(0, 300); }
  }
  error(stmt.values[0]->span, {"assertion", message});
}

// `raise ValueError("...")`: the exception's name and text are the finding.
void Interp::execute_raise(const Stmt& stmt, Scope& scope) {
  std::string message = "the policy raises an exception";
  if (!stmt.values.empty() && stmt.values[0]->kind == ExprKind::kCall) {
    const Expr& exception = *stmt.values[0];
    message = "the policy raises " + std::string(exception.items[0]->name);
    if (exception.items.size() > 1) {
      const Value text = evaluate(*exception.items[1], scope);
      if (!is_poison(text)) { message += ": " + value_text(text).substr(0, 300); }
    }
  }
  error(stmt.span, {"raised", message});
}

// An operation whose result is dropped computes nothing: the habit of older, in-place operations.
void Interp::execute_expression(const Stmt& stmt, Scope& scope) {
  const Expr& expr = *stmt.values[0];
  const Value value = evaluate(expr, scope);
  const auto* tensor = std::get_if<Tensor>(&value);
  if (tensor == nullptr || program_ == nullptr || expr.kind != ExprKind::kCall) { return; }
  const OpInfo& info = op_info(graph().nodes[static_cast<size_t>(tensor->node)].op);
  const std::string name(info.name);
  if (info.kind == OpKind::kOverPages && !takes(info, Arg::kWeight)) {
    error(expr.span,
          {"discarded-result", name + " does not work in place: it returns a new tensor, which is dropped here", "",
           "assign the result and use it: `scores = " + std::string(reporter_.source().at(expr.span).substr(0, 80)) +
               "`"});
  } else if (tensor->side == Side::kCache) {
    reporter_.warn(expr.span, {"discarded-result", "the result of " + name + " is neither stored nor used", "",
                               "give a field as output: output=cache[\"name\"]"});
  } else {
    reporter_.warn(expr.span,
                   {"discarded-result", "the result of " + name + " is not used", "", "assign it to a name"});
  }
}

// Names that a skipped block would have set are unknown, not missing.
void Interp::taint_names(const std::vector<Stmt*>& body, Scope& scope) {
  if (!body.empty()) { scope.tainted = true; }
}

Interp::Flow Interp::execute_if(const Stmt& stmt, Scope& scope) {
  const std::optional<bool> condition = truth(evaluate(*stmt.values[0], scope), stmt.values[0]->span);
  if (!condition) {
    taint_names(stmt.body, scope);
    return Flow::kNext;
  }
  return execute_block(*condition ? stmt.body : stmt.orelse, scope);
}

Interp::Flow Interp::execute_for(const Stmt& stmt, Scope& scope) {
  const Value iterable = evaluate(*stmt.values[0], scope);
  const auto items = is_poison(iterable) ? std::nullopt : elements(iterable, stmt.values[0]->span);
  if (!items) {
    taint_names(stmt.body, scope);
    return Flow::kNext;
  }
  for (const Value& item : *items) {
    if (!step(stmt.span)) { return Flow::kReturn; }
    assign(*stmt.targets[0], item, scope);
    const Flow flow = execute_block(stmt.body, scope);
    if (flow == Flow::kBreak) { break; }
    if (flow == Flow::kReturn) { return flow; }
  }
  return Flow::kNext;
}

}  // namespace vortex::vflow
