// Kinds of attention on the CPU: everything in which they differ, as one set of functions. The loops over prompts
// (prefill.cpp) and steps (decode.cpp), the KV pool, snapshots, policies and what measures them know no kind; they know
// what a token leaves in the cache (ModelConfig::num_kv_heads, head_dim, cached_values). docs/models.md says how to add
// one.
#pragma once

#include <string_view>
#include <vector>

#include "base/result.h"
#include "core/compile/executable.h"
#include "core/engine/packed_model.h"
#include "core/engine/packer.h"
#include "kernels/cpu/attention.h"

namespace vortex::engine {

// Attention of a prompt's tokens from `first_row` on over themselves and all before them, in one layer.
struct PromptAttention {
  const float* q = nullptr;           // [token from first_row on][prompt_width]
  float* attended = nullptr;          // like q
  const cpu::Bf16* cached = nullptr;  // what the layer caches: [head of k, then of v][token][head_dim]
  int tokens = 0;                     // of the prompt so far
  int first_row = 0;
  int first_query = 0;  // nothing is wanted of tokens from first_row on before this one
  // Kept from layer to layer: the kernel's memory, K and V where they are not what is cached, and one scratch of
  // kPromptChunk rows a worker.
  std::vector<float>* panels = nullptr;
  std::vector<float>* keys = nullptr;
  std::vector<float>* values = nullptr;
  std::vector<LayerScratch>* scratch = nullptr;
};
inline constexpr int kPromptChunk = 64;  // tokens of a prompt that one worker takes through a layer at a time

struct AttentionKind {
  std::string_view name;

  // Do the kernels cover the model's shape? The candidate's error says what they do cover.
  Status (*check)(const model::ModelConfig& config);

  // The layer's arrays but those of its norms of x and of its MLP.
  void (*pack)(Packer& packer, const model::LayerWeights& from, PackedLayer& to);

  // The tensors that a page of a layer has for its tokens, without memory; policies' fields come on top. A token's row
  // of scratch.kv goes into k's heads, then into v's.
  compile::LayerCache (*layout)(const model::ModelConfig& config, int block_size);

  // A decode step. Norm of x, projections, rotary embedding: q [row][kv head][group][head_dim] and scratch.kv.
  void (*inputs)(const PackedModel& model, int layer, const Rows& rows, LayerScratch& scratch, float* q,
                 cpu::ThreadPool* pool);
  // Attends; `args` has q, out, the tables and the selection, and is completed here.
  void (*attend)(const PackedModel& model, const compile::LayerCache& cache, cpu::AttentionArgs args,
                 cpu::ThreadPool* pool);
  // x += output projection of what attend() gave.
  void (*outputs)(const PackedModel& model, int layer, const Rows& rows, const float* attended, LayerScratch& scratch,
                  cpu::ThreadPool* pool);

  // A prompt: the same in three steps, with queries and outputs of `prompt_width` elements a token.
  int (*prompt_width)(const model::ModelConfig& config);
  void (*prompt_inputs)(const PackedModel& model, int layer, const Rows& rows, LayerScratch& scratch, float* q,
                        cpu::ThreadPool* pool);
  void (*prompt_attend)(const PackedModel& model, int layer, const PromptAttention& prompt, cpu::ThreadPool* pool);
  void (*prompt_outputs)(const PackedModel& model, int layer, const Rows& rows, const float* attended,
                         LayerScratch& scratch, cpu::ThreadPool* pool);
};

extern const AttentionKind kGroupedQuery;
extern const AttentionKind kLatent;

// The model's kind.
const AttentionKind& attention_kind(const model::ModelConfig& config);

}  // namespace vortex::engine
