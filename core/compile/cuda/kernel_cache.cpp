#include "core/compile/cuda/kernel_cache.h"

#include "base/files.h"
#include "base/sha256.h"

namespace vortex::compile {

namespace {

// An entry is a line with the cubin's SHA-256, then the cubin.
constexpr std::string_view kMagic = "vortex-cubin 1 ";
constexpr size_t kDigest = 64;

}  // namespace

std::optional<std::string> KernelCache::find(const std::string& hash) const {
  if (folder_.empty()) {
    return std::nullopt;
  }
  Result<std::string> entry = read_file(folder_ / (hash + ".cubin"));
  const size_t head = kMagic.size() + kDigest + 1;
  if (!entry.ok() || entry->size() <= head || !entry->starts_with(kMagic) || (*entry)[head - 1] != '\n') {
    return std::nullopt;
  }
  const std::string digest = entry->substr(kMagic.size(), kDigest);
  entry->erase(0, head);
  if (sha256_hex(*entry) != digest) {
    return std::nullopt;
  }
  return std::move(*entry);
}

bool KernelCache::keep(const std::string& hash, const std::string& source, const std::string& cubin) const {
  if (folder_.empty()) {
    return false;
  }
  const std::string head = std::string(kMagic) + sha256_hex(cubin) + "\n";
  return write_file_atomic(folder_ / (hash + ".cu"), source).ok() &&
         write_file_atomic(folder_ / (hash + ".cubin"), head + cubin).ok();
}

}  // namespace vortex::compile
