#include "core/engine/recall.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <vector>

#include "kernels/cpu/bf16.h"

namespace vortex::engine {
namespace {

// Pages [first, last) of a row.
struct Range {
  int first = 0;
  int last = 0;
};

// Scores of one query head against all tokens of (request, kv head), [token].
void score_tokens(const AttentionView& view, int request, int head, const float* q, double scale,
                  std::vector<float>& scores) {
  const compile::PagedTensor& k = view.cache->k;
  const auto* keys = static_cast<const cpu::Bf16*>(k.data);
  scores.resize(static_cast<size_t>(view.seq_lens[request]));
  for (size_t token = 0; token < scores.size(); ++token) {
    const auto at = static_cast<int>(token);
    const int64_t page = view.block_table[request * view.max_blocks + at / k.rows];
    const cpu::Bf16* key = keys + ((page * k.kv_heads + head) * k.rows + at % k.rows) * k.cols;
    float dot = 0;
    for (int i = 0; i < k.cols; ++i) { dot += q[i] * cpu::bf16_to_float(key[i]); }
    scores[token] = dot * static_cast<float>(scale);
  }
}

// The softmax of the scores, added up by page.
std::vector<double> page_masses(const std::vector<float>& scores, int block_size) {
  const float peak = *std::max_element(scores.begin(), scores.end());
  std::vector<double> masses((scores.size() + static_cast<size_t>(block_size) - 1) / static_cast<size_t>(block_size));
  double total = 0;
  for (size_t token = 0; token < scores.size(); ++token) {
    const double weight = std::exp(static_cast<double>(scores[token]) - static_cast<double>(peak));
    masses[token / static_cast<size_t>(block_size)] += weight;
    total += weight;
  }
  for (double& mass : masses) { mass /= total; }
  return masses;
}

// Share of the range's mass on its attended pages; 1 where the range has none.
double attended_share(const std::vector<double>& masses, const std::vector<bool>& attended, const Range& range) {
  double all = 0;
  double on_attended = 0;
  for (auto page = static_cast<size_t>(range.first); page < static_cast<size_t>(range.last); ++page) {
    all += masses[page];
    if (attended[page]) { on_attended += masses[page]; }
  }
  return all > 0 ? on_attended / all : 1.0;
}

// Of the k pages of the range with the most mass, the share attended; k pages of it are. Pages with as much as the k-th
// count as among the best.
double best_share(const std::vector<double>& masses, const std::vector<bool>& attended, const Range& range) {
  const auto k = std::count(attended.begin() + range.first, attended.begin() + range.last, true);
  if (k == 0) { return 1.0; }
  std::vector<double> sorted(masses.begin() + range.first, masses.begin() + range.last);
  std::nth_element(sorted.begin(), sorted.begin() + (k - 1), sorted.end(), std::greater<>());
  const double bound = sorted[static_cast<size_t>(k - 1)];
  int found = 0;
  for (auto page = static_cast<size_t>(range.first); page < static_cast<size_t>(range.last); ++page) {
    if (attended[page] && masses[page] >= bound) { ++found; }
  }
  return static_cast<double>(found) / static_cast<double>(k);
}

std::vector<bool> attended_pages(const compile::Selection& selection, int row, size_t pages) {
  std::vector<bool> attended(pages, false);
  const int32_t* blocks = &selection.blocks[static_cast<size_t>(row) * static_cast<size_t>(selection.stride)];
  for (int i = 0; i < selection.counts[static_cast<size_t>(row)]; ++i) {
    attended[static_cast<size_t>(blocks[i])] = true;
  }
  return attended;
}

// One row: (request, kv head), `group` query heads from `q` on.
void add_row(const AttentionView& view, int request, int head, int group, const ReservedPages& reserved, double scale,
             AttentionRecall& sum) {
  const compile::PagedTensor& k = view.cache->k;
  const int row = request * k.kv_heads + head;
  const int pages = (view.seq_lens[request] + k.rows - 1) / k.rows;
  const Range all{0, pages};
  const Range competing{std::min(reserved.first, pages),
                        std::max(std::min(reserved.first, pages), pages - reserved.last)};
  const std::vector<bool> attended = attended_pages(*view.selection, row, static_cast<size_t>(pages));
  std::vector<double> of_group(static_cast<size_t>(pages), 0);
  std::vector<float> scores;
  for (int member = 0; member < group; ++member) {
    const float* q = view.q + (static_cast<int64_t>(row) * group + member) * k.cols;
    score_tokens(view, request, head, q, scale, scores);
    const std::vector<double> masses = page_masses(scores, k.rows);
    sum.mass += attended_share(masses, attended, all) / group;
    sum.mass_chosen += attended_share(masses, attended, competing) / group;
    for (size_t page = 0; page < masses.size(); ++page) { of_group[page] += masses[page]; }
  }
  sum.index += best_share(of_group, attended, all);
  sum.index_chosen += best_share(of_group, attended, competing);
  ++sum.looks;
}

}  // namespace

void add_look(const AttentionView& view, const ReservedPages& reserved, double scale,
              std::span<AttentionRecall* const> sums) {
  for (int request = 0; request < view.requests; ++request) {
    for (int head = 0; head < view.cache->k.kv_heads; ++head) {
      add_row(view, request, head, view.group, reserved, scale, sums[static_cast<size_t>(request)][head]);
    }
  }
}

void finish_looks(std::span<AttentionRecall> sums) {
  for (AttentionRecall& sum : sums) {
    if (sum.looks == 0) { continue; }
    const auto looks = static_cast<double>(sum.looks);
    sum.mass /= looks;
    sum.mass_chosen /= looks;
    sum.index /= looks;
    sum.index_chosen /= looks;
  }
}

}  // namespace vortex::engine
