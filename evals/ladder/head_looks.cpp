#include "evals/ladder/head_looks.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <string>
#include <utility>

#include "core/engine/page_shares.h"

namespace vortex::evals {
namespace {

bool holds(const std::vector<int32_t>& ascending, int block) {
  return std::binary_search(ascending.begin(), ascending.end(), block);
}

nlohmann::json rounded(double sum, int count) {
  if (count == 0) { return nullptr; }
  return std::round(sum / count * 1000) / 1000;
}

}  // namespace

HeadLooks::HeadLooks(int layers, int kv_heads, float scale, vflow::EngineConfig budget)
    : layers_(layers),
      kv_heads_(kv_heads),
      scale_(scale),
      budget_(std::move(budget)),
      sums_(static_cast<size_t>(layers) * static_cast<size_t>(kv_heads)) {}

void HeadLooks::look(const engine::AttentionView& view, int request, const std::vector<int>& answer) {
  const compile::PagedTensor& k = view.cache->k;
  const int tokens = view.seq_lens[request];
  const int n = (tokens + k.rows - 1) / k.rows;
  shares_.resize(static_cast<size_t>(n));
  const int scored_end = n - budget_.reserved_eos;
  const auto scored = [&](int block) { return block >= budget_.reserved_bos && block < scored_end; };
  for (int head = 0; head < kv_heads_; ++head) {
    const int64_t row = int64_t{request} * kv_heads_ + head;
    engine::page_shares(
        k, {view.q + row * view.group * k.cols, view.block_table + int64_t{request} * view.max_blocks, head, tokens},
        view.group, scale_, scratch_, shares_.data());
    best_.resize(static_cast<size_t>(n));
    best_.resize(static_cast<size_t>(engine::best_blocks(budget_, shares_.data(), n, best_.data())));
    if (view.selection == nullptr) {
      chosen_.resize(static_cast<size_t>(n));
      std::iota(chosen_.begin(), chosen_.end(), 0);
    } else {
      const auto first = view.selection->blocks.begin() + row * view.selection->stride;
      chosen_.assign(first, first + view.selection->counts[static_cast<size_t>(row)]);
    }
    HeadLook& sum = sums_[static_cast<size_t>(view.layer * kv_heads_ + head)];
    ++sum.looks;
    for (const int32_t block : chosen_) { sum.mass += static_cast<double>(shares_[static_cast<size_t>(block)]); }
    int best = 0;
    int shared = 0;
    for (const int32_t block : best_) {
      if (!scored(block)) { continue; }
      ++best;
      shared += holds(chosen_, block) ? 1 : 0;
    }
    if (best > 0) { sum.like_oracle += static_cast<double>(shared) / best; }
    if (best > 0) { ++sum.choices; }
    const auto placed = std::count_if(answer.begin(), answer.end(), scored);
    if (placed == 0) { continue; }
    ++sum.placed;
    for (const int block : answer) {
      if (!scored(block)) { continue; }
      sum.answer += static_cast<double>(shares_[static_cast<size_t>(block)]);
      sum.took_answer += holds(chosen_, block) ? 1.0 / static_cast<double>(placed) : 0;
      sum.oracle_answer += holds(best_, block) ? 1.0 / static_cast<double>(placed) : 0;
    }
  }
}

nlohmann::json HeadLooks::to_json() const {
  nlohmann::json json = nlohmann::json::object();
  for (int layer = 0; layer < layers_; ++layer) {
    std::map<std::string, nlohmann::json> row;
    for (int head = 0; head < kv_heads_; ++head) {
      const HeadLook& sum = sums_[static_cast<size_t>(layer * kv_heads_ + head)];
      row["answer"].push_back(rounded(sum.answer, sum.placed));
      row["mass"].push_back(rounded(sum.mass, sum.looks));
      row["like_oracle"].push_back(rounded(sum.like_oracle, sum.choices));
      row["took_answer"].push_back(rounded(sum.took_answer, sum.placed));
      row["oracle_answer"].push_back(rounded(sum.oracle_answer, sum.placed));
    }
    for (auto& [name, values] : row) { json[name].push_back(std::move(values)); }
  }
  return json;
}

}  // namespace vortex::evals
