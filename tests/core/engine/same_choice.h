// Are the pages that an engine chose those that the policy's CPU backend chooses from the very queries and keys that
// the engine had? Rounding on the way to these does not come between: where the answer is no, it is the choosing that
// is wrong, and no near tie.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <iterator>
#include <memory>
#include <numeric>
#include <vector>

#include "core/compile/cpu/cpu_executable.h"
#include "core/engine/engine.h"
#include "core/vflow/policy.h"

namespace vortex::engine {

class SameChoice {
 public:
  explicit SameChoice(const vflow::Policy& policy)
      : policy_(policy), executable_(compile::compile_cpu(policy).value()) {}

  // `view`: of one request and a layer with a selection, pages in their order (block i is page i) or not.
  void expect(const AttentionView& view) {
    ASSERT_NE(view.selection, nullptr);
    ASSERT_EQ(view.requests, 1);
    compile::LayerCache cache = with_fields(view);
    const int full = view.seq_lens[0] / cache.k.rows;
    executable_->update(cache, {view.block_table, static_cast<size_t>(full)});
    compile::IndexerBatch batch;
    batch.layer = view.layer;
    batch.requests = 1;
    batch.q = view.q;
    batch.block_table = view.block_table;
    batch.max_blocks = view.max_blocks;
    batch.seq_lens = view.seq_lens;
    compile::Selection expected;
    std::vector<float> scores;
    executable_->choose(cache, batch, expected, &scores);
    for (int head = 0; head < cache.k.kv_heads; ++head) {
      const auto row = static_cast<size_t>(head);
      const std::vector<int32_t> wanted = pages_of(expected, row);
      expect_row(pages_of(*view.selection, row), wanted, scores.data() + row * static_cast<size_t>(view.max_blocks),
                 view.max_blocks);
      ++rows_;
      scored_ += static_cast<int>(wanted.size()) * cache.k.rows < view.seq_lens[0] ? 1 : 0;
    }
  }

  int rows() const { return rows_; }        // that were looked at,
  int scored() const { return scored_; }    // those among them that left pages out,
  int swapped() const { return swapped_; }  // and pages that took the place of another with the same score to rounding

 private:
  // Two scores this far apart, as a share of the row's largest one, may come in either order: they are rounded to bf16,
  // half a unit in the last of 8 bits each, and so are the fields that they are made of.
  static constexpr float kRounding = 1.0F / 128;

  static std::vector<int32_t> pages_of(const compile::Selection& selection, size_t row) {
    const auto first = selection.blocks.begin() + static_cast<std::ptrdiff_t>(row) * selection.stride;
    return {first, first + selection.counts[row]};
  }

  void expect_row(const std::vector<int32_t>& chosen, const std::vector<int32_t>& wanted, const float* scores,
                  int blocks) {
    ASSERT_EQ(chosen.size(), wanted.size());
    ASSERT_TRUE(std::is_sorted(chosen.begin(), chosen.end()));
    std::vector<int32_t> only_chosen;
    std::vector<int32_t> only_wanted;
    std::set_difference(chosen.begin(), chosen.end(), wanted.begin(), wanted.end(), std::back_inserter(only_chosen));
    std::set_difference(wanted.begin(), wanted.end(), chosen.begin(), chosen.end(), std::back_inserter(only_wanted));
    ASSERT_EQ(only_chosen.size(), only_wanted.size()) << "a page was chosen twice";
    const float largest = std::accumulate(scores, scores + blocks, 0.0F, [](float most, float score) {
      return std::isnan(score) ? most : std::max(most, std::abs(score));
    });
    for (const int32_t left_out : only_wanted) {
      for (const int32_t taken : only_chosen) {
        EXPECT_LE(scores[left_out] - scores[taken], kRounding * largest)
            << "page " << taken << " was chosen before page " << left_out;
      }
    }
    swapped_ += static_cast<int>(only_chosen.size());
  }

  // The view's K and V beside fields of this object.
  compile::LayerCache with_fields(const AttentionView& view) {
    compile::LayerCache cache{0, view.cache->k, view.cache->v, {}};
    const int blocks = (view.seq_lens[0] + cache.k.rows - 1) / cache.k.rows;
    cache.pages = *std::max_element(view.block_table, view.block_table + blocks) + 1;
    memory_.clear();
    for (const vflow::Field& field : policy_.program.fields) {
      if (field.builtin) { continue; }
      const int64_t bytes =
          cache.pages * cache.k.kv_heads * field.shape.size() * vflow::dtype_bytes(policy_.config.dtype);
      memory_.emplace_back(static_cast<size_t>(bytes), std::byte{0});
      cache.fields.push_back(
          {memory_.back().data(), policy_.config.dtype, cache.k.kv_heads, field.shape.rows, field.shape.cols});
    }
    return cache;
  }

  const vflow::Policy policy_;
  std::unique_ptr<compile::CpuExecutable> executable_;
  std::vector<std::vector<std::byte>> memory_;  // of the fields
  int rows_ = 0;
  int scored_ = 0;
  int swapped_ = 0;
};

}  // namespace vortex::engine
