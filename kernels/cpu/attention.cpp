#include "kernels/cpu/attention.h"

#include <algorithm>
#include <memory>

#include "kernels/cpu/attention_row.h"

namespace vortex::cpu {

namespace {

using RowKernel = void (*)(const AttentionRow*, int);

RowKernel row_kernel(Isa isa) {
  return isa == Isa::kAvx512 ? attention_rows_avx512 : isa == Isa::kAvx2 ? attention_rows_avx2 : attention_rows_scalar;
}

// Everything that the rows of a call share; q, out, tables and counts are filled in by `bind_row`.
AttentionRow common_row(const AttentionArgs& args) {
  AttentionRow row;
  row.group = args.group;
  row.head_dim = args.head_dim;
  row.value_dim = args.value_dim == 0 ? args.head_dim : args.value_dim;
  row.value_stride = args.value_stride == 0 ? row.value_dim : args.value_stride;
  row.block_size = args.block_size;
  row.scale = args.scale;
  const std::int64_t tokens = static_cast<std::int64_t>(args.kv_heads) * args.block_size;
  row.k_page_stride = tokens * row.head_dim;
  row.v_page_stride = tokens * row.value_stride;
  return row;
}

// Binds the query heads [first, last) of the group of row `index`.
void bind_row(const AttentionArgs& args, std::int64_t index, std::int64_t first, std::int64_t last, AttentionRow& row) {
  const std::int64_t request = index / args.kv_heads;
  const std::int64_t head = index % args.kv_heads;
  row.group = static_cast<int>(last - first);
  row.q = args.q + (index * args.group + first) * row.head_dim;
  row.out = args.out + (index * args.group + first) * row.value_dim;
  row.k = args.k + head * args.block_size * row.head_dim;
  row.v = args.v + head * args.block_size * row.value_stride;
  row.pages = args.block_table + request * args.max_blocks;
  row.seq_len = args.seq_lens[request];
  row.blocks = args.selected == nullptr ? nullptr : args.selected + index * args.selected_stride;
  row.count =
      args.selected == nullptr ? (row.seq_len + args.block_size - 1) / args.block_size : args.selected_counts[index];
}

// Into how many parts the heads of a row are cut, so that every thread has work: latent attention has one row a
// request. A head's result depends on no other head.
int parts_of_a_row(const AttentionArgs& args, const ThreadPool* pool) {
  constexpr int kFewestHeads = 8;  // that share a load of K and V; fewer would read the cache too often
  const std::int64_t rows = static_cast<std::int64_t>(args.requests) * args.kv_heads;
  const int threads = pool == nullptr ? 1 : pool->threads();
  if (rows == 0 || rows >= threads) { return 1; }
  const auto wanted = static_cast<int>((threads + rows - 1) / rows);
  return std::max(1, std::min(wanted, args.group / kFewestHeads));
}

// Of a row that attends something.
int tiles_of(const AttentionRow& row) {
  const int last = (row.seq_len - 1) / row.block_size;
  const bool ends = row.blocks == nullptr || row.blocks[row.count - 1] == last;
  const int missing = ends ? (last + 1) * row.block_size - row.seq_len : 0;
  return (row.count * row.block_size - missing + kAttentionTile - 1) / kAttentionTile;
}

// Rows of equal length, one after the other, are computed together; those that attend nothing are zeros.
class RowQueue {
 public:
  // most: rows that will come; size: floats of scratch that each needs.
  RowQueue(RowKernel kernel, std::int64_t most, std::int64_t size)
      : kernel_(kernel),
        most_(static_cast<int>(
            std::max<std::int64_t>(1, std::min({kCached / size, most, std::int64_t{kMostRowsTogether}})))),
        size_(size),
        scratch_(std::make_unique<float[]>(static_cast<std::size_t>(size * most_))) {}

  void add(const AttentionRow& row) {
    if (row.count <= 0 || row.seq_len <= 0) {
      std::fill_n(row.out, static_cast<std::int64_t>(row.group) * row.value_dim, 0.0F);
      return;
    }
    if (count_ == most_ || (count_ > 0 && tiles_of(row) != tiles_of(rows_[0]))) { run(); }
    rows_[count_] = row;
    rows_[count_].scratch = scratch_.get() + count_ * size_;
    ++count_;
  }

  void run() {
    if (count_ > 0) { kernel_(rows_, count_); }
    count_ = 0;
  }

 private:
  static constexpr std::int64_t kCached = 16384;  // floats of scratch that stay in the cache beside K and V

  RowKernel kernel_;
  int most_;
  std::int64_t size_;
  std::unique_ptr<float[]> scratch_;
  AttentionRow rows_[kMostRowsTogether];
  int count_ = 0;
};

}  // namespace

void paged_attention(const AttentionArgs& args, ThreadPool* pool, Isa isa) {
  const RowKernel kernel = row_kernel(isa);
  const std::int64_t parts = parts_of_a_row(args, pool);
  parallel_for(pool, static_cast<std::int64_t>(args.requests) * args.kv_heads * parts,
               [&](std::int64_t begin, std::int64_t end, int) {
                 AttentionRow row = common_row(args);
                 RowQueue queue(kernel, end - begin, attention_scratch_size(row.group, row.head_dim, row.value_dim));
                 for (std::int64_t i = begin; i < end; ++i) {
                   const std::int64_t part = i % parts;
                   bind_row(args, i / parts, args.group * part / parts, args.group * (part + 1) / parts, row);
                   queue.add(row);
                 }
                 queue.run();
               });
}

}  // namespace vortex::cpu
