#pragma once

#include <string>
#include <string_view>

namespace vortex {

// SHA-256 of `bytes` as 64 lower-case hexadecimal digits (FIPS 180-4, through OpenSSL's libcrypto).
std::string sha256_hex(std::string_view bytes);

// Two lower-case hexadecimal digits a byte.
std::string to_hex(std::string_view bytes);

}  // namespace vortex
