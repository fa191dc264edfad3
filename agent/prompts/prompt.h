#pragma once

#include <map>
#include <string>

#include "base/result.h"

namespace vortex::agent {

// Templates by name without ".md": system, reply, iterate, innovate, repair.
using Templates = std::map<std::string, std::string>;

// The built-in ones; a folder's NAME.md replaces the built-in one of that name. A file with another name, or a
// placeholder that nothing fills, is refused: it would silently say nothing.
Result<Templates> load_templates(const std::string& folder);

// Replaces every {{name}}. A name that `values` lacks is the candidate's fault, with file, line and the known names.
Result<std::string> fill_template(const Templates& templates, const std::string& name,
                                  const std::map<std::string, std::string>& values);

}  // namespace vortex::agent
