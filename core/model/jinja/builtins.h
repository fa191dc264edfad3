#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/model/jinja/value.h"

// Filters, tests and methods. Those that are not here are refused when a template is read (filters, tests) or run
// (methods).
namespace vortex::model::jinja {

struct Arguments {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> named;

  // The argument at that place or of that name; null where it was not given.
  const Value* find(size_t place, std::string_view name) const;
  // Are there no others than these, in this order?
  Status allow(std::initializer_list<std::string_view> names) const;
};

bool is_filter(std::string_view name);
bool is_test(std::string_view name);
Result<Value> apply_filter(std::string_view name, const Value& operand, const Arguments& arguments);
Result<bool> apply_test(std::string_view name, const Value& operand, const Arguments& arguments);

// operand.name(arguments) of a string, a list or a dict.
Result<Value> call_method(const Value& operand, const std::string& name, const Arguments& arguments);

// operand[key]. What has no such member gives Undefined; of what is undefined itself nothing can be asked.
Result<Value> member(const Value& operand, const Value& key);
// operand.name, which methods hide; a method that is not called is refused.
Result<Value> attribute(const Value& operand, const std::string& name);

// Text that an operation would make longer than this is refused.
inline constexpr size_t kMaxText = size_t{1} << 26;

}  // namespace vortex::model::jinja
