#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/result.h"

// A small evaluator for the part of Jinja that chat templates use. The judge of what a template means is Python's Jinja
// as transformers sets it up; what is not covered is refused by name and line.
namespace vortex::model::jinja {

struct Value;
struct Scope;
struct Stmt;

struct Undefined {
  std::string name;  // what was looked up, for messages
};
struct None {};
struct List {
  std::vector<Value> items;
  bool is_tuple = false;
  int depth = 1;       // of nested containers
  int64_t weight = 1;  // values in it, those of its members included
};
struct Dict {
  std::vector<std::pair<std::string, Value>> items;  // in the order of insertion
  int depth = 1;
  int64_t weight = 1;
};
// What `namespace()` makes: the one thing that a template may change.
struct Namespace {
  std::map<std::string, Value> values;
};
// What `loop` is within a for.
struct Loop {
  const std::vector<Value>* items = nullptr;
  size_t index = 0;
};
struct Macro {
  const Stmt* definition = nullptr;
  Scope* scope = nullptr;  // where it was defined
};
// A function that a template finds without defining it, e.g. raise_exception.
struct Function {
  std::string name;
};

// A value of a template; what the pointers without an owner show lives as long as the evaluation.
struct Value {
  using Data = std::variant<Undefined, None, bool, int64_t, double, std::string, std::shared_ptr<const List>,
                            std::shared_ptr<const Dict>, Namespace*, const Loop*, const Macro*, Function>;
  Data data;

  Value() = default;
  Value(Data value) : data(std::move(value)) {}         // NOLINT(google-explicit-constructor)
  Value(const char* text) : data(std::string(text)) {}  // NOLINT(google-explicit-constructor)
  Value(std::string text) : data(std::move(text)) {}    // NOLINT(google-explicit-constructor)
  Value(bool truth) : data(truth) {}                    // NOLINT(google-explicit-constructor)
  Value(int64_t number) : data(number) {}               // NOLINT(google-explicit-constructor)
  Value(double number) : data(number) {}                // NOLINT(google-explicit-constructor)

  template <typename T>
  bool is() const {
    return std::holds_alternative<T>(data);
  }
  template <typename T>
  const T* get() const {
    return std::get_if<T>(&data);
  }
  const List* list() const;  // null: it is none
  const Dict* dict() const;
  bool is_number() const;  // bool included, as in Python
};

// Containers of values; those nested deeper than 100, or with more than a million values in them, are refused.
Result<Value> make_list(std::vector<Value> items, bool is_tuple = false);
Result<Value> make_dict(std::vector<std::pair<std::string, Value>> items);  // of equal keys the last value counts

// The member of that key; null where there is none.
const Value* find(const Dict& dict, std::string_view key);

// "a string", "none", ...: for messages.
std::string kind_name(const Value& value);
bool is_true(const Value& value);
int64_t weight(const Value& value);  // 1 but for containers
bool equal(const Value& left, const Value& right);
// Is left < right? Numbers with numbers and strings with strings only.
Result<bool> less(const Value& left, const Value& right);
// Number of characters or members; what has none is an error. Undefined has 0.
Result<int64_t> length(const Value& value);
// What a for or a filter goes through: members, keys, characters. Undefined has nothing; numbers and none are errors.
Result<std::vector<Value>> iterate(const Value& value);

// As Python's str(): what {{ }} prints. Functions, loops and namespaces have no text that would mean anything.
Result<std::string> to_text(const Value& value);
// How transformers' tojson writes it, on one line or indented by `indent` (-1: one line).
Result<std::string> to_json(const Value& value, int indent);

// As Python's repr() of a float: the shortest decimal that reads back.
std::string float_text(double value);

}  // namespace vortex::model::jinja
