#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "base/mapped_file.h"
#include "base/result.h"
#include "core/engine/engine.h"
#include "core/model/model.h"
#include "kernels/cpu/bf16.h"

namespace vortex::engine {

// The image of a snapshot file: a PrefixHeader, the logits after the last token (float32 [vocab]), then what layers
// cache, K and V as [layer][k, v][kv head][token][head_dim] bf16, latents as [layer][token][head_dim]; in memory or
// mapped.
struct Prefix {
  std::vector<char> memory;  // used when the others are empty
  std::optional<MappedFile> file;
  std::shared_ptr<const char> kept;       // in memory that a keeper shares
  std::shared_ptr<const char> on_device;  // in device memory that a keeper shares; `memory` then is the header alone
  PrefixPtr whole;     // of all kv heads, where this has some of them: `memory` then is the header alone
  int first_head = 0;  // of K in `whole`
  int tokens = 0;
  int vocab = 0;
  int heads = 0;  // of K and V together; a latent is one
  int head_dim = 0;

  const char* image() const;
  // The image's own bytes, of a prefix that is in memory or in a file.
  std::string_view bytes() const { return file ? file->bytes() : std::string_view(memory.data(), memory.size()); }
  // These lie on the device where the image does.
  const float* logits() const;
  // [token][head_dim] of one of a layer's heads: those of K, behind them those of V.
  const cpu::Bf16* keys(int layer, int head) const;
};

// An image with its header, whose logits, K and V are still to be written.
Prefix make_prefix(const model::Model& model, std::span<const int32_t> prompt);

// The size of such an image.
size_t prefix_bytes(const model::Model& model, std::span<const int32_t> prompt);

// An image that somebody keeps, in memory of the host or, with `on_device`, of a device: there its header is not read.
Prefix kept_prefix(std::shared_ptr<const char> image, bool on_device, const model::Model& model,
                   std::span<const int32_t> prompt);

// What a rank of a model has of `whole`, without a copy: K and V from kv head `first_head` on. `part` is the model as
// the rank sees it; who asks for no match (prefix_matches) may leave out the prompt.
Prefix part_of_prefix(PrefixPtr whole, const model::Model& part, std::span<const int32_t> prompt, int first_head);

// The other way round, as a copy: `ranks` are of consecutive kv heads.
Prefix join_prefixes(std::span<const Prefix> ranks, const model::Model& model, std::span<const int32_t> prompt);

// Was `prefix` made by this model from this prompt?
bool prefix_matches(const Prefix& prefix, const model::Model& model, std::span<const int32_t> prompt);

// The snapshot's file name: it differs when the model, the prompt or the format does.
std::string prefix_file_name(const model::Model& model, std::span<const int32_t> prompt);

// Writes a snapshot; a failure is the environment's.
Status save_prefix(const Prefix& prefix, const std::filesystem::path& path);

// Maps a snapshot and marks it as used now. Nothing when it is absent, damaged, or of another model or prompt.
std::optional<Prefix> load_prefix(const std::filesystem::path& path, const model::Model& model,
                                  std::span<const int32_t> prompt);

// Removes snapshots from a folder, those that were used longest ago first, until what is left has at most `bytes`
// bytes. `keep` are file names that stay whatever they weigh. Snapshots that a running engine has mapped stay readable
// to it. A folder that is not there has none; what cannot be removed is the environment's fault.
Status trim_prefixes(const std::filesystem::path& folder, int64_t bytes, const std::set<std::string>& keep);

}  // namespace vortex::engine
