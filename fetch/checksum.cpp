#include "fetch/checksum.h"

#include <openssl/evp.h>

#include <array>
#include <fstream>
#include <memory>
#include <string_view>
#include <vector>

namespace vortex::fetch {
namespace {

std::optional<std::string> digest_of(const EVP_MD* kind, std::string_view before, const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(), EVP_MD_CTX_free);
  if (!in || context == nullptr || EVP_DigestInit_ex(context.get(), kind, nullptr) != 1) { return std::nullopt; }
  EVP_DigestUpdate(context.get(), before.data(), before.size());
  std::vector<char> buffer(size_t{1} << 20);
  while (in.read(buffer.data(), static_cast<std::streamsize>(buffer.size())) || in.gcount() > 0) {
    EVP_DigestUpdate(context.get(), buffer.data(), static_cast<size_t>(in.gcount()));
  }
  if (in.bad()) { return std::nullopt; }
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned size = 0;
  EVP_DigestFinal_ex(context.get(), digest.data(), &size);
  constexpr std::string_view kHex = "0123456789abcdef";
  std::string text;
  for (unsigned i = 0; i < size; ++i) { text += {kHex[digest[i] >> 4], kHex[digest[i] & 15]}; }
  return text;
}

}  // namespace

std::optional<std::string> file_sha256(const std::filesystem::path& path) { return digest_of(EVP_sha256(), "", path); }

std::optional<std::string> file_git_oid(const std::filesystem::path& path) {
  std::error_code error;
  const auto size = std::filesystem::file_size(path, error);
  if (error) { return std::nullopt; }
  std::string before = "blob " + std::to_string(size);
  before += '\0';
  return digest_of(EVP_sha1(), before, path);
}

}  // namespace vortex::fetch
