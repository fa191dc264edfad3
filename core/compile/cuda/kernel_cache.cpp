#include "core/compile/cuda/kernel_cache.h"

#include "base/files.h"
#include "base/sha256.h"

namespace vortex::compile {

namespace {

// An entry is a line with the SHA-256 of everything behind it; then what the kernels use, a line each; an empty line;
// the cubin.
constexpr std::string_view kMagic = "vortex-cubin 2 ";
constexpr size_t kDigest = 64;
constexpr size_t kHeadBytes = kMagic.size() + kDigest + 1;

std::optional<CompiledSource> parse(std::string_view body) {
  const size_t end = body.starts_with('\n') ? 0 : body.find("\n\n");
  if (end == std::string_view::npos) { return std::nullopt; }
  CompiledSource compiled;
  compiled.resources = resources_from_text(body.substr(0, end));
  compiled.cubin = body.substr(end == 0 ? 1 : end + 2);
  return compiled;
}

}  // namespace

std::optional<CompiledSource> KernelCache::find(const std::string& hash) const {
  if (folder_.empty()) { return std::nullopt; }
  const Result<std::string> entry = read_file(folder_ / (hash + ".cubin"));
  if (!entry.ok() || entry->size() <= kHeadBytes || !entry->starts_with(kMagic) || (*entry)[kHeadBytes - 1] != '\n') {
    return std::nullopt;
  }
  const std::string_view body = std::string_view(*entry).substr(kHeadBytes);
  return sha256_hex(body) == entry->substr(kMagic.size(), kDigest) ? parse(body) : std::nullopt;
}

bool KernelCache::keep(const std::string& hash, const std::string& source, const CompiledSource& compiled) const {
  if (folder_.empty()) { return false; }
  const std::string body = resources_text(compiled.resources) + "\n" + compiled.cubin;
  return write_file_atomic(folder_ / (hash + ".cu"), source).ok() &&
         write_file_atomic(folder_ / (hash + ".cubin"), std::string(kMagic) + sha256_hex(body) + "\n" + body).ok();
}

}  // namespace vortex::compile
