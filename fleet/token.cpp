#include "fleet/token.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <iostream>

#include "base/descriptor.h"
#include "base/files.h"
#include "base/secret.h"
#include "base/text.h"

namespace vortex::fleet {
namespace {

constexpr size_t kLeastToken = 16;  // characters

Result<std::string> checked(std::string text, const std::string& from) {
  text = first_line(text);
  while (!text.empty() && (text.back() == '\r' || text.back() == ' ')) { text.pop_back(); }
  if (text.size() >= kLeastToken) { return text; }
  return candidate_error("no token in " + from, "it is the first line, at least " + std::to_string(kLeastToken) +
                                                    " characters; the search has written one");
}

}  // namespace

Result<std::string> token_in(const std::string& path) {
  std::error_code ec;
  if (std::filesystem::exists(path, ec)) { return read_token(path); }
  std::filesystem::create_directories(std::filesystem::path(path).parent_path(), ec);
  const std::string token = random_hex(kSecretBytes);
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
  std::string text;
  for (const std::string_view word : words) { text.append(std::to_string(word.size())).append(":").append(word); }
  return hmac_sha256_hex(token, text);
}

}  // namespace vortex::fleet
