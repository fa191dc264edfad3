#pragma once

#include <memory>
#include <nlohmann/json_fwd.hpp>

#include "base/result.h"
#include "core/model/tokenizer.h"

namespace vortex::model {

// Each makes a tokenizer from a parsed tokenizer.json whose "model" is of its type. A new type is one file and one line
// of the table in tokenizer.cpp.
Result<std::unique_ptr<Tokenizer>> make_word_level(const nlohmann::json& json);
Result<std::unique_ptr<Tokenizer>> make_byte_level_bpe(const nlohmann::json& json);  // needs PCRE2 and utf8proc

}  // namespace vortex::model
