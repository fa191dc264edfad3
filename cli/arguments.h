#pragma once

#include <CLI/CLI.hpp>
#include <map>
#include <string>
#include <vector>

#include "base/result.h"

namespace vortex::cli {

// The heading under which help shows what most verbs share: help, the workspace, the worker, the format.
inline constexpr const char* kEverywhere = "Where and how";

// The arguments of a verb with what the environment and a config file add, in the order of precedence that "the last
// one counts" gives: config file < environment (VORTEX_WORKSPACE, VORTEX_WORKER, VORTEX_MODEL) < command line.
struct CompleteArguments {
  std::vector<std::string> words;
  // Option -> the file or the variable that its value comes from; what the command line says stands in none.
  std::map<std::string, std::string> origins;
};
// The file is TOML with the verb's long option names as keys; a key that is none of them is refused with the nearest
// one. `arguments` starts with the verb.
Result<CompleteArguments> complete_arguments(const CLI::App& verb, const std::vector<std::string>& arguments);

// What is wrong with arguments that CLI11 refused, with the nearest known option as a hint.
Error describe_parse_error(const CLI::App& verb, const CLI::ParseError& error);

}  // namespace vortex::cli
