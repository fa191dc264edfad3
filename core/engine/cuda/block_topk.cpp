#include "core/engine/cuda/block_topk.h"

#include <algorithm>
#include <set>

#include "base/sha256.h"
#include "core/compile/cuda/build.h"
#include "core/engine/cuda/device_code.h"
#include "core/engine/cuda/device_pool.h"
#include "core/vflow/program.h"
#include "kernels/cuda/select.h"

namespace vortex::engine {
namespace {

using vflow::Node;
using vflow::Op;

// The node that `node` takes as operand `input`, if it is `op`.
const Node* operand(const vflow::Graph& graph, const Node* node, size_t input, Op op) {
  if (node == nullptr || node->inputs.size() <= input) { return nullptr; }
  const Node& found = graph.nodes[static_cast<size_t>(node->inputs[input])];
  return found.op == op ? &found : nullptr;
}

// The only node of the graph with this operation.
const Node* only(const vflow::Graph& graph, Op op) {
  const Node* found = nullptr;
  for (const Node& node : graph.nodes) {
    if (node.op != op) { continue; }
    if (found != nullptr) { return nullptr; }
    found = &node;
  }
  return found;
}

// field 0 <- mean of k over the tokens of the page.
bool makes_centroids(const vflow::Program& program) {
  const Node* store = only(program.cache, Op::kStore);
  const Node* mean = operand(program.cache, store, 0, Op::kMean);
  const Node* k = operand(program.cache, mean, 0, Op::kField);
  return program.cache.nodes.size() == 3 && k != nullptr && mean->attrs.dim == 1 && store->attrs.field == 0 &&
         program.fields[static_cast<size_t>(k->attrs.field)].name == "k";
}

// topK(GeMM(mean of q over the group, centroid)).
bool scores_by_mean_query(const vflow::Program& program) {
  const vflow::Graph& graph = program.indexer;
  const Node* topk = only(graph, Op::kTopK);
  const Node* product = operand(graph, topk, 0, Op::kGemm);
  const Node* mean = operand(graph, product, 0, Op::kMean);
  const Node* centroid = operand(graph, product, 1, Op::kField);
  return graph.nodes.size() == 5 && operand(graph, mean, 0, Op::kQuery) != nullptr && mean->attrs.dim == 1 &&
         centroid != nullptr && centroid->attrs.field == 0;
}

}  // namespace

std::unique_ptr<BlockTopK> BlockTopK::match(const vflow::Policy& policy) {
  const vflow::Program& program = policy.program;
  const vflow::EngineConfig& config = policy.config;
  const bool one_field = program.fields.size() == 3 && !program.fields[0].builtin;
  if (program.dialect != vflow::Dialect::kGqa || !one_field || config.dtype != vflow::Dtype::kBf16) { return nullptr; }
  if (!config.schedule.is_default() || config.reserved_eos < 1) { return nullptr; }
  if (!makes_centroids(program) || !scores_by_mean_query(program)) { return nullptr; }
  return std::unique_ptr<BlockTopK>(new BlockTopK(config, program.geometry.head_dim));
}

BlockTopK::BlockTopK(vflow::EngineConfig config, int head_dim) : config_(std::move(config)), head_dim_(head_dim) {
  for (const auto& [name, text] : block_topk_sources()) { source_ += "// " + name + "\n" + text + "\n"; }
}

cuda::BudgetRule BlockTopK::budget_rule() const {
  return {config_.topk_val, static_cast<float>(config_.topk_ratio), config_.reserved_bos, config_.reserved_eos};
}

cuda::BlockSummary BlockTopK::summary(const compile::CudaLayerCache& cache) const {
  cuda::BlockSummary summary;
  summary.mean = static_cast<cuda::Bf16*>(cache.fields[0]);
  return summary;
}

size_t BlockTopK::workspace_bytes(int, int) const { return 0; }

int BlockTopK::max_selected(int max_blocks) const {
  const int reserved = config_.reserved_bos + config_.reserved_eos;
  return std::max(vflow::selected_blocks(config_, max_blocks), std::max(reserved, config_.topk_val + reserved));
}

cudaError_t BlockTopK::update_range(const compile::CudaLayerCache& cache, const compile::CudaBatch& batch,
                                    const std::int32_t* first_tokens, int max_new_blocks, cudaStream_t stream) const {
  cuda::SummarizeBlocks args;
  args.kv = cache.kv;
  args.table = batch.table;
  args.first_tokens = first_tokens;
  args.num_requests = batch.num_requests;
  args.max_new_blocks = max_new_blocks;
  args.summary = summary(cache);
  return cuda::summarize_blocks(args, stream);
}

cuda::SelectAndAttend BlockTopK::arguments(const compile::CudaLayerCache& cache, const compile::CudaBatch& batch,
                                           const compile::CudaSelection& selection) const {
  cuda::SelectAndAttend args;
  args.score.q = batch.q;
  args.score.centroids = static_cast<const cuda::Bf16*>(cache.fields[0]);
  args.score.pages = batch.table.pages;
  args.score.max_blocks = batch.table.max_blocks;
  args.score.num_q_heads = batch.num_q_heads;
  args.score.head_dim = cache.kv.head_dim;
  args.score.round_bf16 = true;
  args.rule.lengths = batch.table.lengths;
  args.rule.budgets = batch.budgets;
  args.rule.num_requests = batch.num_requests;
  args.rule.num_kv_heads = cache.kv.num_kv_heads;
  args.rule.block = cache.kv.block;
  args.rule.reserved_bos = config_.reserved_bos;
  args.rule.reserved_eos = config_.reserved_eos;
  args.out = {selection.blocks, selection.counts, selection.max_selected};
  return args;
}

cudaError_t BlockTopK::select(const compile::CudaLayerCache& cache, const compile::CudaBatch& batch,
                              const compile::CudaSelection& selection, cudaStream_t stream) const {
  const cuda::SelectAndAttend args = arguments(cache, batch, selection);
  return cuda::score_and_select(args.score, args.rule, args.out, stream);
}

std::vector<compile::KernelInfo> BlockTopK::kernels() const {
  std::vector<compile::KernelInfo> result;
  cudaFuncAttributes attributes{};
  const auto add = [&](const std::string& name, cudaError_t found) {
    if (found != cudaSuccess) { return; }
    compile::KernelInfo kernel = compile::describe_kernel(name, attributes);
    kernel.source_hash = sha256_hex(source_);
    kernel.binary_hash = device_code_hash();
    result.push_back(std::move(kernel));
  };
  for (const int threads : {512, 256}) {
    add("score_and_select, " + std::to_string(threads) + " threads",
        cuda::score_and_select_attributes(head_dim_, threads, attributes));
  }
  const auto type = kv_type_of(config_.kv_dtype);
  if (type) { add("summarize_blocks", cuda::summarize_blocks_attributes(*type, head_dim_, attributes)); }
  return result;
}

std::string BlockTopK::describe() const {
  return "append: centroid of each completed block\nselect: q mean x centroid, top-k of blocks, one kernel\n";
}

}  // namespace vortex::engine
