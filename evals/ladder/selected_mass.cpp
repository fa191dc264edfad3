#include "evals/ladder/selected_mass.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/cpu/bf16.h"

namespace vortex::evals {
namespace {

// One (request, kv head): its pages, and which of them were chosen.
struct Row {
  int request = 0;
  int head = 0;
  std::vector<bool> chosen;  // [block]
};

// Scores of one query head against all tokens of a row, [token].
void score_tokens(const engine::AttentionView& view, const Row& row, const float* q, double scale,
                  std::vector<float>& scores) {
  const compile::PagedTensor& k = view.cache->k;
  const auto* keys = static_cast<const cpu::Bf16*>(k.data);
  const int tokens = view.seq_lens[row.request];
  scores.resize(static_cast<size_t>(tokens));
  for (int token = 0; token < tokens; ++token) {
    const int64_t page = view.block_table[row.request * view.max_blocks + token / k.rows];
    const cpu::Bf16* key = keys + ((page * k.kv_heads + row.head) * k.rows + token % k.rows) * k.cols;
    float dot = 0;
    for (int i = 0; i < k.cols; ++i) dot += q[i] * cpu::bf16_to_float(key[i]);
    scores[static_cast<size_t>(token)] = dot * static_cast<float>(scale);
  }
}

// Share of softmax(scores) on the chosen blocks.
double chosen_share(const std::vector<float>& scores, const std::vector<bool>& chosen, int block_size) {
  const float peak = *std::max_element(scores.begin(), scores.end());
  double all = 0;
  double on_chosen = 0;
  for (size_t token = 0; token < scores.size(); ++token) {
    const double weight = std::exp(scores[token] - peak);
    all += weight;
    if (chosen[token / static_cast<size_t>(block_size)]) on_chosen += weight;
  }
  return on_chosen / all;
}

}  // namespace

double selected_mass(const engine::AttentionView& view, int group, double scale) {
  if (view.selection == nullptr) return 1.0;
  const compile::Selection& selection = *view.selection;
  const compile::PagedTensor& k = view.cache->k;
  std::vector<float> scores;
  double total = 0;
  for (int request = 0; request < view.requests; ++request) {
    for (int head = 0; head < k.kv_heads; ++head) {
      const auto index = static_cast<size_t>(request * k.kv_heads + head);
      Row row{request, head, std::vector<bool>(static_cast<size_t>(view.max_blocks), false)};
      const int32_t* blocks = &selection.blocks[index * static_cast<size_t>(selection.stride)];
      for (int i = 0; i < selection.counts[index]; ++i) row.chosen[static_cast<size_t>(blocks[i])] = true;
      for (int member = 0; member < group; ++member) {
        const float* q = view.q + (static_cast<int64_t>(index) * group + member) * k.cols;
        score_tokens(view, row, q, scale, scores);
        total += chosen_share(scores, row.chosen, k.rows);
      }
    }
  }
  return total / (static_cast<double>(view.requests) * k.kv_heads * group);
}

}  // namespace vortex::evals
