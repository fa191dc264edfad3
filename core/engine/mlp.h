// The MLP of a layer on the CPU: one for every token, or a choice of experts.
#pragma once

#include "core/engine/packed_model.h"
#include "core/engine/packer.h"
#include "kernels/cpu/router.h"

namespace vortex::engine {

// How a model chooses its experts; `bias` where the model has one, in whatever memory the router runs on.
cpu::ExpertRule expert_rule(const model::Experts& experts, const float* bias);

// The arrays of layer `layer` but the norm before them.
void pack_mlp(Packer& packer, const model::LayerWeights& from, int layer, PackedLayer& to);

// x += MLP(norm(x)). With experts: router in float32 (kernels/cpu/router.h); of each token's experts the answers are
// added in the order in which they were chosen, then the shared expert's; all in float32. Each row's result depends on
// that row alone. Adds the bytes of experts that some row chose to scratch.expert_bytes.
void add_mlp(const PackedModel& model, int layer, const Rows& rows, LayerScratch& scratch, cpu::ThreadPool* pool);

// The most inner elements that a token takes: of one MLP, or of all experts that it goes through.
int64_t mlp_width(const model::ModelConfig& config);

// Bytes of weights of one layer that a step reads whatever is chosen.
int64_t mlp_bytes(const PackedLayer& layer);

}  // namespace vortex::engine
