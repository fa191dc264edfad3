#pragma once

#include <cstddef>
#include <initializer_list>
#include <string>
#include <string_view>

#include "base/result.h"

namespace vortex::fleet {

// Of tokens, nonces and identities.
inline constexpr size_t kSecretBytes = 32;

// The token in a file: what a search and its workers both know and nobody else. Made if it is not there, readable by
// its owner alone. Errors: the environment's.
Result<std::string> token_in(const std::string& path);
// Reads one; "-" is standard input. A file that others may read is refused (candidate).
Result<std::string> read_token(const std::string& path);

// HMAC-SHA-256 (RFC 2104) of the words, in hexadecimal: shows that its writer knows the token, and not the token.
std::string proof_of(std::string_view token, std::initializer_list<std::string_view> words);

}  // namespace vortex::fleet
