#include <algorithm>

#include "base/text.h"
#include "core/vflow/quote.h"
#include "core/vflow/trace/interp.h"

namespace vortex::vflow {
namespace {

// Of one side: far above any policy. Bounds what a loop can build, and with it the time that a tree distance can take.
constexpr int kMaxNodes = 128;
constexpr int kNotWritten = -1;
constexpr int kFilled = -2;

// Names of a call's tensors and engine arguments, in positional order, without ctx.
std::vector<std::string_view> call_names(const OpInfo& info, Side side) {
  if (info.op == Op::kFill) { return {"x", "loc"}; }
  if (info.op == Op::kLoad) { return {"x"}; }
  if (info.op == Op::kUnion) { return {"i_0", "i_1", "o"}; }
  if (info.op == Op::kSave || is_terminal(info.op)) { return {"x", "o"}; }
  std::vector<std::string_view> names = {"x"};
  if (info.arity == 2) { names.emplace_back("y"); }
  if (side == Side::kCache) {
    names.emplace_back("output");
    names.emplace_back("loc");
  }
  return names;
}

// "op(x, y, output, loc=loc, ctx=ctx)"
std::string call_form(const OpInfo& info, Side side) {
  std::string form = "op(";
  for (std::string_view name : call_names(info, side)) {
    form += name == "loc" ? "loc=loc, " : std::string(name) + ", ";
  }
  return form + "ctx=ctx)";
}

std::string_view method_of(Side side) { return side == Side::kCache ? "forward_cache" : "forward_indexer"; }

}  // namespace

void Interp::trace_into(Program* program, GraphSpans* spans, std::optional<Side> side) {
  program_ = program;
  spans_ = spans;
  side_ = side;
  const size_t fields = program == nullptr ? 0 : program->fields.size();
  field_nodes_.assign(fields, kNotWritten);
  written_nodes_.assign(fields, kNotWritten);
}

Graph& Interp::graph() { return *side_ == Side::kCache ? program_->cache : program_->indexer; }

std::optional<int> Interp::append(const OpObject& op, Op kind, std::vector<int> inputs, Attrs attrs, Span span) {
  if (graph().nodes.size() >= kMaxNodes) {
    stop(span, "the program has more than " + std::to_string(kMaxNodes) + " operations");
    return std::nullopt;
  }
  const SourcePos pos = reporter_.source().position(span.begin);
  const Result<int> node = append_node(*program_, *side_, kind, std::move(inputs), attrs, op.reshape_to, pos);
  if (!node.ok()) {
    std::string message = node.error().message;
    const int created = reporter_.source().position(op.created.begin).line;
    if (created != pos.line) { message += " (created in line " + std::to_string(created) + ")"; }
    error(span, {"shape-mismatch", message, std::string(op.info->shape_rule), node.error().hint});
    return std::nullopt;
  }
  (*side_ == Side::kCache ? spans_->cache : spans_->indexer).push_back(span);
  return *node;
}

// Side, and one call only: an instance keeps the buffer of its last call.
bool Interp::may_trace(OpObject& op, Span span) {
  const std::string name(op.info->name);
  if (op.info->op == Op::kParameter) {
    error(span, {"not-callable", "a Parameter is not called", "give it to GeMM as its second operand"});
    return false;
  }
  if (!side_) {
    error(span, {"call-outside-forward", "operations can only be called in forward_cache and forward_indexer", "",
                 "create it here and call it there"});
    return false;
  }
  if (op.side != *side_) {
    const bool other = find_op(op.info->name, *side_) != nullptr;
    const std::string from = *side_ == Side::kCache ? "vortex_torch.cache" : "vortex_torch.indexer";
    error(span, {"wrong-side",
                 "this " + name + " is an operation of " + (op.side == Side::kCache ? "the cache" : "the indexer") +
                     " side, called in " + std::string(method_of(*side_)),
                 "",
                 other ? "import it for this side: from " + from + " import " + name +
                             (*side_ == Side::kCache ? " as C" + name : "")
                       : name + " exists only in " + std::string(method_of(op.side))});
    return false;
  }
  if (op.called.end != 0) {
    const int line = reporter_.source().position(op.called.begin).line;
    error(span, {"op-used-twice",
                 "this " + name + " was already called in line " + std::to_string(line) +
                     ": an operation holds one result, so each call needs its own",
                 "",
                 "create another one in __init__: self.other = " +
                     std::string(reporter_.source().at(op.created).substr(0, 80))});
    return false;
  }
  op.called = span;
  return true;
}

// Sorts the arguments of a call by parameter. `bound` follows call_names; null for what was not given.
bool Interp::bind_operands(const OpObject& op, Arguments& arguments, Span span, std::vector<const Value*>& bound,
                           std::vector<Span>& spans) {
  const std::vector<std::string_view> names = call_names(*op.info, op.side);
  const std::string name(op.info->name);
  const std::string form = call_form(*op.info, op.side);
  bound.assign(names.size(), nullptr);
  spans.assign(names.size(), span);
  const auto is_context = [](const Value& value) {
    const auto* special = std::get_if<Special>(&value);
    return special != nullptr && *special == Special::kContext;
  };
  for (size_t i = 0; i < arguments.values.size(); ++i) {
    if (i >= names.size() || is_context(arguments.values[i])) {
      const bool context = is_context(arguments.values[i]);
      error(arguments.spans[i],
            {"arguments", context ? "ctx must be given by keyword" : name + " takes fewer arguments", form,
             context ? "write ctx=ctx" : ""});
      return false;
    }
    bound[i] = &arguments.values[i];
    spans[i] = arguments.spans[i];
  }
  bool has_context = false;
  for (const Arguments::Named& named : arguments.named) {
    if (named.name == "ctx") {
      has_context = is_context(named.value) || is_poison(named.value);
      if (has_context) { continue; }
      error(named.span,
            {"arguments", "ctx must be the ctx that " + std::string(method_of(*side_)) + " was given", form});
      return false;
    }
    const auto at = std::find(names.begin(), names.end(), named.name);
    if (at == names.end()) {
      error(named.span, {"arguments", name + " has no argument " + quote(named.name) + " when it is called", form});
      return false;
    }
    const auto index = static_cast<size_t>(at - names.begin());
    if (bound[index] != nullptr) {
      error(named.span, {"duplicate-argument", "argument " + quote(named.name) + " is given twice", form});
      return false;
    }
    bound[index] = &named.value;
    spans[index] = named.span;
  }
  for (size_t i = 0; i < names.size(); ++i) {
    if (bound[i] != nullptr) { continue; }
    error(span, {"arguments", name + " misses its argument " + quote(names[i]), form,
                 names[i] == "output" ? "write output=None for a result that is only used further down" : ""});
    return false;
  }
  if (!has_context) {
    error(span, {"arguments", name + " misses ctx=ctx", form});
    return false;
  }
  return std::none_of(bound.begin(), bound.end(), [](const Value* value) { return is_poison(*value); });
}

std::optional<int> Interp::field_node(int field, Span span) {
  const auto index = static_cast<size_t>(field);
  // On the cache side a field written earlier in the pass has its new value.
  if (written_nodes_[index] >= 0) { return written_nodes_[index]; }
  const std::string name = quote(program_->fields[index].name);
  if (written_nodes_[index] == kFilled) {
    error(span,
          {"read-after-fill", "field " + name + " was filled with a constant above, so reading it here is pointless",
           "", "use the constant: Add_Mul(alpha=...) or MaskSlice"});
    return std::nullopt;
  }
  if (*side_ == Side::kCache && !program_->fields[index].builtin) {
    error(
        span,
        {"read-before-write", "field " + name + " holds leftovers of another page until this pass writes it", "",
         "write it first, or compute from " +
             std::string(program_->dialect == Dialect::kMla ? "cache[\"latent\"]" : "cache[\"k\"] and cache[\"v\"]")});
    return std::nullopt;
  }
  if (field_nodes_[index] < 0) {
    Attrs attrs;
    attrs.field = field;
    static const OpObject kLeaf{
        .info = &op_info(Op::kField), .attrs = {}, .reshape_to = {}, .constant = {}, .created = {}, .called = {}};
    const std::optional<int> node = append(kLeaf, Op::kField, {}, attrs, span);
    if (!node) { return std::nullopt; }
    field_nodes_[index] = *node;
  }
  return field_nodes_[index];
}

// The node of a tensor operand; nothing after a report.
std::optional<int> Interp::operand_node(const Value& value, Span span, const OpObject& op) {
  if (const auto* tensor = std::get_if<Tensor>(&value)) {
    if (tensor->side != *side_) {
      error(span,
            {"value-crosses-sides",
             "this tensor belongs to " + std::string(method_of(tensor->side)) + ": the sides run at different times",
             "", "store it in a field of the cache and read the field here"});
      return std::nullopt;
    }
    return tensor->node;
  }
  if (const auto* field = std::get_if<FieldRef>(&value)) {
    if (field->side != *side_) {
      error(span, {"value-crosses-sides", "this is the cache of " + std::string(method_of(field->side)), "",
                   "use this method's own cache[...]"});
      return std::nullopt;
    }
    return field_node(field->field, span);
  }
  if (auto* const* parameter = std::get_if<OpObject*>(&value);
      parameter != nullptr && (*parameter)->info->op == Op::kParameter) {
    if (*side_ == Side::kCache) {
      error(span, {"wrong-side", "a Parameter can only be used in forward_indexer"});
      return std::nullopt;
    }
    OpObject& object = **parameter;
    if (object.node >= 0) { return object.node; }
    Attrs attrs;
    attrs.constant = static_cast<int>(program_->constants.size());
    program_->constants.push_back(object.constant);
    const std::optional<int> node = append(object, Op::kParameter, {}, attrs, span);
    object.node = node.value_or(-1);
    return node;
  }
  const auto* special = std::get_if<Special>(&value);
  const std::string name(op.info->name);
  if (special != nullptr && *special == Special::kCache) {
    type_error(span, name + " takes a tensor, got the whole cache", "cache[\"name\"]");
  } else if (std::holds_alternative<Tuple>(value)) {
    type_error(span, name + " takes a tensor, got a tuple", "",
               "TopK returns a (block table, lengths) pair for Union only");
  } else if (std::holds_alternative<int64_t>(value) || std::holds_alternative<double>(value)) {
    type_error(span, name + " takes tensors, got the number " + value_text(value), "",
               "constants go into constructors: Add_Mul(alpha=added, beta=factor)");
  } else {
    type_error(span, name + " takes a tensor, got " + std::string(kind_name(value)));
  }
  return std::nullopt;
}

// Union's operands: the (block table, lengths) pair of one TopK.
std::optional<int> Interp::table_node(const Value& value, Span span) {
  const auto* pair = std::get_if<Tuple>(&value);
  if (pair != nullptr && pair->object->items.size() == 2) {
    const auto* table = std::get_if<Tensor>(&pair->object->items[0]);
    const auto* lengths = std::get_if<Tensor>(&pair->object->items[1]);
    if (table != nullptr && lengths != nullptr && table->part == 0 && lengths->part == 1 &&
        table->node == lengths->node) {
      return table->node;
    }
  }
  type_error(span, "Union takes the (block table, lengths) pair of a TopK",
             "self.union((table_a, lengths_a), (table_b, lengths_b), o, ctx=ctx)");
  return std::nullopt;
}

// The field that an operation writes.
std::optional<int> Interp::destination(const Value& value, Span span, const OpObject& op) {
  const auto* field = std::get_if<FieldRef>(&value);
  if (field == nullptr || field->side != *side_) {
    type_error(span, std::string(op.info->name) + " needs a field of the cache, got " + std::string(kind_name(value)),
               "cache[\"name\"]");
    return std::nullopt;
  }
  const Field& target = program_->fields[static_cast<size_t>(field->field)];
  if (target.builtin) {
    error(span, {"builtin-field", quote(target.name) + " belongs to the engine and cannot be written", "",
                 "declare a field of your own in create_cache"});
    return std::nullopt;
  }
  return field->field;
}

// Cache side: one write a field and pass.
bool Interp::claim_field(int field, int node, Span span) {
  int& written = written_nodes_[static_cast<size_t>(field)];
  if (written != kNotWritten) {
    error(span,
          {"field-written-twice",
           "field " + quote(program_->fields[static_cast<size_t>(field)].name) + " is already written in this pass", "",
           "use output=None for intermediate results"});
    return false;
  }
  written = node;
  return true;
}

Value Interp::finish_cache_op(const OpObject& op, int node, const Value& output, Span output_span) {
  if (std::holds_alternative<NoneValue>(output)) { return Tensor{Side::kCache, node}; }
  const std::optional<int> field = destination(output, output_span, op);
  if (!field || !claim_field(*field, node, output_span)) { return Poison{}; }
  Attrs attrs;
  attrs.field = *field;
  if (!append(op, Op::kStore, {node}, attrs, output_span)) { return Poison{}; }
  return output;
}

Value Interp::trace_op(OpObject& op, Arguments& arguments, Span span) {
  if (!step(span) || !may_trace(op, span)) { return Poison{}; }
  std::vector<const Value*> bound;
  std::vector<Span> spans;
  if (!bind_operands(op, arguments, span, bound, spans)) { return Poison{}; }
  const auto is_special = [&](size_t index, Special wanted) {
    const auto* special = std::get_if<Special>(bound[index]);
    return special != nullptr && *special == wanted;
  };
  const OpInfo& info = *op.info;
  const bool terminal = is_terminal(info.op);
  if (op.side == Side::kCache && !is_special(bound.size() - 1, Special::kLoc)) {
    return type_error(spans.back(), std::string(info.name) + ": loc must be the loc that forward_cache was given",
                      call_form(info, op.side));
  }
  if (terminal && !is_special(bound.size() - 1, Special::kOutput)) {
    return type_error(spans.back(), std::string(info.name) + ": o must be the o that forward_indexer was given",
                      call_form(info, op.side));
  }
  Attrs attrs = op.attrs;
  std::vector<int> inputs;
  if (info.op == Op::kLoad || info.op == Op::kFill || info.op == Op::kSave) {
    const size_t at = info.op == Op::kSave ? 1 : 0;
    const auto* read = std::get_if<FieldRef>(bound[at]);
    const bool any_field = info.op == Op::kLoad && read != nullptr && read->side == *side_;
    const std::optional<int> field = any_field ? read->field : destination(*bound[at], spans[at], op);
    if (!field) { return Poison{}; }
    attrs.field = *field;
    if (info.op == Op::kFill && !claim_field(*field, kFilled, spans[at])) { return Poison{}; }
  }
  const auto operands = static_cast<size_t>(info.arity);
  for (size_t i = 0; i < operands; ++i) {
    const auto node = info.op == Op::kUnion ? table_node(*bound[i], spans[i]) : operand_node(*bound[i], spans[i], op);
    if (!node) { return Poison{}; }
    inputs.push_back(*node);
  }
  if (takes(info, Arg::kWeight)) {
    attrs.constant = static_cast<int>(program_->constants.size());
    program_->constants.push_back(op.constant);
  }
  const std::optional<int> node = append(op, info.op, std::move(inputs), attrs, span);
  if (!node || terminal) { return node ? Value(NoneValue{}) : poison(); }
  if (info.op == Op::kSave || info.op == Op::kFill) { return *bound[info.op == Op::kSave ? 1 : 0]; }
  if (info.op == Op::kTopKTable) {
    return make_tuple({Tensor{Side::kIndexer, *node, 0}, Tensor{Side::kIndexer, *node, 1}}, span);
  }
  if (op.side == Side::kCache) { return finish_cache_op(op, *node, *bound[operands], spans[operands]); }
  return Tensor{Side::kIndexer, *node};
}

}  // namespace vortex::vflow
