#pragma once

#include <initializer_list>
#include <string>
#include <string_view>

#include "base/result.h"

namespace vortex::fleet {

// 64 hexadecimal digits that nobody can guess.
std::string fresh_secret();

// The token in a file: what a search and its workers both know and nobody else. Made if it is not there, readable by
// its owner alone. Errors: the environment's.
Result<std::string> token_in(const std::string& path);
// Reads one; "-" is standard input. A file that others may read is refused (candidate).
Result<std::string> read_token(const std::string& path);

// HMAC-SHA-256 (RFC 2104) of the words, in hexadecimal: shows that its writer knows the token, and not the token.
std::string proof_of(std::string_view token, std::initializer_list<std::string_view> words);
// Takes equally long wherever they differ.
bool same_proof(std::string_view one, std::string_view other);

}  // namespace vortex::fleet
