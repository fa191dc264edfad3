#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/vflow/trace/value.h"

namespace vortex::vflow {

// Keyword and positional arguments of a call, evaluated.
struct Arguments {
  struct Named {
    std::string_view name;
    Span span;
    Value value;
  };
  std::vector<Value> values;
  std::vector<Span> spans;
  std::vector<Named> named;
};

struct RegisteredClass {
  std::string_view name;
  ClassObject* type = nullptr;
  Span span;  // of the decorator
};

// Where the nodes of a graph came from, by node index.
struct GraphSpans {
  std::vector<Span> cache;
  std::vector<Span> indexer;
};

// A small evaluator of the Python subset that builds a Program: a policy's control flow runs here, once. Every mistake
// is reported where it stands and leaves a Poison value, so that evaluation goes on and finds the independent ones.
// Steps, nesting, list sizes and text are bounded; past a bound evaluation reports it and stops.
class Interp {
 public:
  Interp(Reporter& reporter, const Module& module);

  // Executes the module: imports, constants, classes and their registration.
  void run_module();
  const std::vector<RegisteredClass>& registered() const { return registered_; }

  // Calls type() and methods of the result.
  Instance* instantiate(ClassObject* type, Span span);
  FunctionObject* find_method(Instance* object, std::string_view name);
  Value call_method(Instance* object, FunctionObject* method, std::vector<Value> values, Span span);

  // Tells that a declaration of a field was refused: an unknown field is then no finding of its own.
  void lose_fields() { fields_complete_ = false; }
  // From here on, operations of `side` that are called become nodes of `program`; none: calling one is a mistake.
  void trace_into(Program* program, GraphSpans* spans, std::optional<Side> side);
  // True once a bound was hit.
  bool stopped() const { return stopped_; }
  bool derives_from(const ClassObject* type, std::string_view base) const;

  const std::string* make_string(std::string text);

 private:
  enum class Flow : uint8_t { kNext, kReturn, kBreak, kContinue };

  // Statements (interp.cpp).
  Flow execute_block(const std::vector<Stmt*>& body, Scope& scope);
  Flow execute(const Stmt& stmt, Scope& scope);
  void execute_import(const Stmt& stmt, Scope& scope);
  void execute_from_import(const Stmt& stmt, Scope& scope);
  void execute_class(const Stmt& stmt, Scope& scope);
  void execute_function(const Stmt& stmt, Scope& scope);
  void execute_assign(const Stmt& stmt, Scope& scope);
  void execute_augmented(const Stmt& stmt, Scope& scope);
  void execute_assert(const Stmt& stmt, Scope& scope);
  void execute_raise(const Stmt& stmt, Scope& scope);
  void execute_expression(const Stmt& stmt, Scope& scope);
  Flow execute_if(const Stmt& stmt, Scope& scope);
  Flow execute_for(const Stmt& stmt, Scope& scope);
  void taint_names(const std::vector<Stmt*>& body, Scope& scope);
  void assign(const Expr& target, const Value& value, Scope& scope);
  void assign_attribute(const Expr& target, const Value& value, Scope& scope);
  void assign_subscript(const Expr& target, const Value& value, Scope& scope);
  void check_annotation(const Expr* annotation, Scope& scope);
  bool linearize(ClassObject* type, const std::vector<ClassObject*>& bases);
  Value apply_decorators(const Stmt& stmt, Value value, Scope& scope);

  // Modules (modules.cpp).
  bool module_exists(std::string_view name) const;
  std::optional<Value> module_member(std::string_view module, std::string_view name);
  void report_missing_module(std::string_view name, Span span);
  void report_missing_member(std::string_view module, std::string_view name, Span span);
  std::optional<Value> builtin_name(std::string_view name);

  // Expressions (interp_expr.cpp, interp_operators.cpp).
  Value evaluate(const Expr& expr, Scope& scope);
  Value evaluate_kind(const Expr& expr, Scope& scope);
  void report_unknown_name(const Expr& expr, Scope& scope);
  Value evaluate_name(const Expr& expr, Scope& scope);
  Value evaluate_attribute(const Expr& expr, Scope& scope);
  Value attribute(const Value& object, std::string_view name, Span span);
  Value instance_attribute(Instance* object, std::string_view name, Span span);
  std::optional<Value> class_attribute(const ClassObject& type, size_t from, std::string_view name, Instance* self);
  Value op_attribute(const OpObject& op, std::string_view name, Span span);
  Value tensor_attribute(const Value& tensor, std::string_view name, Span span);
  Value evaluate_subscript(const Expr& expr, Scope& scope);
  Value item_at(const Value& sequence, int64_t index, Span span);
  Value evaluate_slice(const Value& object, const Expr& slice, Scope& scope);
  Value field_reference(const Value& key, Span span);
  Value evaluate_items(const Expr& expr, Scope& scope);
  Value evaluate_dict(const Expr& expr, Scope& scope);
  Value evaluate_comprehension(const Expr& expr, Scope& scope);
  bool run_loops(const Expr& expr, size_t level, Scope& scope, ListObject* list, DictObject* dict);
  Value evaluate_formatted(const Expr& expr, Scope& scope);
  Value evaluate_fstring(const Expr& expr, Scope& scope);
  Value evaluate_compare(const Expr& expr, Scope& scope);
  Value evaluate_logic(const Expr& expr, Scope& scope);
  Value unary(Operator op, const Value& operand, Span span);
  Value binary(Operator op, const Value& left, const Value& right, Span span);
  Value integer_binary(Operator op, int64_t left, int64_t right, Span span);
  Value float_binary(Operator op, double left, double right, Span span);
  Value sequence_binary(Operator op, const Value& left, const Value& right, Span span);
  std::optional<bool> compare(Operator op, const Value& left, const Value& right, Span span);
  std::optional<bool> contains(const Value& item, const Value& container, Span span);
  std::optional<bool> truth(const Value& value, Span span);
  // The elements of an iterable; nothing after a report.
  std::optional<std::vector<Value>> elements(const Value& value, Span span);
  void set_dict(DictObject& dict, const Value& key, const Value& value, Span span);
  Value* dict_value(DictObject& dict, const Value& key);  // null: there is no such key

  // Calls (interp_call.cpp, builtins.cpp).
  Value evaluate_call(const Expr& expr, Scope& scope);
  Value call(const Value& callee, Arguments& arguments, const Expr& expr, Scope& scope);
  Value call_function(FunctionObject& function, Instance* self, Arguments& arguments, Span span);
  bool bind_parameters(const FunctionObject& function, Instance* self, Arguments& arguments, Span span, Scope& scope);
  Value call_class(ClassObject* type, Arguments& arguments, Span span);
  Value call_builtin(Builtin builtin, Arguments& arguments, Span span, Scope& scope);
  Value call_conversion(Builtin builtin, const Value& value, Span span);
  Value length_of(const Value& value, Span span);
  Value call_math(Builtin builtin, Arguments& arguments, Span span);
  Value call_extremum(Builtin builtin, Arguments& arguments, Span span);
  Value call_range(Arguments& arguments, Span span);
  Value call_iteration(Builtin builtin, Arguments& arguments, Span span);
  Value call_container(const ContainerMethod& method, Arguments& arguments, Span span);
  Value call_super(Arguments& arguments, Span span, Scope& scope);
  Value call_register(Arguments& arguments, Span span);
  Value register_class(const Registration& registration, Arguments& arguments, Span span);
  bool need_arguments(const Arguments& arguments, size_t least, size_t most, std::string_view name, Span span);

  // Operations (op_construct.cpp, op_trace.cpp).
  Value construct_op(const OpClass& op_class, Arguments& arguments, Span span);
  bool set_op_argument(OpObject& op, const ArgInfo& info, const Value& value, Span span);
  bool set_number(OpObject& op, const ArgInfo& info, const Value& value, Span span);
  bool set_axes(OpObject& op, const Value& value, Span span);
  bool set_constant(OpObject& op, const ArgInfo& info, const Value& value, Span span);
  bool set_layer_lookup(OpObject& op, const Value& value, Span span);
  bool flatten(const Value& value, size_t depth, Constant& constant, Span span);
  Value trace_op(OpObject& op, Arguments& arguments, Span span);
  bool may_trace(OpObject& op, Span span);
  bool bind_operands(const OpObject& op, Arguments& arguments, Span span, std::vector<const Value*>& bound,
                     std::vector<Span>& spans);
  std::optional<int> operand_node(const Value& value, Span span, const OpObject& op);
  std::optional<int> table_node(const Value& value, Span span);
  std::optional<int> field_node(int field, Span span);
  std::optional<int> destination(const Value& value, Span span, const OpObject& op);
  Value finish_cache_op(const OpObject& op, int node, const Value& output, Span output_span);
  bool claim_field(int field, int node, Span span);
  std::optional<int> append(const OpObject& op, Op kind, std::vector<int> inputs, Attrs attrs, Span span);
  Graph& graph();

  // Bookkeeping (interp.cpp).
  Value poison() const { return Poison{}; }
  Value error(Span span, Finding finding);
  Value type_error(Span span, std::string message, std::string allowed = {}, std::string suggestion = {});
  bool step(Span span);
  void charge(const Value& value) { steps_ += walk_cost(value); }
  bool equal(const Value& a, const Value& b);
  bool stop(Span span, std::string message);
  bool grow(size_t items, Span span);
  bool grow(const Range& range, Span span);
  Value make_list(std::vector<Value> items, Span span);
  Value make_tuple(std::vector<Value> items, Span span);
  Scope& make_scope(Scope* parent);

  Reporter& reporter_;
  const Module& module_;
  Scope* globals_ = nullptr;
  bool lazy_annotations_ = false;

  std::deque<std::string> strings_;
  std::deque<ListObject> lists_;
  std::deque<DictObject> dicts_;
  std::deque<OpObject> ops_;
  std::deque<ClassObject> classes_;
  std::deque<Instance> instances_;
  std::deque<FunctionObject> functions_;
  std::deque<Scope> scopes_;

  std::vector<RegisteredClass> registered_;
  ClassObject* vflow_ = nullptr;
  ClassObject* vflow_mla_ = nullptr;

  int64_t steps_ = 0;
  int64_t items_ = 0;
  int64_t text_bytes_ = 0;
  int depth_ = 0;
  bool stopped_ = false;
  Value return_value_ = NoneValue{};

  Program* program_ = nullptr;
  GraphSpans* spans_ = nullptr;
  std::optional<Side> side_;
  bool fields_complete_ = true;
  std::vector<int> field_nodes_;    // the kField node of each field on this side, -1 when not read yet
  std::vector<int> written_nodes_;  // what a field was written with in this cache pass; -1 nothing, -2 a constant
};

}  // namespace vortex::vflow
