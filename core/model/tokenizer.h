#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace vortex::model {

// Text <-> token ids, read from a Hugging Face tokenizer.json. Immutable, thread-safe.
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  // The ids of `text` alone; special tokens that it spells out are found in it, as a chat template needs. Text that the
  // vocabulary cannot express, or that is not UTF-8, is the candidate's fault.
  virtual Result<std::vector<int32_t>> encode(std::string_view text) const = 0;

  // Puts around the ids of a raw prompt what the model expects there, e.g. Llama 3's begin token. Not for text from a
  // chat template, which spells these tokens out.
  virtual std::vector<int32_t> add_special_tokens(std::vector<int32_t> ids) const { return ids; }

  // The bytes that a token adds to a text, not always whole characters; `first`: no token is before it. Ids outside the
  // vocabulary are allowed.
  virtual std::string piece(int32_t id, bool first) const = 0;

  // Is it a token for control, such as the end of a turn, rather than text?
  virtual bool is_special(int32_t id) const = 0;

  // The text of all tokens, special ones included. Bytes that are not UTF-8 become U+FFFD.
  std::string decode(const std::vector<int32_t>& ids) const;
};

// Text of tokens as they come: never a part of a character. The pieces together are what decode() gives, without the
// special tokens when these are left out.
class TextStream {
 public:
  TextStream(const Tokenizer& tokenizer, bool with_special) : tokenizer_(tokenizer), with_special_(with_special) {}

  // The text that this token completes; often empty.
  std::string push(int32_t id);
  // What is left when no more tokens come.
  std::string finish();

 private:
  const Tokenizer& tokenizer_;
  bool with_special_;
  bool first_ = true;
  std::string pending_;  // bytes of a character that is not complete yet
};

// Reads <folder>/tokenizer.json. Unknown tokenizer models and steps are refused by name.
Result<std::unique_ptr<Tokenizer>> load_tokenizer(const std::filesystem::path& folder);
// The same from its text; `name` is for messages.
Result<std::unique_ptr<Tokenizer>> parse_tokenizer(std::string_view text, const std::string& name);

}  // namespace vortex::model
