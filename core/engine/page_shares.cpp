#include "core/engine/page_shares.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/compile/stages.h"
#include "kernels/cpu/bf16.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/select.h"
#include "kernels/cpu/vector.h"

namespace vortex::engine {
namespace {

int blocks_of(int tokens, int block_size) { return (tokens + block_size - 1) / block_size; }

// q.k of every token and query head, [token][group]; `keys` holds one block.
void score_tokens(const compile::PagedTensor& k, const AttentionRow& row, int group, float* keys, float* scores) {
  const cpu::VectorKernels& kernels = cpu::vector_kernels(cpu::best_isa());
  const auto* data = static_cast<const cpu::Bf16*>(k.data);
  const cpu::Operand queries{row.q, group, k.cols, false};
  for (int first = 0; first < row.tokens; first += k.rows) {
    const int count = std::min(k.rows, row.tokens - first);
    const int64_t page = row.pages[first / k.rows];
    kernels.from_bf16(int64_t{count} * k.cols, data + (page * k.kv_heads + row.head) * k.rows * k.cols, keys);
    kernels.gemm(1, queries, {keys, count, k.cols, true}, scores + int64_t{first} * group);
  }
}

// Adds one query head's softmax to the blocks' shares, `weight` in all.
void add_head(const float* scores, int group, int tokens, int block_size, float scale, double weight, float* shares) {
  float peak = scores[0];
  for (int token = 1; token < tokens; ++token) { peak = std::max(peak, scores[int64_t{token} * group]); }
  double all = 0;
  std::vector<double> mass(static_cast<size_t>(blocks_of(tokens, block_size)), 0);
  for (int token = 0; token < tokens; ++token) {
    const auto share = static_cast<double>(std::exp((scores[int64_t{token} * group] - peak) * scale));
    mass[static_cast<size_t>(token / block_size)] += share;
    all += share;
  }
  for (size_t block = 0; block < mass.size(); ++block) {
    shares[block] += static_cast<float>(weight * mass[block] / all);
  }
}

class Oracle final : public compile::CpuExecutable {
 public:
  Oracle(const vflow::EngineConfig& budget, int group, float scale) : budget_(budget), group_(group), scale_(scale) {}

  void update(const compile::LayerCache&, std::span<const int32_t>) const override {}

  void choose(const compile::LayerCache& cache, const compile::IndexerBatch& batch, compile::Selection& selection,
              std::vector<float>* scores) const override {
    const int heads = cache.k.kv_heads;
    const auto rows = static_cast<size_t>(batch.requests) * static_cast<size_t>(heads);
    selection.stride = batch.max_blocks;
    selection.blocks.resize(rows * static_cast<size_t>(batch.max_blocks));
    selection.counts.resize(rows);
    if (scores != nullptr) { scores->assign(rows * static_cast<size_t>(batch.max_blocks), NAN); }
    cpu::parallel_for(batch.pool, static_cast<int64_t>(rows), [&](int64_t begin, int64_t end, int) {
      std::vector<float> scratch;
      std::vector<float> shares(static_cast<size_t>(batch.max_blocks));
      for (int64_t row = begin; row < end; ++row) { select_row(cache, batch, row, scratch, shares, selection, scores); }
    });
  }

  std::string describe() const override { return "the pages with the largest true attention\n"; }

  std::vector<compile::KernelInfo> kernels() const override { return {}; }  // nothing that a policy compiled to

 private:
  void select_row(const compile::LayerCache& cache, const compile::IndexerBatch& batch, int64_t row,
                  std::vector<float>& scratch, std::vector<float>& shares, compile::Selection& selection,
                  std::vector<float>* scores) const {
    const compile::PagedTensor& k = cache.k;
    const auto request = row / k.kv_heads;
    const int n = blocks_of(batch.seq_lens[request], k.rows);
    int32_t* chosen = &selection.blocks[static_cast<size_t>(row * batch.max_blocks)];
    const AttentionRow attention{batch.q + row * group_ * k.cols, batch.block_table + request * batch.max_blocks,
                                 static_cast<int>(row % k.kv_heads), batch.seq_lens[request]};
    const bool fits = compile::row_budget(budget_, n).everything_fits;  // then nothing is scored
    if (!fits) { page_shares(k, attention, group_, scale_, scratch, shares.data()); }
    if (!fits && scores != nullptr) {
      std::copy_n(shares.data(), n, &(*scores)[static_cast<size_t>(row * batch.max_blocks)]);
    }
    selection.counts[static_cast<size_t>(row)] = best_blocks(budget_, shares.data(), n, chosen);
  }

  vflow::EngineConfig budget_;
  int group_;
  float scale_;
};

}  // namespace

void page_shares(const compile::PagedTensor& k, const AttentionRow& row, int group, float scale,
                 std::vector<float>& scratch, float* shares) {
  const auto block_values = static_cast<size_t>(k.rows) * static_cast<size_t>(k.cols);
  scratch.resize(block_values + static_cast<size_t>(row.tokens) * static_cast<size_t>(group));
  float* scores = scratch.data() + block_values;
  score_tokens(k, row, group, scratch.data(), scores);
  std::fill_n(shares, blocks_of(row.tokens, k.rows), 0.0F);
  for (int head = 0; head < group; ++head) {
    add_head(scores + head, group, row.tokens, k.rows, scale, 1.0 / group, shares);
  }
}

int best_blocks(const vflow::EngineConfig& budget, const float* shares, int n, int32_t* chosen) {
  const compile::RowBudget row = compile::row_budget(budget, n);
  if (row.everything_fits) {
    std::iota(chosen, chosen + n, 0);
    return n;
  }
  std::iota(chosen, chosen + row.bos, 0);
  const int middle = std::max(0, n - budget.reserved_bos - budget.reserved_eos);
  int count = row.bos;
  count += cpu::select_largest(shares + std::min(budget.reserved_bos, n), middle, row.middle, 0, budget.reserved_bos,
                               chosen + count);
  std::iota(chosen + count, chosen + count + row.eos, n - row.eos);
  return count + row.eos;
}

std::unique_ptr<compile::CpuExecutable> make_oracle(const vflow::EngineConfig& budget, int group, float scale) {
  return std::make_unique<Oracle>(budget, group, scale);
}

}  // namespace vortex::engine
