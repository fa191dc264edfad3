#pragma once

#include <string_view>
#include <vector>

#include "core/vflow/source.h"

namespace vortex::vflow {

// Where the members of a JSON text's top-level object stand.
struct ConfigMember {
  std::string_view key;  // as written, without its quotes
  Span key_span;
  Span value_span;
};

// Walks JSON text without building anything: members of the top-level object and the deepest nesting.
// Meaningful for text that parses as JSON; safe for any.
struct ConfigScan {
  std::vector<ConfigMember> members;
  int depth = 0;
};
ConfigScan scan_config(std::string_view text);

}  // namespace vortex::vflow
