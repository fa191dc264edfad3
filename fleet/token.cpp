#include "fleet/token.h"

#include <fcntl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <iostream>

#include "base/descriptor.h"
#include "base/files.h"
#include "base/sha256.h"
#include "base/text.h"

namespace vortex::fleet {
namespace {

constexpr size_t kBlockBytes = 64;  // of SHA-256
constexpr size_t kLeastToken = 16;

std::string bytes_of_hex(const std::string& hex) {
  std::string bytes;
  for (size_t i = 0; i + 1 < hex.size(); i += 2) {
    bytes += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16));
  }
  return bytes;
}

Result<std::string> checked(std::string text, const std::string& from) {
  text = first_line(text);
  while (!text.empty() && (text.back() == '\r' || text.back() == ' ')) { text.pop_back(); }
  if (text.size() >= kLeastToken) { return text; }
  return candidate_error("no token in " + from, "it is the first line, at least " + std::to_string(kLeastToken) +
                                                    " characters; the search has written one");
}

}  // namespace

std::string fresh_secret() {
  std::array<unsigned char, 32> bytes;
  size_t filled = 0;
  while (filled < bytes.size()) {
    const ssize_t got = ::getrandom(bytes.data() + filled, bytes.size() - filled, 0);
    if (got > 0) { filled += static_cast<size_t>(got); }
  }
  return sha256_hex(std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
}

Result<std::string> token_in(const std::string& path) {
  std::error_code ec;
  if (std::filesystem::exists(path, ec)) { return read_token(path); }
  std::filesystem::create_directories(std::filesystem::path(path).parent_path(), ec);
  const std::string token = fresh_secret();
  const std::string line = token + "\n";
  const Descriptor file(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, S_IRUSR | S_IWUSR));
  if (file.get() < 0 || ::write(file.get(), line.data(), line.size()) != static_cast<ssize_t>(line.size())) {
    return environment_error("cannot write the workers' token to " + path + ": " + std::strerror(errno));
  }
  return token;
}

Result<std::string> read_token(const std::string& path) {
  if (path == "-") {
    std::string line;
    std::getline(std::cin, line);
    return checked(line, "standard input");
  }
  struct stat about {};
  if (::stat(path.c_str(), &about) == 0 && S_ISREG(about.st_mode) && (about.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
    return candidate_error("others may read the token in " + path, "chmod 600 " + path);
  }
  VORTEX_ASSIGN(std::string text, read_file(path));
  return checked(std::move(text), path);
}

std::string proof_of(std::string_view token, std::initializer_list<std::string_view> words) {
  std::string key(token);
  if (key.size() > kBlockBytes) { key = bytes_of_hex(sha256_hex(key)); }
  key.resize(kBlockBytes, '\0');
  std::string inner;
  std::string outer;
  for (const char byte : key) {
    inner += static_cast<char>(byte ^ 0x36);
    outer += static_cast<char>(byte ^ 0x5c);
  }
  for (const std::string_view word : words) {
    inner += std::to_string(word.size());
    inner += ':';
    inner += word;
  }
  return sha256_hex(outer + bytes_of_hex(sha256_hex(inner)));
}

bool same_proof(std::string_view one, std::string_view other) {
  if (one.size() != other.size()) { return false; }
  unsigned difference = 0;
  for (size_t i = 0; i < one.size(); ++i) {
    difference |= static_cast<unsigned>(static_cast<unsigned char>(one[i]) ^ static_cast<unsigned char>(other[i]));
  }
  return difference == 0;
}

}  // namespace vortex::fleet
