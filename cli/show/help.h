#pragma once

#include <CLI/CLI.hpp>
#include <string>

namespace vortex::cli {

// The verbs in groups, within 80 columns.
std::string program_help(const CLI::App& app);
// How a verb is called, its options in groups with their defaults, an example; within 80 columns.
std::string verb_help(const CLI::App& verb);

}  // namespace vortex::cli
