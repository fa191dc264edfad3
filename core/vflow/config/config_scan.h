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

// Walks JSON text without building anything: members of the top-level object, the deepest nesting, the number of keys.
// Meaningful for text that parses as JSON; safe for any.
struct ConfigScan {
  std::vector<ConfigMember> members;
  int depth = 0;
  int keys = 0;  // of all objects
};
ConfigScan scan_config(std::string_view text);

}  // namespace vortex::vflow
