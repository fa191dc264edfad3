#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include "core/vflow/graph/op_table.h"
#include "core/vflow/syntax/ast.h"

namespace vortex::vflow {

// What a name can stand for while a policy is traced. Objects live in the interpreter's arena; a Value points at them.

struct Poison {};  // unknown because of a mistake that was reported; every use of it is silent
struct NoneValue {};
struct Range {
  int64_t start = 0;
  int64_t stop = 0;
  int64_t step = 1;
};
// A node of one side's graph. `part` picks the block table (0) or the lengths (1) of a TopK pair, -1 elsewhere.
struct Tensor {
  Side side = Side::kIndexer;
  int node = 0;
  int part = -1;
};
// cache["name"]: an operand or a destination, depending on where it is used.
struct FieldRef {
  Side side = Side::kIndexer;
  int field = 0;
};
// Arguments that only pass through a policy.
enum class Special : uint8_t { kOutput, kContext, kLoc, kCache, kRegistry };
// A class or dtype that matters only in annotations and ignored arguments: torch.Tensor, typing.Dict, ContextBase.
struct Opaque {
  std::string_view name;
};
struct ModuleRef {
  std::string_view name;
};
struct OpClass {
  const OpInfo* info = nullptr;
  Side side = Side::kIndexer;
};
enum class Builtin : uint8_t {
  kAbs,
  kBool,
  kDict,
  kEnumerate,
  kFloat,
  kInt,
  kLen,
  kList,
  kMax,
  kMin,
  kRange,
  kReversed,
  kRound,
  kSorted,
  kStaticMethod,
  kStr,
  kSum,
  kSuper,
  kTuple,
  kType,
  kZip,
  kMathCeil,
  kMathExp,
  kMathFloor,
  kMathLog,
  kMathLog2,
  kMathSqrt,
  kTorchTensor,
  kRegister,
};

struct ListObject;
struct DictObject;
struct OpObject;
struct ClassObject;
struct Instance;
struct FunctionObject;
struct Scope;
struct List {
  ListObject* object = nullptr;
};
struct Tuple {
  ListObject* object = nullptr;
};
struct BoundMethod {
  FunctionObject* function = nullptr;
  Instance* self = nullptr;
};
// x.append, d.items and so on.
struct ContainerMethod {
  std::string_view name;
  ListObject* list = nullptr;
  DictObject* dict = nullptr;
};
// What super() gives: attribute lookup for `self` starts after `after` in its class's resolution order.
struct SuperProxy {
  Instance* self = nullptr;
  ClassObject* after = nullptr;
};
// What register("name") gives: a class decorator.
struct Registration {
  const std::string* name = nullptr;
};

using Value = std::variant<Poison, NoneValue, bool, int64_t, double, const std::string*, Range, List, Tuple,
                           DictObject*, Tensor, FieldRef, Special, Opaque, ModuleRef, OpClass, OpObject*, ClassObject*,
                           Instance*, FunctionObject*, BoundMethod, ContainerMethod, SuperProxy, Registration, Builtin>;

struct ListObject {
  std::vector<Value> items;
};
struct DictObject {
  std::vector<std::pair<Value, Value>> items;
  // Where the keys are that can be looked up at once; other kinds are compared one by one.
  std::unordered_map<std::string_view, size_t> texts;
  std::unordered_map<int64_t, size_t> integers;
  bool others = false;  // there are keys of other kinds, which may equal an integer
};

// Names with their values, in the order in which they were first set. Looking one up takes the same however many there
// are: whoever wrote the module chooses that.
class Names {
 public:
  // Null: there is none of that name. Valid until the next name is added.
  Value* find(std::string_view name) {
    if (items_.size() <= kFew) {
      for (auto& [known, value] : items_) {
        if (known == name) { return &value; }
      }
      return nullptr;
    }
    const auto at = places_.find(name);
    return at == places_.end() ? nullptr : &items_[at->second].second;
  }
  // Of a name that is not there yet.
  void add(std::string_view name, Value value) {
    items_.emplace_back(name, std::move(value));
    if (items_.size() == kFew + 1) {
      for (size_t i = 0; i < items_.size(); ++i) { places_.emplace(items_[i].first, i); }
    } else if (items_.size() > kFew) {
      places_.emplace(name, items_.size() - 1);
    }
  }
  auto begin() { return items_.begin(); }
  auto end() { return items_.end(); }

 private:
  static constexpr size_t kFew = 12;
  std::vector<std::pair<std::string_view, Value>> items_;
  std::unordered_map<std::string_view, size_t> places_;  // once they are more than a few
};

// An instance of an operation: self.mean = Mean(dim=1).
struct OpObject {
  const OpInfo* info = nullptr;
  Side side = Side::kIndexer;
  Attrs attrs;
  Shape reshape_to;
  Constant constant;
  Span created;
  Span called;    // empty until its one call
  int node = -1;  // of a Parameter already in the graph
};

struct ClassObject {
  std::string_view name;
  Span span;
  std::vector<ClassObject*> order;  // method resolution order, itself first
  Names attributes;
};

struct Instance {
  ClassObject* type = nullptr;
  Names attributes;
};

struct FunctionObject {
  const Stmt* definition = nullptr;
  Scope* closure = nullptr;
  ClassObject* owner = nullptr;  // the class whose body defines it
  bool is_static = false;
  std::vector<Value> defaults;  // of the last parameters
};

// The names of one call, class body or module. In a tainted scope an unknown name is a consequence of a reported
// mistake and not worth another finding.
struct Scope {
  Scope* parent = nullptr;
  Names names;
  bool tainted = false;
  bool is_class = false;  // its names are visible in the class body itself, not in functions and comprehensions there
  const FunctionObject* function = nullptr;
  Instance* self = nullptr;
};

inline Value* find_name(Names& names, std::string_view name) { return names.find(name); }
inline void set_name(Names& names, std::string_view name, Value value) {
  if (Value* known = names.find(name)) {
    *known = std::move(value);
  } else {
    names.add(name, std::move(value));
  }
}

// "int", "list", "tensor": what a message calls the kind of a value.
std::string_view kind_name(const Value& value);
// Python's str(); lists and the like are cut to a length that fits a message.
std::string value_text(const Value& value);
// Python's ==; values of different kinds differ, except numbers. `work` grows by what the comparison costs; past
// `max_work`, or nested too deeply, it ends with false and a `work` over the bound.
bool values_equal(const Value& a, const Value& b, int64_t& work, int64_t max_work, int depth = 0);
// Elements of a list, tuple or dict, characters of a string over 16; 0 for the rest: what walking it costs.
int64_t walk_cost(const Value& value);
// An int, or a bool as 0 or 1.
const int64_t* as_integer(const Value& value, int64_t& storage);
// A number of any kind.
bool as_number(const Value& value, double& number);
inline bool is_poison(const Value& value) { return std::holds_alternative<Poison>(value); }

}  // namespace vortex::vflow
