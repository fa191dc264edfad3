#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace vortex::cli {

// The prompts that a user names: one as `argument` ("-": all of standard input, but for a line break at its end), or
// many in `file` ("-": standard input). A file has a prompt a line, or, if its first line is a JSON object, one object
// a line with the member "prompt" or "problem". Blank lines are passed over.
Result<std::vector<std::string>> read_prompts(const std::string& argument, const std::string& file);

// The prompts in the text of such a file; `name` is for messages.
Result<std::vector<std::string>> parse_prompts(std::string_view text, const std::string& name);

}  // namespace vortex::cli
