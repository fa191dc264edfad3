#include "core/compile/random_batch.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <utility>

#include "base/fp8.h"
#include "core/compile/stages.h"
#include "kernels/cpu/bf16.h"

namespace vortex::compile {

namespace {

constexpr size_t kNoise = 1 << 16;
constexpr int32_t kNoPage = 0x3fffffff;
constexpr int kMoreBlocks = 24;  // sparse rows are up to this much longer than the budget

float draw(InputKind kind, Rng& rng) {
  const double normal = (rng.uniform() + rng.uniform() + rng.uniform() + rng.uniform() - 2.0) * std::sqrt(3.0);
  switch (kind) {
    case InputKind::kAllEqual:
      return 0.5F;
    case InputKind::kHuge:
      return static_cast<float>(normal * 1e4);
    case InputKind::kTiny:
      return static_cast<float>(normal * 1e-6);
    case InputKind::kNegative:
      return static_cast<float>(-std::abs(normal));
    case InputKind::kNormal:
      break;
  }
  return static_cast<float>(normal);
}

Fp8Format fp8_format(vflow::Dtype dtype) {
  return dtype == vflow::Dtype::kFp8E4m3 ? Fp8Format::kE4m3 : Fp8Format::kE5m2;
}

// Writes `count` elements at element `offset`.
void put(std::vector<std::byte>& memory, vflow::Dtype dtype, int64_t offset, const float* from, int64_t count) {
  if (dtype == vflow::Dtype::kFp32) {
    std::memcpy(memory.data() + static_cast<size_t>(offset) * sizeof(float), from,
                static_cast<size_t>(count) * sizeof(float));
    return;
  }
  if (vflow::dtype_bytes(dtype) == 1) {
    std::transform(from, from + count, memory.begin() + offset,
                   [&](float x) { return std::byte{fp8_bits(x, fp8_format(dtype))}; });
    return;
  }
  auto* to = reinterpret_cast<cpu::Bf16*>(memory.data()) + offset;
  std::transform(from, from + count, to, cpu::float_to_bf16);
}

}  // namespace

float stored_value(const std::byte* at, vflow::Dtype dtype) {
  if (vflow::dtype_bytes(dtype) == 1) { return fp8_value(std::to_integer<uint8_t>(*at), fp8_format(dtype)); }
  if (dtype == vflow::Dtype::kBf16) {
    cpu::Bf16 bits = 0;
    std::memcpy(&bits, at, sizeof(bits));
    return cpu::bf16_to_float(bits);
  }
  float value = 0;
  std::memcpy(&value, at, sizeof(value));
  return value;
}

RandomBatch::RandomBatch(const vflow::Policy& policy, InputKind kind, int kv_heads, std::vector<int32_t> lengths,
                         int room, uint64_t seed)
    : kind_(kind),
      kv_heads_(kv_heads),
      block_size_(policy.program.geometry.block_size),
      group_(policy.program.geometry.group),
      head_dim_(policy.program.geometry.head_dim),
      has_values_(policy.program.dialect == vflow::Dialect::kGqa),
      own_dtype_(policy.config.dtype),
      lengths_(std::move(lengths)),
      rng_(seed) {
  noise_.resize(kNoise);
  std::generate(noise_.begin(), noise_.end(), [&] { return draw(kind_, rng_); });
  int64_t used = 0;
  for (const int32_t length : lengths_) {
    const int blocks = (length + room + block_size_ - 1) / block_size_;
    max_blocks_ = std::max(max_blocks_, blocks + 1);
    used += blocks;
  }
  pages_ = used + used / 8 + 1;  // some pages belong to nobody
  const vflow::Shape tokens{block_size_, head_dim_};
  tensors_ = {{policy.config.kv_dtype, tokens}, {policy.config.kv_dtype, tokens}};
  for (const vflow::Field& field : policy.program.fields) {
    if (!field.builtin) { tensors_.push_back({own_dtype_, field.shape}); }
  }
  for (const Tensor& tensor : tensors_) {
    const int64_t bytes = pages_ * kv_heads_ * tensor.shape.size() * vflow::dtype_bytes(tensor.dtype);
    memory_.emplace_back(static_cast<size_t>(bytes), std::byte{0xff});  // a NaN in every type
  }
  std::vector<int32_t> ids(static_cast<size_t>(pages_));
  std::iota(ids.begin(), ids.end(), 0);
  for (size_t i = ids.size() - 1; i > 0; --i) { std::swap(ids[i], ids[rng_.below(i + 1)]); }
  table_.assign(lengths_.size() * static_cast<size_t>(max_blocks_), kNoPage);
  size_t next = 0;
  for (size_t r = 0; r < lengths_.size(); ++r) {
    const int blocks = (lengths_[r] + room + block_size_ - 1) / block_size_;
    for (int b = 0; b < blocks; ++b) {
      table_[r * static_cast<size_t>(max_blocks_) + static_cast<size_t>(b)] = ids[next++];
    }
    for (int position = 0; position < lengths_[r]; ++position) { write_token(static_cast<int>(r), position); }
  }
  draw_queries();
}

int32_t RandomBatch::page_of(int request, int position) const {
  return table_[static_cast<size_t>(request) * static_cast<size_t>(max_blocks_) +
                static_cast<size_t>(position / block_size_)];
}

void RandomBatch::write_token(int request, int position) {
  const int64_t page = page_of(request, position);
  for (int head = 0; head < kv_heads_; ++head) {
    const int64_t token = (page * kv_heads_ + head) * block_size_ + position % block_size_;
    for (size_t t = 0; t < (has_values_ ? 2 : 1); ++t) {
      const size_t from = rng_.below(kNoise - static_cast<size_t>(head_dim_));
      put(memory_[t], tensors_[t].dtype, token * head_dim_, noise_.data() + from, head_dim_);
    }
  }
}

LayerCache RandomBatch::cache() {
  const auto view = [&](size_t i) {
    return PagedTensor{memory_[i].data(), tensors_[i].dtype, kv_heads_, tensors_[i].shape.rows, tensors_[i].shape.cols};
  };
  LayerCache result{pages_, view(0), view(1), {}};
  for (size_t i = 2; i < memory_.size(); ++i) { result.fields.push_back(view(i)); }
  return result;
}

IndexerBatch RandomBatch::batch() const {
  IndexerBatch result;
  result.requests = static_cast<int>(lengths_.size());
  result.q = queries_.data();
  result.block_table = table_.data();
  result.max_blocks = max_blocks_;
  result.seq_lens = lengths_.data();
  return result;
}

std::vector<int32_t> RandomBatch::full_pages() const {
  std::vector<int32_t> result;
  for (size_t r = 0; r < lengths_.size(); ++r) {
    for (int b = 0; b < lengths_[r] / block_size_; ++b) {
      result.push_back(page_of(static_cast<int>(r), b * block_size_));
    }
  }
  return result;
}

std::vector<int32_t> RandomBatch::grow() {
  std::vector<int32_t> filled;
  for (size_t r = 0; r < lengths_.size(); ++r) {
    if (lengths_[r] == 0) { continue; }
    write_token(static_cast<int>(r), lengths_[r]);
    ++lengths_[r];
    if (lengths_[r] % block_size_ == 0) { filled.push_back(page_of(static_cast<int>(r), lengths_[r] - 1)); }
  }
  return filled;
}

void RandomBatch::draw_queries() {
  queries_.resize(lengths_.size() * static_cast<size_t>(kv_heads_ * group_ * head_dim_));
  std::generate(queries_.begin(), queries_.end(), [&] { return draw(InputKind::kNormal, rng_); });
}

Lengths draw_lengths(const vflow::Policy& policy, int requests, int most_blocks, Rng& rng) {
  Lengths result;
  for (int n = 1; n <= most_blocks && result.sparse_blocks == 0; ++n) {
    result.sparse_blocks = row_budget(policy.config, n).everything_fits ? 0 : n;
  }
  const int block = policy.program.geometry.block_size;
  const int fitting = result.sparse_blocks == 0 ? 8 : result.sparse_blocks - 1;
  for (int r = 0; r < requests; ++r) {
    int blocks = std::min(rng.between(0, fitting), 64);
    if (r > 0 && result.sparse_blocks > 0) {
      blocks = result.sparse_blocks + (r == 1 ? 0 : rng.between(0, kMoreBlocks));
    }
    const int last = r == 2 ? block : rng.between(1, block);
    result.tokens.push_back(blocks == 0 ? rng.between(0, 1) : (blocks - 1) * block + last);
  }
  return result;
}

}  // namespace vortex::compile
