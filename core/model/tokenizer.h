#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/result.h"

namespace vortex::model {

// Text <-> token ids, read from a Hugging Face tokenizer.json. Immutable, thread-safe.
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;
  // A piece of text that the vocabulary cannot express is the candidate's fault.
  virtual Result<std::vector<int32_t>> encode(std::string_view text) const = 0;
  virtual std::string decode(const std::vector<int32_t>& ids) const = 0;
};

// Reads <folder>/tokenizer.json. Unknown tokenizer models are refused by name.
Result<std::unique_ptr<Tokenizer>> load_tokenizer(const std::filesystem::path& folder);

}  // namespace vortex::model
