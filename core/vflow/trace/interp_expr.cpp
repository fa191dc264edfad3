#include <algorithm>
#include <cstdio>

#include "base/text.h"
#include "core/vflow/quote.h"
#include "core/vflow/trace/interp.h"

namespace vortex::vflow {
namespace {

constexpr int kMostSuggestions = 40;  // behind so many mistakes nobody reads on, and looking for one takes long

// As many as a misspelling is looked up in.
void add_names(Names& names, std::vector<std::string>& known) {
  constexpr size_t kMost = 200;
  for (const auto& [name, value] : names) {
    if (known.size() == kMost) { return; }
    known.emplace_back(name);
  }
}

// Bounds of a Python slice over `size` items with step 1.
int64_t clamp_bound(int64_t bound, int64_t size) {
  return std::clamp<int64_t>(bound < 0 ? bound + size : bound, 0, size);
}

}  // namespace

Value Interp::evaluate(const Expr& expr, Scope& scope) {
  if (!step(expr.span)) { return Poison{}; }
  ++depth_;
  Value value = evaluate_kind(expr, scope);
  --depth_;
  return value;
}

Value Interp::evaluate_kind(const Expr& expr, Scope& scope) {
  switch (expr.kind) {
    case ExprKind::kError:
      return Poison{};
    case ExprKind::kNone:
      return NoneValue{};
    case ExprKind::kBool:
      return expr.integer != 0;
    case ExprKind::kInteger:
      return expr.integer;
    case ExprKind::kFloat:
      return expr.real;
    case ExprKind::kString:
      return &expr.text;
    case ExprKind::kFString:
      return evaluate_fstring(expr, scope);
    case ExprKind::kFormatted:
      return evaluate_formatted(expr, scope);
    case ExprKind::kName:
      return evaluate_name(expr, scope);
    case ExprKind::kAttribute:
      return evaluate_attribute(expr, scope);
    case ExprKind::kSubscript:
      return evaluate_subscript(expr, scope);
    case ExprKind::kSlice:
      return error(expr.span, {"syntax", "a slice can only stand inside brackets after a value"});
    case ExprKind::kCall:
      return evaluate_call(expr, scope);
    case ExprKind::kTuple:
    case ExprKind::kList:
      return evaluate_items(expr, scope);
    case ExprKind::kDict:
      return evaluate_dict(expr, scope);
    case ExprKind::kListComp:
    case ExprKind::kDictComp:
      return evaluate_comprehension(expr, scope);
    case ExprKind::kUnary:
      return unary(expr.op, evaluate(*expr.items[0], scope), expr.span);
    case ExprKind::kBinary: {
      const Value left = evaluate(*expr.items[0], scope);
      return binary(expr.op, left, evaluate(*expr.items[1], scope), expr.span);
    }
    case ExprKind::kCompare:
      return evaluate_compare(expr, scope);
    case ExprKind::kAnd:
    case ExprKind::kOr:
      return evaluate_logic(expr, scope);
    case ExprKind::kConditional: {
      const std::optional<bool> condition = truth(evaluate(*expr.items[1], scope), expr.items[1]->span);
      return condition ? evaluate(*expr.items[*condition ? 0 : 2], scope) : poison();
    }
  }
  return Poison{};
}

Value Interp::evaluate_name(const Expr& expr, Scope& scope) {
  bool tainted = false;
  for (Scope* at = &scope; at != nullptr; at = at->parent) {
    if (at->is_class && at != &scope) { continue; }
    if (const Value* value = find_name(at->names, expr.name)) { return *value; }
    tainted = tainted || at->tainted;
  }
  if (const auto value = builtin_name(expr.name)) { return *value; }
  if (!tainted) {
    report_unknown_name(expr, scope);
    set_name(globals_->names, expr.name, Poison{});  // one finding a name
  }
  return Poison{};
}

void Interp::report_unknown_name(const Expr& expr, Scope& scope) {
  std::string suggestion;
  if (find_op(expr.name, Side::kIndexer) != nullptr) {
    suggestion = "add it to `from vortex_torch.indexer import ...`";
  } else if (find_op(expr.name, Side::kCache) != nullptr) {
    suggestion = "add it to `from vortex_torch.cache import ...`";
  } else if (expr.name == "vFlow" || expr.name == "vFlowMLA" || expr.name == "register") {
    suggestion = "add `from vortex_torch.flow import " + std::string(expr.name) + "`";
  } else if (module_exists(expr.name)) {
    suggestion = "add `import " + std::string(expr.name) + "`";
  } else if (reporter_.errors() < kMostSuggestions) {
    std::vector<std::string> known;
    for (Scope* at = &scope; at != nullptr; at = at->parent) { add_names(at->names, known); }
    if (const auto nearest = nearest_word(expr.name, known)) { suggestion = "did you mean " + quote(*nearest) + "?"; }
  }
  error(expr.span, {"unknown-name", quote(expr.name) + " is not defined", "", suggestion});
}

Value Interp::evaluate_attribute(const Expr& expr, Scope& scope) {
  return attribute(evaluate(*expr.items[0], scope), expr.name, expr.span);
}

Value Interp::attribute(const Value& object, std::string_view name, Span span) {
  if (is_poison(object)) { return Poison{}; }
  if (const auto* instance = std::get_if<Instance*>(&object)) { return instance_attribute(*instance, name, span); }
  if (const auto* type = std::get_if<ClassObject*>(&object)) {
    if (name == "__name__") { return make_string(std::string((*type)->name)); }
    if (const auto value = class_attribute(**type, 0, name, nullptr)) { return *value; }
  }
  if (const auto* proxy = std::get_if<SuperProxy>(&object)) {
    const auto& order = proxy->self->type->order;
    const auto at = static_cast<size_t>(std::find(order.begin(), order.end(), proxy->after) - order.begin());
    if (const auto value = class_attribute(*proxy->self->type, at + 1, name, proxy->self)) { return *value; }
    if (name == "__init__") { return Opaque{"object.__init__"}; }
    return error(span, {"unknown-attribute", "no base class has a method " + quote(name)});
  }
  if (const auto* op = std::get_if<OpObject*>(&object)) { return op_attribute(**op, name, span); }
  if (std::holds_alternative<Tensor>(object) || std::holds_alternative<FieldRef>(object)) {
    return tensor_attribute(object, name, span);
  }
  if (const auto* module = std::get_if<ModuleRef>(&object)) {
    if (auto value = module_member(module->name, name)) { return *value; }
    report_missing_member(module->name, name, span);
    return Poison{};
  }
  if (const auto* list = std::get_if<List>(&object); list != nullptr && (name == "append" || name == "extend")) {
    return ContainerMethod{name, list->object, nullptr};
  }
  if (const auto* dict = std::get_if<DictObject*>(&object);
      dict != nullptr && (name == "items" || name == "keys" || name == "values" || name == "get")) {
    return ContainerMethod{name, nullptr, *dict};
  }
  if (std::holds_alternative<Opaque>(object)) { return Opaque{"attribute"}; }
  if (const auto* special = std::get_if<Special>(&object); special != nullptr && *special == Special::kContext) {
    return error(span, {"context-read", "ctx has no values while a policy is traced", "pass it on: ctx=ctx"});
  }
  return error(span, {"unknown-attribute", std::string(kind_name(object)) + " has no attribute " + quote(name)});
}

// A class attribute found from position `from` of the resolution order on; functions become methods of `self`.
std::optional<Value> Interp::class_attribute(const ClassObject& type, size_t from, std::string_view name,
                                             Instance* self) {
  bool tainted = false;
  for (size_t i = from; i < type.order.size(); ++i) {
    Names& attributes = type.order[i]->attributes;
    tainted = tainted || find_name(attributes, "") != nullptr;
    const Value* value = find_name(attributes, name);
    if (value == nullptr) { continue; }
    const auto* function = std::get_if<FunctionObject*>(value);
    if (function != nullptr && self != nullptr && !(*function)->is_static) { return BoundMethod{*function, self}; }
    return *value;
  }
  if (tainted) { return Poison{}; }
  return std::nullopt;
}

Value Interp::instance_attribute(Instance* object, std::string_view name, Span span) {
  if (const Value* value = find_name(object->attributes, name)) { return *value; }
  if (const auto value = class_attribute(*object->type, 0, name, object)) { return *value; }
  if (name == "__class__") { return object->type; }
  // The statement that would have set it may have been lost.
  if (find_name(object->attributes, "") != nullptr || globals_->tainted) { return Poison{}; }
  std::vector<std::string> known;
  if (reporter_.errors() < kMostSuggestions) {
    add_names(object->attributes, known);
    for (ClassObject* type : object->type->order) { add_names(type->attributes, known); }
  }
  const auto nearest = nearest_word(name, known);
  return error(span, {"unknown-attribute", "self has no attribute " + quote(name), "",
                      nearest ? "did you mean " + quote(*nearest) + "?"
                              : "create it in __init__: self." + std::string(name) + " = ..."});
}

Value Interp::op_attribute(const OpObject& op, std::string_view name, Span span) {
  for (const ArgInfo& info : op.info->args) {
    if (info.name != name) { continue; }
    const double value = get_arg(op.attrs, info.arg);
    if (arg_is_integer(info.arg)) { return static_cast<int64_t>(value); }
    return value;
  }
  return error(span, {"unknown-attribute", std::string(op.info->name) + " has no attribute " + quote(name), "",
                      "call it: self.op(x, ctx=ctx)"});
}

// Tensors of a policy have no methods. The names are those of eager-mode habits, each with its operation.
Value Interp::tensor_attribute(const Value& tensor, std::string_view name, Span span) {
  struct Habit {
    std::string_view method;
    std::string_view remedy;
  };
  static constexpr Habit kHabits[] = {
      {"mean", "self.mean = Mean(dim=1) in __init__, then self.mean(x, ctx=ctx)"},
      {"sum", "self.sum = Sum(dim=2) in __init__, then self.sum(x, ctx=ctx)"},
      {"max", "self.max = Max(dim=1) in __init__, then self.max(x, ctx=ctx)"},
      {"min", "self.min = Min(dim=1) in __init__, then self.min(x, ctx=ctx)"},
      {"norm", "self.norm = L2Norm(dim=2) in __init__, then self.norm(x, ctx=ctx)"},
      {"abs", "self.abs = Abs() in __init__, then self.abs(x, ctx=ctx)"},
      {"exp", "self.exp = Exp() in __init__, then self.exp(x, ctx=ctx)"},
      {"softmax", "self.softmax = Softmax(dim=0, scale=...) in __init__, then y = self.softmax(x, ctx=ctx)"},
      {"matmul", "self.gemm = GeMM() in __init__, then self.gemm(x, y, ctx=ctx), which is y times x transposed"},
      {"transpose", "self.transpose = Transpose() in __init__, then self.transpose(x, ctx=ctx)"},
      {"T", "self.transpose = Transpose() in __init__, then self.transpose(x, ctx=ctx)"},
      {"view", "self.reshape = Reshape(-1, rows, cols) in __init__, then self.reshape(x, ctx=ctx)"},
      {"reshape", "self.reshape = Reshape(-1, rows, cols) in __init__, then self.reshape(x, ctx=ctx)"},
      {"shape", "sizes are known when ops are created: use block_size and head_dim in create_cache"},
  };
  std::string suggestion = "compute with operations of vortex_torch.indexer and vortex_torch.cache";
  for (const Habit& habit : kHabits) {
    if (habit.method == name) { suggestion = habit.remedy; }
  }
  return error(span, {"tensor-method",
                      "a " + std::string(kind_name(tensor)) + " has no " + quote(name) +
                          ": tensors are only operands of operations",
                      "", suggestion});
}

Value Interp::evaluate_subscript(const Expr& expr, Scope& scope) {
  const Value object = evaluate(*expr.items[0], scope);
  const Expr& index = *expr.items[1];
  if (std::holds_alternative<Opaque>(object)) {
    return object;  // Dict[str, Tensor]
  }
  if (std::holds_alternative<Tensor>(object) || std::holds_alternative<FieldRef>(object)) {
    return error(expr.span, {"tensor-index", "tensors cannot be indexed or sliced", "",
                             "MaskSlice and Multiply keep positions along dim 1 or 2; reductions combine them"});
  }
  if (index.kind == ExprKind::kSlice) { return evaluate_slice(object, index, scope); }
  const Value key = evaluate(index, scope);
  if (is_poison(object) || is_poison(key)) { return Poison{}; }
  if (const auto* special = std::get_if<Special>(&object); special != nullptr && *special == Special::kCache) {
    return field_reference(key, index.span);
  }
  if (const auto* dict = std::get_if<DictObject*>(&object)) {
    if (const Value* value = dict_value(**dict, key)) { return *value; }
    return error(index.span, {"unknown-key", "the dict has no key " + quote(value_text(key).substr(0, 80))});
  }
  const auto* number = std::get_if<int64_t>(&key);
  const bool sequence = std::holds_alternative<List>(object) || std::holds_alternative<Tuple>(object) ||
                        std::holds_alternative<Range>(object);
  if (!sequence || number == nullptr) {
    return type_error(expr.span,
                      "cannot index " + std::string(kind_name(object)) + " with " + std::string(kind_name(key)));
  }
  return item_at(object, *number, index.span);
}

Value Interp::item_at(const Value& sequence, int64_t index, Span span) {
  if (const auto* range = std::get_if<Range>(&sequence)) {
    auto items = elements(*range, span);
    const Value list = items ? make_list(std::move(*items), span) : poison();
    return is_poison(list) ? list : item_at(list, index, span);
  }
  const auto* list = std::get_if<List>(&sequence);
  const std::vector<Value>& items = list != nullptr ? list->object->items : std::get<Tuple>(sequence).object->items;
  const auto size = static_cast<int64_t>(items.size());
  if (index < -size || index >= size) {
    return error(span,
                 {"index", "index " + std::to_string(index) + " is outside the " + std::to_string(size) + " items"});
  }
  return items[static_cast<size_t>(index < 0 ? index + size : index)];
}

Value Interp::evaluate_slice(const Value& object, const Expr& slice, Scope& scope) {
  int64_t bounds[3] = {0, INT64_MAX, 1};
  for (size_t i = 0; i < 3; ++i) {
    if (slice.items[i] == nullptr) { continue; }
    const Value value = evaluate(*slice.items[i], scope);
    if (is_poison(value)) { return Poison{}; }
    if (std::holds_alternative<NoneValue>(value)) { continue; }
    int64_t storage = 0;
    const int64_t* bound = as_integer(value, storage);
    if (bound == nullptr) { return type_error(slice.items[i]->span, "slice bounds must be whole numbers"); }
    bounds[i] = *bound;
  }
  if (is_poison(object)) { return Poison{}; }
  if (bounds[2] < 1) { return error(slice.span, {"unsupported-syntax", "a slice's step must be at least 1"}); }
  if (const auto* text = std::get_if<const std::string*>(&object)) {
    const auto size = static_cast<int64_t>((*text)->size());
    const int64_t begin = clamp_bound(bounds[0], size);
    const int64_t end = clamp_bound(bounds[1], size);
    return make_string(begin < end ? (*text)->substr(static_cast<size_t>(begin), static_cast<size_t>(end - begin))
                                   : "");
  }
  const auto items = elements(object, slice.span);
  if (!items) { return Poison{}; }
  const auto size = static_cast<int64_t>(items->size());
  std::vector<Value> kept;
  const int64_t end = clamp_bound(bounds[1], size);
  for (int64_t i = clamp_bound(bounds[0], size); i < end; i += std::min(bounds[2], size)) {
    kept.push_back((*items)[static_cast<size_t>(i)]);
  }
  return std::holds_alternative<Tuple>(object) ? make_tuple(std::move(kept), slice.span)
                                               : make_list(std::move(kept), slice.span);
}

Value Interp::field_reference(const Value& key, Span span) {
  const auto* name = std::get_if<const std::string*>(&key);
  if (name == nullptr) { return type_error(span, "fields are named by strings: cache[\"name\"]"); }
  std::vector<std::string> known;
  for (size_t i = 0; i < program_->fields.size(); ++i) {
    if (program_->fields[i].name == **name) { return FieldRef{*side_, static_cast<int>(i)}; }
    known.push_back(program_->fields[i].name);
  }
  if (!fields_complete_) { return Poison{}; }
  const auto nearest = nearest_word(**name, known);
  return error(span, {"unknown-field", "the cache has no field " + quote((*name)->substr(0, 80)), join(known, ", "),
                      nearest ? "did you mean " + quote(*nearest) + "?"
                              : "declare it in create_cache: return {\"name\": (rows, cols)}"});
}

Value Interp::evaluate_items(const Expr& expr, Scope& scope) {
  std::vector<Value> items;
  for (const Expr* item : expr.items) { items.push_back(evaluate(*item, scope)); }
  return expr.kind == ExprKind::kTuple ? make_tuple(std::move(items), expr.span)
                                       : make_list(std::move(items), expr.span);
}

void Interp::set_dict(DictObject& dict, const Value& key, const Value& value, Span span) {
  if (is_poison(key)) { return; }
  if (Value* old = dict_value(dict, key)) {
    *old = value;
    return;
  }
  if (!grow(1, span)) { return; }
  if (const auto* text = std::get_if<const std::string*>(&key)) {
    dict.texts.emplace(**text, dict.items.size());
  } else if (const auto* integer = std::get_if<int64_t>(&key)) {
    dict.integers.emplace(*integer, dict.items.size());
  } else {
    dict.others = true;
  }
  dict.items.emplace_back(key, value);
}

Value* Interp::dict_value(DictObject& dict, const Value& key) {
  charge(key);
  if (const auto* text = std::get_if<const std::string*>(&key)) {
    const auto at = dict.texts.find(**text);
    return at == dict.texts.end() ? nullptr : &dict.items[at->second].second;
  }
  const auto* integer = std::get_if<int64_t>(&key);
  if (integer != nullptr && !dict.others) {
    const auto at = dict.integers.find(*integer);
    return at == dict.integers.end() ? nullptr : &dict.items[at->second].second;
  }
  for (auto& [known, value] : dict.items) {
    if (equal(known, key)) { return &value; }
  }
  return nullptr;
}

Value Interp::evaluate_dict(const Expr& expr, Scope& scope) {
  DictObject& dict = dicts_.emplace_back();
  for (size_t i = 0; i + 1 < expr.items.size(); i += 2) {
    const Value key = evaluate(*expr.items[i], scope);
    set_dict(dict, key, evaluate(*expr.items[i + 1], scope), expr.span);
  }
  return &dict;
}

Value Interp::evaluate_comprehension(const Expr& expr, Scope& scope) {
  Scope& inner = make_scope(&scope);
  inner.function = scope.function;
  inner.self = scope.self;
  const bool is_dict = expr.kind == ExprKind::kDictComp;
  DictObject* dict = is_dict ? &dicts_.emplace_back() : nullptr;
  ListObject* list = is_dict ? nullptr : &lists_.emplace_back();
  if (!run_loops(expr, 0, inner, list, dict)) { return Poison{}; }
  return is_dict ? Value(dict) : Value(List{list});
}

// False when what is built cannot be known.
bool Interp::run_loops(const Expr& expr, size_t level, Scope& scope, ListObject* list, DictObject* dict) {
  if (level == expr.loops.size()) {
    if (dict != nullptr) {
      const Value key = evaluate(*expr.items[0], scope);
      set_dict(*dict, key, evaluate(*expr.items[1], scope), expr.span);
    } else if (grow(1, expr.span)) {
      list->items.push_back(evaluate(*expr.items[0], scope));
    }
    return true;
  }
  const Loop& loop = expr.loops[level];
  // Python evaluates the first iterable outside of the comprehension.
  Scope& outside = level == 0 ? *scope.parent : scope;
  const auto items = elements(evaluate(*loop.iterable, outside), loop.iterable->span);
  if (!items) { return false; }
  for (const Value& item : *items) {
    if (!step(expr.span)) { return false; }
    assign(*loop.target, item, scope);
    bool keep = true;
    for (const Expr* condition : loop.conditions) {
      const std::optional<bool> holds = truth(evaluate(*condition, scope), condition->span);
      if (!holds) { return false; }
      keep = keep && *holds;
    }
    if (keep && !run_loops(expr, level + 1, scope, list, dict)) { return false; }
  }
  return true;
}

Value Interp::evaluate_fstring(const Expr& expr, Scope& scope) {
  std::string text;
  for (const Expr* part : expr.items) {
    const Value value = evaluate(*part, scope);
    if (is_poison(value)) { return Poison{}; }
    text += value_text(value);
  }
  return make_string(std::move(text));
}

// "{x}" and the number formats "{x:03d}", "{x:.2f}".
Value Interp::evaluate_formatted(const Expr& expr, Scope& scope) {
  const Value value = evaluate(*expr.items[0], scope);
  if (expr.text.empty() || is_poison(value)) { return value; }
  const char type = expr.text.back();
  const std::string flags = expr.text.substr(0, expr.text.size() - 1);
  double number = 0;
  int64_t storage = 0;
  const bool plain = flags.size() <= 4 && flags.find_first_not_of("0123456789.") == std::string::npos;
  char buffer[512];
  if (plain && type == 'd' && as_integer(value, storage) != nullptr) {
    std::snprintf(buffer, sizeof(buffer), ("%" + flags + "lld").c_str(),
                  static_cast<long long>(*as_integer(value, storage)));
  } else if (plain && (type == 'f' || type == 'g' || type == 'e') && as_number(value, number)) {
    std::snprintf(buffer, sizeof(buffer), ("%" + flags + type).c_str(), number);
  } else {
    return error(expr.span,
                 {"unsupported-format",
                  "format " + quote(expr.text.substr(0, 40)) + " is not supported for " + std::string(kind_name(value)),
                  "d, f, g and e with a width and a precision"});
  }
  return make_string(buffer);
}

}  // namespace vortex::vflow
