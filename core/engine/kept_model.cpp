#include "core/engine/kept_model.h"

#include <algorithm>
#include <cstring>

#include "base/shared_memory.h"

namespace vortex::engine {
namespace {

constexpr int64_t kPageBytes = 4096;

int64_t padded(size_t bytes) { return (static_cast<int64_t>(bytes) + kPageBytes - 1) / kPageBytes * kPageBytes; }

}  // namespace

Result<PrefixBlock> prefill_all(Engine& engine, std::span<const std::vector<int32_t>> prompts,
                                const std::filesystem::path& folder, int64_t most_bytes) {
  PrefixBlock block;
  for (const std::vector<int32_t>& prompt : prompts) {
    std::string name = prefix_file_name(engine.model(), prompt);
    const auto same = [&](const NamedPrefix& other) { return other.name == name; };
    if (std::any_of(block.prefixes.begin(), block.prefixes.end(), same)) { continue; }
    const int64_t bytes = padded(prefix_bytes(engine.model(), prompt));
    if (block.bytes + bytes > most_bytes) { break; }
    VORTEX_ASSIGN(PrefixPtr prefix, engine.snapshot(prompt, folder));
    block.prefixes.push_back({std::move(name), block.bytes, std::move(prefix)});
    block.bytes += bytes;
  }
  return block;
}

Result<HostImage> share_on_host(const PrefixBlock& block) {
  HostImage image;
  image.bytes = block.bytes;
  VORTEX_ASSIGN(SharedMemory memory, SharedMemory::make(static_cast<size_t>(block.bytes)));
  for (const NamedPrefix& named : block.prefixes) {
    const std::string_view bytes = named.prefix->bytes();
    std::memcpy(memory.data() + named.offset, bytes.data(), bytes.size());
  }
  VORTEX_ASSIGN(image.memory, std::move(memory).seal());
  return image;
}

PrefixPtr find_kept_prefix(const KeptModel* kept, bool on_device, const model::Model& model,
                           std::span<const int32_t> prompt) {
  if (kept == nullptr || kept->prefixes == nullptr) { return nullptr; }
  const auto found = kept->prefix_offsets.find(prefix_file_name(model, prompt));
  if (found == kept->prefix_offsets.end()) { return nullptr; }
  // Shares the ownership of the whole block.
  std::shared_ptr<const char> image(kept->prefixes, kept->prefixes.get() + found->second);
  auto prefix = std::make_shared<const Prefix>(kept_prefix(std::move(image), on_device, model, prompt));
  return prefix_matches(*prefix, model, prompt) ? prefix : nullptr;
}

}  // namespace vortex::engine
