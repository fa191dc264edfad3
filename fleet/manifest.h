#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/result.h"

namespace vortex::fleet {

struct ModelFile {
  std::string name;  // in the model's folder
  int64_t bytes = 0;
  std::string sha256;
};

// What a model's folder holds, by content: the files that a worker reads, by name.
struct Manifest {
  std::vector<ModelFile> files;

  // Of all of it: the same wherever the same files lie.
  std::string hash() const;
};
nlohmann::json to_json(const Manifest& manifest);
// Strict; names that lead out of a folder are refused.
Result<Manifest> manifest_from_json(const nlohmann::json& json);

// Reads every file of the folder once. What it found is kept in the file `remembered` (empty: nowhere) and holds until
// a file changes its size, its time or its place on the disk. Files that cannot be read are the candidate's fault.
Result<Manifest> manifest_of(const std::string& folder, const std::string& remembered);

// Does the folder hold exactly these contents? Sizes first, then every byte, unless `remembered` says that they were
// read and have not changed since. What differs, as the end of a sentence; empty: nothing.
std::string difference_from(const Manifest& manifest, const std::string& folder, const std::string& remembered);

}  // namespace vortex::fleet
