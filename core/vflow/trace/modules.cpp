#include <algorithm>
#include <array>
#include <numbers>

#include "base/text.h"
#include "core/vflow/trace/interp.h"

namespace vortex::vflow {
namespace {

// The modules a policy can import. Names of the last group only pass through annotations.
constexpr std::array<std::string_view, 12> kModules = {"vortex_torch",
                                                       "vortex_torch.indexer",
                                                       "vortex_torch.cache",
                                                       "vortex_torch.flow",
                                                       "vortex_torch.flow.flow",
                                                       "vortex_torch.flow.flow_mla",
                                                       "vortex_torch.flow.registry",
                                                       "vortex_torch.abs",
                                                       "torch",
                                                       "math",
                                                       "typing",
                                                       "__future__"};

struct NamedBuiltin {
  std::string_view name;
  Builtin builtin;
};
constexpr std::array<NamedBuiltin, 21> kBuiltins = {{
    {"abs", Builtin::kAbs},
    {"bool", Builtin::kBool},
    {"dict", Builtin::kDict},
    {"enumerate", Builtin::kEnumerate},
    {"float", Builtin::kFloat},
    {"int", Builtin::kInt},
    {"len", Builtin::kLen},
    {"list", Builtin::kList},
    {"max", Builtin::kMax},
    {"min", Builtin::kMin},
    {"range", Builtin::kRange},
    {"reversed", Builtin::kReversed},
    {"round", Builtin::kRound},
    {"sorted", Builtin::kSorted},
    {"staticmethod", Builtin::kStaticMethod},
    {"str", Builtin::kStr},
    {"sum", Builtin::kSum},
    {"super", Builtin::kSuper},
    {"tuple", Builtin::kTuple},
    {"type", Builtin::kType},
    {"zip", Builtin::kZip},
}};
constexpr std::array<NamedBuiltin, 6> kMath = {{
    {"ceil", Builtin::kMathCeil},
    {"exp", Builtin::kMathExp},
    {"floor", Builtin::kMathFloor},
    {"log", Builtin::kMathLog},
    {"log2", Builtin::kMathLog2},
    {"sqrt", Builtin::kMathSqrt},
}};

constexpr std::array<std::string_view, 22> kTyping = {
    "Any",      "Callable", "ClassVar", "Dict",    "Final",      "FrozenSet",    "Generic",  "Iterable",
    "Iterator", "List",     "Literal",  "Mapping", "NamedTuple", "Optional",     "Sequence", "Set",
    "Tuple",    "Type",     "TypeVar",  "Union",   "cast",       "TYPE_CHECKING"};
constexpr std::array<std::string_view, 16> kTorch = {
    "Tensor", "dtype", "device", "bfloat16", "float16", "float32",     "float64", "half",
    "float",  "int8",  "int16",  "int32",    "int64",   "float8_e5m2", "bool",    "float8_e4m3fn"};
constexpr std::array<std::string_view, 8> kExceptions = {"AssertionError", "Exception",           "IndexError",
                                                         "KeyError",       "NotImplementedError", "RuntimeError",
                                                         "TypeError",      "ValueError"};
constexpr std::array<std::string_view, 3> kContexts = {"Context", "MetaData", "get_ctx"};

template <size_t n>
std::optional<Value> find_opaque(const std::array<std::string_view, n>& names, std::string_view name) {
  const auto known = std::find(names.begin(), names.end(), name);
  if (known == names.end()) { return std::nullopt; }
  return Opaque{*known};
}

// "vortex_torch.indexer.reduce" is "vortex_torch.indexer" here: the operations of one side share one table.
std::string_view side_module(std::string_view name) {
  for (std::string_view side : {"vortex_torch.indexer", "vortex_torch.cache", "vortex_torch.abs"}) {
    if (name.starts_with(side) && name.size() > side.size() && name[side.size()] == '.') { return side; }
  }
  return name;
}

std::vector<std::string> op_names(Side side) {
  std::vector<std::string> names;
  for (const OpInfo& info : op_table()) {
    const bool exists = side == Side::kCache ? info.on_cache : info.on_indexer;
    if (exists && !info.name.empty()) { names.emplace_back(info.name); }
  }
  return names;
}

std::optional<Value> side_member(std::string_view name, Side side) {
  if (const OpInfo* info = find_op(name, side)) { return OpClass{info, side}; }
  return find_opaque(kContexts, name);
}

}  // namespace

bool Interp::module_exists(std::string_view name) const {
  return std::find(kModules.begin(), kModules.end(), side_module(name)) != kModules.end();
}

std::optional<Value> Interp::module_member(std::string_view module, std::string_view name) {
  module = side_module(module);
  if (module == "vortex_torch.indexer") { return side_member(name, Side::kIndexer); }
  if (module == "vortex_torch.cache") { return side_member(name, Side::kCache); }
  if (module.starts_with("vortex_torch.flow")) {
    if (name == "vFlow") { return vflow_; }
    if (name == "vFlowMLA") { return vflow_mla_; }
    if (name == "register") { return Builtin::kRegister; }
    if (name == "_REGISTRY") { return Special::kRegistry; }
  }
  if (module == "vortex_torch.abs") {
    return find_opaque(std::array<std::string_view, 4>{"ContextBase", "vTensor", "as_vtensor", "FORMAT"}, name);
  }
  if (module == "typing") { return find_opaque(kTyping, name); }
  if (module == "torch") {
    if (name == "tensor") { return Builtin::kTorchTensor; }
    return find_opaque(kTorch, name);
  }
  if (module == "math") {
    if (name == "pi") { return std::numbers::pi; }
    if (name == "e") { return std::numbers::e; }
    for (const auto& [known, builtin] : kMath) {
      if (known == name) { return builtin; }
    }
  }
  for (std::string_view known : kModules) {
    if (known.size() == module.size() + 1 + name.size() && known.starts_with(module) && known.ends_with(name)) {
      return ModuleRef{known};
    }
  }
  return std::nullopt;
}

std::optional<Value> Interp::builtin_name(std::string_view name) {
  for (const auto& [known, builtin] : kBuiltins) {
    if (known == name) { return builtin; }
  }
  if (name == "object") { return Opaque{"object"}; }
  return find_opaque(kExceptions, name);
}

void Interp::report_missing_module(std::string_view name, Span span) {
  std::vector<std::string> known(kModules.begin(), kModules.end());
  const auto nearest = nearest_word(name, known);
  error(span, {"unknown-module", "a policy cannot import \"" + std::string(name) + "\"",
               "vortex_torch.indexer, vortex_torch.cache, vortex_torch.flow, vortex_torch.abs, torch (names only), "
               "math, typing",
               nearest ? "did you mean \"" + *nearest + "\"?"
                       : "remove the import: only operations compute, and nothing does I/O"});
}

void Interp::report_missing_member(std::string_view module, std::string_view name, Span span) {
  const std::string shown(name);
  module = side_module(module);
  const bool indexer = module == "vortex_torch.indexer";
  if (!indexer && module != "vortex_torch.cache") {
    error(span, {"unknown-name", std::string(module) + " has no \"" + shown + "\" that a policy can use"});
    return;
  }
  const Side side = indexer ? Side::kIndexer : Side::kCache;
  std::string suggestion;
  if (find_op(name, indexer ? Side::kCache : Side::kIndexer) != nullptr) {
    suggestion = shown + " exists only on the " + (indexer ? "cache" : "indexer") +
                 " side: import it from vortex_torch." + (indexer ? "cache" : "indexer") + " and call it in " +
                 (indexer ? "forward_cache" : "forward_indexer");
  } else if (name == "LearnedQuery") {
    suggestion = "use GeMM with a Parameter";
  } else if (const auto nearest = nearest_word(name, op_names(side))) {
    suggestion = "did you mean \"" + *nearest + "\"?";
  }
  error(span, {"unknown-op", std::string(module) + " has no operation \"" + shown + "\"", join(op_names(side), ", "),
               suggestion});
}

}  // namespace vortex::vflow
