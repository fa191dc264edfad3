#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "study/loaded_run.h"

namespace vortex::cli {

// One form in which a candidate leaves the workspace. A new one is a pair of files and a line in formats.cpp.
struct ExportFormat {
  std::string_view name;  // of --to
  std::string_view help;  // what it is, for --help
  // Writes it into `folder`; gives the path of the module in it, which must check back to the candidate's key.
  Result<std::filesystem::path> (*write)(const study::LoadedRun& run, const study::CandidateHistory& candidate,
                                         bool confirmed, const std::filesystem::path& folder);
  std::string_view record;  // what a program is told was written, under which name: "module" or the folder
  // What the user is told next.
  std::string (*said)(const std::filesystem::path& module, const std::string& folder, const std::string& key);
};

std::span<const ExportFormat> export_formats();

}  // namespace vortex::cli
