#pragma once

#include <CLI/CLI.hpp>
#include <string>

namespace vortex::cli {

// Of options that are numbers from 0 on: CLI11 takes "-1" for an unsigned one, too, and wraps it, and its own check
// tells the largest number there is.
inline const CLI::Validator kNotNegative(
    [](std::string& text) { return text.starts_with("-") ? text + " is less than 0" : std::string(); }, "");

}  // namespace vortex::cli
