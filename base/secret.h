#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace vortex {

// So many bytes from the system's random source, as two hexadecimal digits each: nobody can guess them.
std::string random_hex(size_t bytes);

// Compares in a time that does not depend on where they differ. An empty one is like none: what was never set lets
// nobody in.
bool same_secret(std::string_view a, std::string_view b);

// HMAC-SHA-256 (RFC 2104) as 64 lower-case hexadecimal digits.
std::string hmac_sha256_hex(std::string_view key, std::string_view bytes);

}  // namespace vortex
