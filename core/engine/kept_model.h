// What a keeper holds in memory for the workers of a search: weights as an engine lays them out, and prompts' KV.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/descriptor.h"
#include "base/result.h"
#include "core/engine/engine.h"
#include "core/engine/prefix.h"
#include "core/vflow/config/config.h"

namespace vortex::engine {

// Mapped read-only: memory of the host for the CPU engine, of a CUDA device for that device's.
struct KeptModel {
  std::shared_ptr<const char> weights;
  int64_t weight_bytes = 0;
  vflow::Dtype embedding = vflow::Dtype::kBf16;   // on the host: element type of the embedding
  std::shared_ptr<const char> prefixes;           // null: none
  std::map<std::string, int64_t> prefix_offsets;  // where an image begins, by its file name (prefix.h)
};

// Sealed memory of the host, to be handed to other processes.
struct HostImage {
  Descriptor memory;
  int64_t bytes = 0;
  vflow::Dtype embedding = vflow::Dtype::kBf16;
};

// A prompt's KV on its way into a block of memory that is shared.
struct NamedPrefix {
  std::string name;    // as prefix_file_name() has it
  int64_t offset = 0;  // where its image begins in the block
  PrefixPtr prefix;
};

struct PrefixBlock {
  std::vector<NamedPrefix> prefixes;
  int64_t bytes = 0;
};

// The KV of different prompts, computed by `engine` or loaded from `folder`: as many of the first ones as fit into
// `most_bytes`.
Result<PrefixBlock> prefill_all(Engine& engine, std::span<const std::vector<int32_t>> prompts,
                                const std::filesystem::path& folder, int64_t most_bytes);

// Copies a block that is not empty into sealed memory.
Result<HostImage> share_on_host(const PrefixBlock& block);

// The prompt's KV among what is kept (null: nothing is); null where it is not. `on_device` says which memory that is.
PrefixPtr find_kept_prefix(const KeptModel* kept, bool on_device, const model::Model& model,
                           std::span<const int32_t> prompt);

}  // namespace vortex::engine
