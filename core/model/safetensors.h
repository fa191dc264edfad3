#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "base/mapped_file.h"
#include "base/result.h"
#include "core/model/weights.h"

namespace vortex::model {

// The tensors of a checkpoint by name, views into mapped files.
struct Checkpoint {
  std::vector<MappedFile> files;
  std::map<std::string, Tensor> tensors;
  std::string hash;  // SHA-256 over the names and contents of the files
};

// Parses one safetensors file (github.com/huggingface/safetensors): 8 bytes of header length, a JSON header, data that
// the tensors cover without gaps. Truncated, padded or inconsistent files are refused; `name` is used in messages.
// Tensors whose element type is none of BF16, F16, F32 and F8_E4M3 are refused.
Result<std::map<std::string, Tensor>> parse_safetensors(std::string_view bytes, const std::string& name);

// Are the files there that running a model takes: config.json, tokenizer.json, weights? Opens none but an index of
// weights. Errors: candidate; the first one that is missing.
Status check_model_files(const std::filesystem::path& folder);

// Opens <folder>/model.safetensors, or the shards that <folder>/model.safetensors.index.json names.
Result<Checkpoint> open_checkpoint(const std::filesystem::path& folder);

}  // namespace vortex::model
