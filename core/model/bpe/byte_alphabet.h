#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace vortex::model {

// The alphabet of byte-level BPE vocabularies (GPT-2): every byte is written as one printable character. Printable
// Latin-1 bytes stand for themselves; the other 68, in ascending order, are U+0100, U+0101 and so on.

// The bytes that a token of the vocabulary stands for; nothing if it has a character outside the alphabet.
std::optional<std::string> bytes_of_token(std::string_view token);

// How the vocabulary writes these bytes.
std::string token_of_bytes(std::string_view bytes);

}  // namespace vortex::model
