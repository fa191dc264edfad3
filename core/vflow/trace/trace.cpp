#include "core/vflow/trace/trace.h"

#include <algorithm>
#include <array>
#include <climits>

#include "base/escape.h"
#include "base/text.h"
#include "core/vflow/syntax/parser.h"

namespace vortex::vflow {
namespace {

constexpr size_t kMaxModuleBytes = 256 * 1024;
constexpr int64_t kMaxFieldSize = int64_t{1} << 20;
constexpr size_t kMaxFields = 128;
constexpr std::array<std::string_view, 5> kReserved = {"k", "v", "latent", "kv_c", "k_pe"};

std::string quote_start(std::string_view name) { return "\"" + std::string(name.substr(0, 80)) + "\""; }

// What to write instead of a field's shape that is not two sizes.
std::string shape_hint(const Value& shape) {
  const auto* tuple = std::get_if<Tuple>(&shape);
  const auto* list = std::get_if<List>(&shape);
  const ListObject* items = tuple != nullptr ? tuple->object : list != nullptr ? list->object : nullptr;
  const std::vector<Value> sizes = items != nullptr ? items->items : std::vector<Value>{shape};
  const auto is_size = [](const Value& value) { return std::holds_alternative<int64_t>(value); };
  if (!std::all_of(sizes.begin(), sizes.end(), is_size)) {
    return "name the two sizes alone: what fields are kept as is the configuration's vortex_dtype";
  }
  if (sizes.size() == 1) { return "write (1, " + value_text(sizes[0]) + ")"; }
  return sizes.size() == 3 ? "leave the number of pages out: the engine has one such field a page" : "";
}

class Tracer {
 public:
  Tracer(Reporter& reporter, Interp& interp, const ModelGeometry& model, int block_size, Trace& trace)
      : reporter_(reporter), interp_(interp), model_(model), block_size_(block_size), trace_(trace) {}

  void run(std::string_view name) {
    const RegisteredClass* chosen = choose(name);
    if (chosen == nullptr || interp_.stopped()) { return; }
    trace_.program.name = chosen->name;
    trace_.class_name = chosen->type->span;
    set_geometry(*chosen->type);
    interp_.trace_into(nullptr, nullptr, std::nullopt);
    Instance* flow = interp_.instantiate(chosen->type, chosen->type->span);
    if (flow == nullptr) { return; }
    if (!create_cache(flow)) { return; }
    add_builtin_fields();
    trace_side(flow, Side::kCache, "forward_cache", {Special::kCache, Special::kLoc, Special::kContext},
               trace_.forward_cache);
    // The query is node 0 of the indexer; its shape comes from the geometry, so this cannot be refused.
    if (!append_node(trace_.program, Side::kIndexer, Op::kQuery, {}).ok()) { return; }
    trace_.spans.indexer.push_back(trace_.class_name);
    trace_side(flow, Side::kIndexer, "forward_indexer",
               {Tensor{Side::kIndexer, 0}, Special::kOutput, Special::kCache, Special::kContext},
               trace_.forward_indexer);
  }

 private:
  const RegisteredClass* choose(std::string_view name) {
    const auto& classes = interp_.registered();
    std::vector<std::string> names;
    for (const RegisteredClass& known : classes) {
      if (known.name == name || (name.empty() && classes.size() == 1)) { return &known; }
      names.emplace_back(known.name);
    }
    if (reporter_.errors() > 0 && classes.empty()) {
      return nullptr;  // a consequence
    }
    const Span start{0, 0};
    if (classes.empty()) {
      reporter_.error(start, {"not-registered", "the module registers no policy",
                              "@register(\"name\") above a class that derives from vFlow",
                              "from vortex_torch.flow import vFlow, register"});
    } else if (name.empty()) {
      reporter_.error(classes[0].type->span,
                      {"module-name", "the module registers several policies", join(names, ", "),
                       "name one in the configuration: \"vortex_module_name\": \"" + names[0] + "\""});
    } else {
      const auto nearest = nearest_word(name, names);
      reporter_.error(
          classes[0].type->span,
          {"module-name",
           "the configuration's vortex_module_name is " + quote_start(name) + ", which the module does not register",
           join(names, ", "), "set vortex_module_name to \"" + nearest.value_or(names[0]) + "\""});
    }
    return nullptr;
  }

  void set_geometry(const ClassObject& type) {
    Program& program = trace_.program;
    const bool mla = interp_.derives_from(&type, "vFlowMLA");
    program.dialect = mla ? Dialect::kMla : Dialect::kGqa;
    program.geometry.block_size = block_size_;
    if (mla) {
      program.geometry.group = std::max(1, model_.num_q_heads);
      program.geometry.head_dim = std::max(1, model_.kv_lora_rank + model_.rope_dim);
      program.geometry.rope_dim = model_.rope_dim;
    } else {
      program.geometry.group = std::max(1, model_.num_q_heads / std::max(1, model_.num_kv_heads));
      program.geometry.head_dim = std::max(1, model_.head_dim);
    }
    const bool mla_model = model_.kv_lora_rank > 0;
    if (mla != mla_model) {
      reporter_.error(type.span, {"dialect",
                                  mla ? "a vFlowMLA policy needs a model with latent attention (MLA)"
                                      : "the model has latent attention (MLA), which needs a vFlowMLA policy",
                                  "", mla ? "derive from vFlow" : "derive from vFlowMLA"});
    }
  }

  FunctionObject* method(Instance* flow, std::string_view name, size_t parameters, std::string_view form) {
    FunctionObject* found = interp_.find_method(flow, name);
    if (found == nullptr) {
      if (find_name(flow->type->attributes, "") == nullptr) {
        reporter_.error(trace_.class_name,
                        {"missing-method", "the class has no method " + std::string(name), std::string(form)});
      }
      return nullptr;
    }
    const size_t count = found->definition->params.size();
    if (count == parameters + 1 || (count > parameters && count - found->defaults.size() <= parameters + 1)) {
      return found;
    }
    reporter_.error(found->definition->name_span,
                    {"signature",
                     std::string(name) + " must take " + std::to_string(parameters) + " arguments besides self, has " +
                         std::to_string(count - std::min<size_t>(count, 1)),
                     std::string(form)});
    return nullptr;
  }

  bool create_cache(Instance* flow) {
    const bool mla = trace_.program.dialect == Dialect::kMla;
    FunctionObject* create =
        mla ? method(flow, "create_cache", 3, "def create_cache(self, block_size, kv_lora_rank, qk_rope_head_dim):")
            : method(flow, "create_cache", 2, "def create_cache(self, block_size, head_dim):");
    if (create == nullptr) { return false; }
    std::vector<Value> values = {int64_t{block_size_}};
    if (mla) {
      values.emplace_back(int64_t{model_.kv_lora_rank});
      values.emplace_back(int64_t{model_.rope_dim});
    } else {
      values.emplace_back(int64_t{trace_.program.geometry.head_dim});
    }
    const Span span = create->definition->name_span;
    const Value result = interp_.call_method(flow, create, std::move(values), span);
    if (is_poison(result)) { return false; }
    auto* const* dict = std::get_if<DictObject*>(&result);
    if (dict == nullptr) {
      reporter_.error(span,
                      {"create-cache", "create_cache must return a dict, returned " + std::string(kind_name(result)),
                       "return {\"name\": (rows, cols)}"});
      return false;
    }
    const Span place = return_span(*create->definition);
    if ((*dict)->items.size() > kMaxFields) {
      reporter_.error(place, {"limit", "create_cache returns " + std::to_string((*dict)->items.size()) +
                                           " fields, a policy can have at most " + std::to_string(kMaxFields)});
      return false;
    }
    for (const auto& [key, shape] : (*dict)->items) {
      if (!declare_field(key, shape, place)) { interp_.lose_fields(); }
    }
    return true;
  }

  // Fields are declared where the dict is returned, as far as one place can be named.
  static Span return_span(const Stmt& function) {
    for (const Stmt* stmt : function.body) {
      if (stmt->kind == StmtKind::kReturn && !stmt->values.empty()) { return stmt->values[0]->span; }
    }
    return function.name_span;
  }

  // The key's own place inside the dict, if it is a literal there.
  Span key_span(std::string_view name, Span place) const {
    const std::string_view text = reporter_.source().at(place);
    for (const char mark : {'"', '\''}) {
      const std::string literal = mark + std::string(name) + mark;
      const size_t at = text.find(literal);
      if (at != std::string_view::npos) {
        const auto begin = place.begin + static_cast<uint32_t>(at);
        return {begin, begin + static_cast<uint32_t>(literal.size())};
      }
    }
    return place;
  }

  // False when the field is refused or unknown.
  bool declare_field(const Value& key, const Value& shape, Span place) {
    const auto* name = std::get_if<const std::string*>(&key);
    if (name == nullptr || (*name)->empty()) {
      reporter_.error(place, {"create-cache", "fields are named by strings, got " + std::string(kind_name(key)),
                              "return {\"name\": (rows, cols)}"});
      return false;
    }
    const Span span = key_span(**name, place);
    if (!is_plain_name(**name)) {
      reporter_.error(span, {"name", "the field's name is " + quote_start(clipped(**name, 80)) + ", which is not plain",
                             std::string(kPlainNames), "return {\"centroid\": (rows, cols)}"});
      return false;
    }
    if (std::find(kReserved.begin(), kReserved.end(), **name) != kReserved.end()) {
      reporter_.error(span,
                      {"reserved-field", "the name " + quote_start(**name) + " is reserved: the engine provides it", "",
                       "choose another name"});
      return false;
    }
    if (is_poison(shape)) { return false; }
    const auto* tuple = std::get_if<Tuple>(&shape);
    const auto* list = std::get_if<List>(&shape);
    const ListObject* sizes = tuple != nullptr ? tuple->object : list != nullptr ? list->object : nullptr;
    if (sizes == nullptr || sizes->items.size() != 2) {
      reporter_.error(
          span, {"create-cache",
                 "field " + quote_start(**name) + " needs two sizes a page, got " + value_text(shape).substr(0, 60),
                 "(rows, cols)", shape_hint(shape)});
      return false;
    }
    int dims[2] = {1, 1};
    for (size_t i = 0; i < 2; ++i) {
      if (is_poison(sizes->items[i])) { return false; }
      const auto* size = std::get_if<int64_t>(&sizes->items[i]);
      if (size == nullptr) {
        reporter_.error(
            span,
            {"create-cache",
             "field " + quote_start(**name) + ": sizes must be whole numbers, got " + value_text(shape).substr(0, 60),
             "(rows, cols)",
             std::holds_alternative<double>(sizes->items[i]) ? "use // for whole-number division" : shape_hint(shape)});
        return false;
      }
      if (*size < 1 || *size > INT_MAX) {
        reporter_.error(
            span,
            {"field-size",
             "field " + quote_start(**name) + " is " + value_text(shape).substr(0, 60) + " at block size " +
                 std::to_string(block_size_) + ": sizes must be at least 1",
             "",
             *size == 0 ? "a quotient like block_size // 16 is 0 for smaller blocks: derive the divisor from block_size"
                        : ""});
        return false;
      }
      dims[i] = static_cast<int>(*size);
    }
    if (int64_t{dims[0]} * dims[1] > kMaxFieldSize) {
      reporter_.error(span, {"field-size", "field " + quote_start(**name) + " has more than " +
                                               std::to_string(kMaxFieldSize) + " elements a page"});
      return false;
    }
    trace_.program.fields.push_back({**name, {dims[0], dims[1]}, false});
    trace_.fields.push_back(span);
    return true;
  }

  void add_builtin_fields() {
    const Geometry& geometry = trace_.program.geometry;
    const Shape shape{geometry.block_size, geometry.head_dim};
    if (trace_.program.dialect == Dialect::kMla) {
      trace_.program.fields.push_back({"latent", shape, true});
    } else {
      trace_.program.fields.push_back({"k", shape, true});
      trace_.program.fields.push_back({"v", shape, true});
    }
    trace_.fields.resize(trace_.program.fields.size());
  }

  void trace_side(Instance* flow, Side side, std::string_view name, std::vector<Value> values, Span& place) {
    const std::string_view form = side == Side::kCache ? "def forward_cache(self, cache, loc, ctx):"
                                                       : "def forward_indexer(self, q, o, cache, ctx):";
    FunctionObject* forward = method(flow, name, values.size(), form);
    if (forward == nullptr || interp_.stopped()) { return; }
    place = forward->definition->name_span;
    interp_.trace_into(&trace_.program, &trace_.spans, side);
    interp_.call_method(flow, forward, std::move(values), place);
    interp_.trace_into(nullptr, nullptr, std::nullopt);
  }

  Reporter& reporter_;
  Interp& interp_;
  const ModelGeometry& model_;
  int block_size_;
  Trace& trace_;
};

}  // namespace

Trace trace_module(Reporter& reporter, std::string_view name, const ModelGeometry& model, int block_size) {
  Trace trace;
  if (reporter.source().text().size() > kMaxModuleBytes) {
    reporter.error({0, 0}, {"limit", "the module is longer than " + std::to_string(kMaxModuleBytes) + " bytes"});
    return trace;
  }
  const Module module = parse_module(reporter);
  Interp interp(reporter, module);
  interp.run_module();
  Tracer(reporter, interp, model, block_size, trace).run(name);
  trace.complete = reporter.errors() == 0;
  return trace;
}

}  // namespace vortex::vflow
