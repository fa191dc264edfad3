#include <algorithm>

#include "base/escape.h"
#include "base/text.h"
#include "core/vflow/quote.h"
#include "core/vflow/trace/interp.h"

namespace vortex::vflow {
namespace {

constexpr size_t kMaxRegistered = 64;

}  // namespace

Value Interp::evaluate_call(const Expr& expr, Scope& scope) {
  const Value callee = evaluate(*expr.items[0], scope);
  Arguments arguments;
  for (size_t i = 1; i < expr.items.size(); ++i) {
    arguments.values.push_back(evaluate(*expr.items[i], scope));
    arguments.spans.push_back(expr.items[i]->span);
  }
  for (const Keyword& keyword : expr.keywords) {
    arguments.named.push_back({keyword.name, keyword.span, evaluate(*keyword.value, scope)});
  }
  if (is_poison(callee)) { return Poison{}; }
  return call(callee, arguments, expr, scope);
}

Value Interp::call(const Value& callee, Arguments& arguments, const Expr& expr, Scope& scope) {
  const Span span = expr.span;
  if (const auto* op = std::get_if<OpObject*>(&callee)) { return trace_op(**op, arguments, span); }
  if (const auto* op_class = std::get_if<OpClass>(&callee)) { return construct_op(*op_class, arguments, span); }
  if (const auto* method = std::get_if<BoundMethod>(&callee)) {
    return call_function(*method->function, method->self, arguments, span);
  }
  if (const auto* function = std::get_if<FunctionObject*>(&callee)) {
    return call_function(**function, nullptr, arguments, span);
  }
  if (const auto* builtin = std::get_if<Builtin>(&callee)) { return call_builtin(*builtin, arguments, span, scope); }
  if (const auto* type = std::get_if<ClassObject*>(&callee)) { return call_class(*type, arguments, span); }
  if (const auto* method = std::get_if<ContainerMethod>(&callee)) { return call_container(*method, arguments, span); }
  if (const auto* registration = std::get_if<Registration>(&callee)) {
    return register_class(*registration, arguments, span);
  }
  if (const auto* opaque = std::get_if<Opaque>(&callee); opaque != nullptr && opaque->name == "object.__init__") {
    return NoneValue{};
  }
  return type_error(expr.items.empty() ? span : expr.items[0]->span,
                    std::string(kind_name(callee)) + " cannot be called");
}

Value Interp::call_function(FunctionObject& function, Instance* self, Arguments& arguments, Span span) {
  if (!step(span)) { return Poison{}; }
  Scope& scope = make_scope(function.closure);
  scope.function = &function;
  if (!bind_parameters(function, self, arguments, span, scope)) { return Poison{}; }
  ++depth_;
  const Flow flow = execute_block(function.definition->body, scope);
  --depth_;
  if (flow == Flow::kReturn) { return std::exchange(return_value_, NoneValue{}); }
  // A function that lost a statement may have lost its return.
  return scope.tainted ? poison() : Value(NoneValue{});
}

bool Interp::bind_parameters(const FunctionObject& function, Instance* self, Arguments& arguments, Span span,
                             Scope& scope) {
  const std::vector<Param>& params = function.definition->params;
  const std::string name = quote(function.definition->name);
  std::vector<Value> values;
  if (self != nullptr) { values.push_back(self); }
  values.insert(values.end(), arguments.values.begin(), arguments.values.end());
  if (values.size() > params.size()) {
    error(span, {"arguments", name + " takes " + std::to_string(params.size()) + " arguments" +
                                  (self != nullptr ? " with self" : "") + ", got " + std::to_string(values.size())});
    return false;
  }
  if (!params.empty() && !values.empty()) {
    if (auto* instance = std::get_if<Instance*>(&values[0])) { scope.self = *instance; }
  }
  for (const Arguments::Named& named : arguments.named) {
    const auto at = std::find_if(params.begin(), params.end(), [&](const Param& p) { return p.name == named.name; });
    const auto index = static_cast<size_t>(at - params.begin());
    if (at == params.end() || index < values.size()) {
      error(named.span,
            {"arguments",
             name + (at == params.end() ? " has no parameter " : " gets twice the parameter ") + quote(named.name)});
      return false;
    }
  }
  const size_t first_default = params.size() - function.defaults.size();
  for (size_t i = 0; i < params.size(); ++i) {
    const auto named = std::find_if(arguments.named.begin(), arguments.named.end(),
                                    [&](const Arguments::Named& n) { return n.name == params[i].name; });
    if (i < values.size()) {
      scope.names.add(params[i].name, values[i]);
    } else if (named != arguments.named.end()) {
      scope.names.add(params[i].name, named->value);
    } else if (i >= first_default) {
      scope.names.add(params[i].name, function.defaults[i - first_default]);
    } else {
      error(span, {"arguments", name + " misses its argument " + quote(params[i].name)});
      return false;
    }
  }
  return true;
}

Instance* Interp::instantiate(ClassObject* type, Span span) {
  Arguments arguments;
  const Value value = call_class(type, arguments, span);
  const auto* instance = std::get_if<Instance*>(&value);
  return instance == nullptr ? nullptr : *instance;
}

Value Interp::call_class(ClassObject* type, Arguments& arguments, Span span) {
  if (!step(span)) { return Poison{}; }
  Instance& instance = instances_.emplace_back();
  instance.type = type;
  const auto constructor = class_attribute(*type, 0, "__init__", &instance);
  if (const auto* method = constructor ? std::get_if<BoundMethod>(&*constructor) : nullptr) {
    // Without all of __init__ a missing attribute is a consequence.
    const int before = reporter_.errors();
    call_function(*method->function, method->self, arguments, span);
    if (reporter_.errors() != before) { set_name(instance.attributes, "", Poison{}); }
  } else if (!arguments.values.empty() || !arguments.named.empty()) {
    return error(span, {"arguments", quote(type->name) + " takes no arguments"});
  }
  return &instance;
}

FunctionObject* Interp::find_method(Instance* object, std::string_view name) {
  const auto value = class_attribute(*object->type, 0, name, object);
  const auto* method = value ? std::get_if<BoundMethod>(&*value) : nullptr;
  return method == nullptr ? nullptr : method->function;
}

Value Interp::call_method(Instance* object, FunctionObject* method, std::vector<Value> values, Span span) {
  Arguments arguments;
  arguments.spans.assign(values.size(), span);
  arguments.values = std::move(values);
  return call_function(*method, object, arguments, span);
}

bool Interp::derives_from(const ClassObject* type, std::string_view base) const {
  return std::any_of(type->order.begin(), type->order.end(),
                     [&](const ClassObject* c) { return c->name == base && (c == vflow_ || c == vflow_mla_); });
}

// super(): the class whose body defines the running method, and the method's self.
Value Interp::call_super(Arguments& arguments, Span span, Scope& scope) {
  const Scope* at = &scope;
  while (at != nullptr && at->function == nullptr) { at = at->parent; }
  if (at == nullptr || at->function->owner == nullptr || at->self == nullptr) {
    return error(span, {"super", "super() only works inside a method"});
  }
  if (arguments.values.empty()) { return SuperProxy{at->self, at->function->owner}; }
  const auto* type = std::get_if<ClassObject*>(&arguments.values[0]);
  if (arguments.values.size() != 2 || type == nullptr) {
    return error(span, {"super", "write super() without arguments"});
  }
  return SuperProxy{at->self, *type};
}

Value Interp::call_register(Arguments& arguments, Span span) {
  if (!need_arguments(arguments, 1, 1, "register", span)) { return Poison{}; }
  if (is_poison(arguments.values[0])) { return Poison{}; }
  const auto* name = std::get_if<const std::string*>(&arguments.values[0]);
  if (name == nullptr || (*name)->empty()) {
    return type_error(arguments.spans[0], "register takes the policy's name as a string", "@register(\"my_policy\")");
  }
  if (!is_plain_name(**name)) {
    return error(arguments.spans[0],
                 {"name", "the policy's name is " + quote(clipped(**name, 80)) + ", which is not plain",
                  std::string(kPlainNames), "@register(\"my_policy\")"});
  }
  return Registration{*name};
}

Value Interp::register_class(const Registration& registration, Arguments& arguments, Span span) {
  if (!need_arguments(arguments, 1, 1, "register(...)", span)) { return Poison{}; }
  auto* const* type = std::get_if<ClassObject*>(&arguments.values[0]);
  if (type == nullptr) {
    return type_error(span, "register decorates a class, got " + std::string(kind_name(arguments.values[0])));
  }
  if (!derives_from(*type, "vFlow") && !derives_from(*type, "vFlowMLA")) {
    if (find_name((*type)->attributes, "") == nullptr) {
      error((*type)->span, {"not-a-flow", "a registered class must derive from vFlow or vFlowMLA", "",
                            "class " + std::string((*type)->name) + "(vFlow):"});
    }
    return *type;
  }
  for (const RegisteredClass& known : registered_) {
    if (known.name == *registration.name) {
      error(span,
            {"registered-twice", "the name " + quote(known.name) + " is registered twice", "", "choose another name"});
      return *type;
    }
  }
  if (registered_.size() == kMaxRegistered) {
    stop(span, "a module can register at most " + std::to_string(kMaxRegistered) + " policies");
    return *type;
  }
  registered_.push_back({*registration.name, *type, span});
  return *type;
}

Value Interp::call_container(const ContainerMethod& method, Arguments& arguments, Span span) {
  const bool takes = method.name == "append" || method.name == "extend" || method.name == "get";
  if (!need_arguments(arguments, takes ? 1 : 0, method.name == "get" ? 2 : takes ? 1 : 0, method.name, span)) {
    return Poison{};
  }
  if (method.list != nullptr) {
    std::vector<Value> items = {arguments.values[0]};
    if (method.name == "extend") {
      auto more = elements(arguments.values[0], span);
      if (!more) { return Poison{}; }
      items = std::move(*more);
    }
    if (!grow(items.size(), span)) { return Poison{}; }
    method.list->items.insert(method.list->items.end(), items.begin(), items.end());
    return NoneValue{};
  }
  if (method.name == "get") {
    if (const Value* value = dict_value(*method.dict, arguments.values[0])) { return *value; }
    return arguments.values.size() > 1 ? arguments.values[1] : Value(NoneValue{});
  }
  std::vector<Value> items;
  for (const auto& [key, value] : method.dict->items) {
    items.push_back(method.name == "keys" ? key : method.name == "values" ? value : make_tuple({key, value}, span));
  }
  return make_list(std::move(items), span);
}

bool Interp::need_arguments(const Arguments& arguments, size_t least, size_t most, std::string_view name, Span span) {
  const size_t count = arguments.values.size();
  if (count >= least && count <= most && arguments.named.empty()) { return true; }
  const std::string range =
      least == most ? std::to_string(least) : std::to_string(least) + " to " + std::to_string(most);
  error(span, {"arguments", std::string(name) + " takes " + range + " positional arguments here"});
  return false;
}

}  // namespace vortex::vflow
