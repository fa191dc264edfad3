#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/rng.h"
#include "core/compile/executable.h"

namespace vortex::compile {

// How the random inputs of a comparison look.
enum class InputKind : uint8_t {
  kNormal,    // about N(0, 1)
  kAllEqual,  // every page the same: nothing but ties
  kHuge,      // magnitudes around 1e4
  kTiny,      // around 1e-6
  kNegative,  // all negative
};

// One layer's cache and a batch of requests with random contents, for tests and validation; owns its memory and can be
// copied. Whatever must not be read holds NaN: tokens past a sequence's end, fields of unfinished pages, unused pages;
// unused table slots hold an id far out of range.
class RandomBatch {
 public:
  // `lengths` in tokens; the page table has room for `room` more tokens a request.
  RandomBatch(const vflow::Policy& policy, InputKind kind, int kv_heads, std::vector<int32_t> lengths, int room,
              uint64_t seed);

  LayerCache cache();
  IndexerBatch batch() const;
  int64_t pages() const { return pages_; }
  int kv_heads() const { return kv_heads_; }
  const std::vector<int32_t>& lengths() const { return lengths_; }

  // Physical pages that are full.
  std::vector<int32_t> full_pages() const;
  // Appends a token to every request that has one; gives the pages that this filled.
  std::vector<int32_t> grow();
  void draw_queries();

  // Raw memory: k, v, then the policy's own fields.
  std::vector<std::vector<std::byte>>& memory() { return memory_; }
  const std::vector<std::vector<std::byte>>& memory() const { return memory_; }
  vflow::Dtype own_dtype() const { return own_dtype_; }

 private:
  struct Tensor {
    vflow::Dtype dtype;
    vflow::Shape shape;
  };

  void write_token(int request, int position);
  int32_t page_of(int request, int position) const;

  InputKind kind_;
  int kv_heads_;
  int block_size_;
  int group_;
  int head_dim_;
  int64_t pages_ = 0;
  int max_blocks_ = 0;
  bool has_values_ = true;  // MLA keeps one latent, no v
  vflow::Dtype own_dtype_;
  std::vector<Tensor> tensors_;
  std::vector<std::vector<std::byte>> memory_;
  std::vector<int32_t> table_;
  std::vector<int32_t> lengths_;
  std::vector<float> queries_;
  std::vector<float> noise_;  // a table of random numbers to copy from
  Rng rng_;
};

// The number that is stored at `at`: kBf16, kFp32 or an fp8 type.
float stored_value(const std::byte* at, vflow::Dtype dtype);

// Lengths for a batch of `requests`: nothing, one token, something that fits the budget, and rows with more pages than
// it (as far as `most_blocks` allows; sparse_blocks = 0 when there are none).
struct Lengths {
  std::vector<int32_t> tokens;
  int sparse_blocks = 0;  // the fewest pages that do not fit
};
Lengths draw_lengths(const vflow::Policy& policy, int requests, int most_blocks, Rng& rng);

}  // namespace vortex::compile
