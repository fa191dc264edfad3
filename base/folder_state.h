#pragma once

#include <filesystem>
#include <map>
#include <string>

namespace vortex {

// The files of a folder with what changes when one of them does: size, time of the last change, place on the disk.
// Cheap to ask for, unlike a hash of their contents. Links are followed; folders inside are not looked into.
using FolderState = std::map<std::string, std::string>;  // by file name

// Of a folder that cannot be read: empty.
FolderState look_at_folder(const std::filesystem::path& folder);

// The first difference in words: "model.safetensors was changed", "... is gone", "... is new"; empty: none.
std::string folder_difference(const FolderState& before, const FolderState& now);

}  // namespace vortex
