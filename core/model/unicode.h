#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace vortex::model {

// The first byte of `text` that is not part of well-formed UTF-8 (no surrogates, nothing overlong, nothing above
// U+10FFFF); nothing when all of it is.
std::optional<size_t> find_invalid_utf8(std::string_view text);

// `bytes` as UTF-8, each maximal ill-formed sequence replaced by one U+FFFD (Unicode Standard, section 3.9, the
// practice of most decoders). With `tail`, an incomplete character at the end is moved there instead: more bytes may
// complete it.
std::string repair_utf8(std::string_view bytes, std::string* tail = nullptr);

// Appends a code point as UTF-8; it must be one.
void append_utf8(char32_t code, std::string& text);

}  // namespace vortex::model
