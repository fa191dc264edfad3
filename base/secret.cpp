#include "base/secret.h"

#include <openssl/crypto.h>
#include <openssl/hmac.h>
#include <sys/random.h>

#include <array>

#include "base/sha256.h"

namespace vortex {

std::string random_hex(size_t bytes) {
  std::string raw(bytes, '\0');
  size_t filled = 0;
  while (filled < raw.size()) {  // a signal may cut it short
    const ssize_t got = ::getrandom(raw.data() + filled, raw.size() - filled, 0);
    if (got > 0) { filled += static_cast<size_t>(got); }
  }
  return to_hex(raw);
}

bool same_secret(std::string_view a, std::string_view b) {
  return !a.empty() && a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

std::string hmac_sha256_hex(std::string_view key, std::string_view bytes) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned size = 0;
  HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), reinterpret_cast<const unsigned char*>(bytes.data()),
       bytes.size(), digest.data(), &size);
  return to_hex({reinterpret_cast<const char*>(digest.data()), size});
}

}  // namespace vortex
