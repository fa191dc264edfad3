#include "core/engine/prefix.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>

#include "base/files.h"
#include "base/sha256.h"

namespace vortex::engine {
namespace {

constexpr const char* kExtension = ".kv";
constexpr std::string_view kMagic = "vortex-kv-bf16-1";

// Everything but `payload_hash` follows from the model and the prompt, so a snapshot is checked by comparing headers.
struct PrefixHeader {
  std::array<char, 16> magic;
  std::array<char, 64> model_hash;
  std::array<char, 64> prompt_hash;
  std::array<char, 64> payload_hash;
  std::array<int32_t, 6> shape;     // layers, kv heads, head_dim, tokens, vocab, size of this header
  std::array<char, 24> arithmetic;  // Model::arithmetic
};
static_assert(sizeof(PrefixHeader) == 256);  // keeps the payload aligned

std::string hash_prompt(std::span<const int32_t> prompt) {
  return sha256_hex({reinterpret_cast<const char*>(prompt.data()), prompt.size_bytes()});
}

PrefixHeader header_of(const model::Model& model, std::span<const int32_t> prompt) {
  const model::ModelConfig& c = model.config;
  PrefixHeader header{};
  std::copy_n(kMagic.data(), header.magic.size(), header.magic.begin());
  std::copy_n(model.hash.data(), std::min<size_t>(model.hash.size(), 64), header.model_hash.begin());
  std::copy_n(hash_prompt(prompt).data(), 64, header.prompt_hash.begin());
  std::copy_n(model.arithmetic.data(), std::min(model.arithmetic.size(), header.arithmetic.size()),
              header.arithmetic.begin());
  header.shape = {c.num_layers, c.num_kv_heads,
                  c.head_dim,   static_cast<int32_t>(prompt.size()),
                  c.vocab_size, static_cast<int32_t>(sizeof(PrefixHeader))};
  return header;
}

size_t logits_bytes(int vocab) { return static_cast<size_t>(vocab) * sizeof(float); }

size_t image_bytes(const model::ModelConfig& model, size_t tokens) {
  return sizeof(PrefixHeader) + logits_bytes(model.vocab_size) +
         sizeof(cpu::Bf16) * static_cast<size_t>(model.num_layers) * static_cast<size_t>(model.cached_values()) *
             tokens;
}

Prefix shape_prefix(const model::Model& model, std::span<const int32_t> prompt) {
  const model::ModelConfig& c = model.config;
  Prefix prefix;
  prefix.tokens = static_cast<int>(prompt.size());
  prefix.vocab = c.vocab_size;
  prefix.heads = static_cast<int>(c.cached_values() / c.head_dim);
  prefix.head_dim = c.head_dim;
  return prefix;
}

std::string hash_payload(std::string_view image) { return sha256_hex(image.substr(sizeof(PrefixHeader))); }

}  // namespace

const char* Prefix::image() const {
  if (on_device != nullptr) { return on_device.get(); }
  return kept != nullptr ? kept.get() : bytes().data();
}

const float* Prefix::logits() const {
  if (whole != nullptr) { return whole->logits(); }
  return reinterpret_cast<const float*>(image() + sizeof(PrefixHeader));
}

const cpu::Bf16* Prefix::keys(int layer, int head) const {
  if (whole != nullptr) {
    const int own = heads / 2;
    return whole->keys(layer, first_head + (head < own ? head : whole->heads / 2 + head - own));
  }
  const auto* kv = reinterpret_cast<const cpu::Bf16*>(image() + sizeof(PrefixHeader) + logits_bytes(vocab));
  return kv + (static_cast<int64_t>(layer) * heads + head) * tokens * head_dim;
}

Prefix make_prefix(const model::Model& model, std::span<const int32_t> prompt) {
  const PrefixHeader header = header_of(model, prompt);
  Prefix prefix = shape_prefix(model, prompt);
  prefix.memory.resize(image_bytes(model.config, prompt.size()));
  std::memcpy(prefix.memory.data(), &header, sizeof(header));
  return prefix;
}

size_t prefix_bytes(const model::Model& model, std::span<const int32_t> prompt) {
  return image_bytes(model.config, prompt.size());
}

Prefix kept_prefix(std::shared_ptr<const char> image, bool on_device, const model::Model& model,
                   std::span<const int32_t> prompt) {
  Prefix prefix = shape_prefix(model, prompt);
  if (!on_device) {
    prefix.kept = std::move(image);
    return prefix;
  }
  const PrefixHeader header = header_of(model, prompt);
  prefix.memory.resize(sizeof(header));
  std::memcpy(prefix.memory.data(), &header, sizeof(header));
  prefix.on_device = std::move(image);
  return prefix;
}

Prefix part_of_prefix(PrefixPtr whole, const model::Model& part, std::span<const int32_t> prompt, int first_head) {
  const PrefixHeader header = header_of(part, prompt);
  Prefix prefix = shape_prefix(part, prompt);
  prefix.memory.resize(sizeof(header));
  std::memcpy(prefix.memory.data(), &header, sizeof(header));
  prefix.tokens = whole->tokens;
  prefix.whole = std::move(whole);
  prefix.first_head = first_head;
  return prefix;
}

Prefix join_prefixes(std::span<const Prefix> ranks, const model::Model& model, std::span<const int32_t> prompt) {
  Prefix joined = make_prefix(model, prompt);
  std::memcpy(const_cast<float*>(joined.logits()), ranks[0].logits(), logits_bytes(joined.vocab));
  const int heads = joined.heads / 2;
  const size_t head_bytes =
      sizeof(cpu::Bf16) * static_cast<size_t>(joined.tokens) * static_cast<size_t>(joined.head_dim);
  for (int layer = 0; layer < model.config.num_layers; ++layer) {
    int first = 0;
    for (const Prefix& rank : ranks) {
      const int own = rank.heads / 2;
      for (int head = 0; head < rank.heads; ++head) {
        const int to = first + (head < own ? head : heads + head - own);
        std::memcpy(const_cast<cpu::Bf16*>(joined.keys(layer, to)), rank.keys(layer, head), head_bytes);
      }
      first += own;
    }
  }
  return joined;
}

bool prefix_matches(const Prefix& prefix, const model::Model& model, std::span<const int32_t> prompt) {
  PrefixHeader header;
  const bool header_alone = prefix.on_device != nullptr || prefix.whole != nullptr;
  std::memcpy(&header, header_alone ? prefix.memory.data() : prefix.image(), sizeof(header));
  PrefixHeader expected = header_of(model, prompt);
  expected.payload_hash = header.payload_hash;
  return std::memcmp(&header, &expected, sizeof(header)) == 0;
}

std::string prefix_file_name(const model::Model& model, std::span<const int32_t> prompt) {
  const PrefixHeader header = header_of(model, prompt);
  return sha256_hex({reinterpret_cast<const char*>(&header), sizeof(header)}).substr(0, 32) + kExtension;
}

Status save_prefix(const Prefix& prefix, const std::filesystem::path& path) {
  std::string image(prefix.memory.begin(), prefix.memory.end());
  image.replace(offsetof(PrefixHeader, payload_hash), 64, hash_payload(image));
  return write_file_atomic(path, image);
}

std::optional<Prefix> load_prefix(const std::filesystem::path& path, const model::Model& model,
                                  std::span<const int32_t> prompt) {
  auto file = MappedFile::open(path);
  if (!file.ok() || file->bytes().size() != image_bytes(model.config, prompt.size())) { return std::nullopt; }
  const std::string_view image = file->bytes();
  if (image.substr(offsetof(PrefixHeader, payload_hash), 64) != hash_payload(image)) { return std::nullopt; }
  Prefix prefix = shape_prefix(model, prompt);
  prefix.file = std::move(*file);
  if (!prefix_matches(prefix, model, prompt)) { return std::nullopt; }
  std::error_code ec;  // a read-only folder serves as well
  std::filesystem::last_write_time(path, std::filesystem::file_time_type::clock::now(), ec);
  return prefix;
}

Status trim_prefixes(const std::filesystem::path& folder, int64_t bytes, const std::set<std::string>& keep) {
  struct Snapshot {
    std::filesystem::file_time_type used;
    std::filesystem::path path;
    int64_t size = 0;
  };
  std::vector<Snapshot> snapshots;
  int64_t total = 0;
  std::error_code ec;
  for (const auto& entry : std::filesystem::directory_iterator(folder, ec)) {
    if (entry.path().extension() != kExtension) { continue; }
    std::error_code gone;  // another worker may have removed it meanwhile
    const auto size = static_cast<int64_t>(entry.file_size(gone));
    const auto used = entry.last_write_time(gone);
    if (gone) { continue; }
    total += size;
    if (!keep.contains(entry.path().filename().string())) { snapshots.push_back({used, entry.path(), size}); }
  }
  std::sort(snapshots.begin(), snapshots.end(), [](const Snapshot& a, const Snapshot& b) { return a.used < b.used; });
  for (const Snapshot& snapshot : snapshots) {
    if (total <= bytes) { break; }
    std::filesystem::remove(snapshot.path, ec);
    if (ec) { return environment_error("cannot remove " + snapshot.path.string() + ": " + ec.message()); }
    total -= snapshot.size;
  }
  return ok_status();
}

}  // namespace vortex::engine
