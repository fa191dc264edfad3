#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "base/result.h"

namespace vortex::cli {

// The arguments of a verb with what the environment and a config file add, in the order of precedence that "the last
// one counts" gives: config file < environment (VORTEX_WORKSPACE, VORTEX_WORKER, VORTEX_MODEL) < command line.
// The file is TOML with the verb's long option names as keys; a key that is none of them is refused with the nearest
// one. `arguments` starts with the verb.
Result<std::vector<std::string>> complete_arguments(const CLI::App& verb, const std::vector<std::string>& arguments);

// What is wrong with arguments that CLI11 refused, with the nearest known option as a hint.
Error describe_parse_error(const CLI::App& verb, const CLI::ParseError& error);

}  // namespace vortex::cli
