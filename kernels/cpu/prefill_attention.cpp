#include "kernels/cpu/prefill_attention.h"

#include "kernels/cpu/bf16_kernels.h"
#include "kernels/cpu/wide.h"

namespace vortex::cpu {
namespace {

using Attend = void (*)(const PrefillAttentionArgs& args, int kv_head, int token_begin, int token_end);

void attend_all(const PrefillAttentionArgs& args, ThreadPool* pool, Attend attend) {
  const int step = prefill_tile_tokens(args.group);
  const std::int64_t tiles = (args.tokens - args.first_query + step - 1) / step;
  parallel_for(pool, tiles * args.kv_heads, [&](std::int64_t begin, std::int64_t end, int) {
    for (std::int64_t item = begin; item < end; ++item) {
      // Later queries see more keys: alternating short and long tiles gives every worker the same work.
      const std::int64_t order = item / args.kv_heads;
      const std::int64_t tile = order % 2 == 0 ? order / 2 : tiles - 1 - order / 2;
      const int first = args.first_query + static_cast<int>(tile) * step;
      const int last = first + step < args.tokens ? first + step : args.tokens;
      attend(args, static_cast<int>(item % args.kv_heads), first, last);
    }
  });
}

}  // namespace

void prefill_attention(const PrefillAttentionArgs& args, ThreadPool* pool, Isa isa) {
  const WideKernels& kernels = wide_kernels(isa);
  const std::int64_t panels = (args.tokens + 15) / 16;
  parallel_for(pool, panels * args.kv_heads,
               [&](std::int64_t begin, std::int64_t end, int) { kernels.pack_keys(args, begin, end); });
  attend_all(args, pool, kernels.attend);
}

void prefill_attention_bf16(Unit unit, const PrefillAttentionArgs& args, ThreadPool* pool) {
  const Bf16Kernels& kernels = bf16_kernels(unit);
  const std::int64_t blocks = padded_depth(args.tokens) / kDepthStep;
  parallel_for(pool, blocks * args.kv_heads,
               [&](std::int64_t begin, std::int64_t end, int) { kernels.pack_kv(args, begin, end); });
  attend_all(args, pool, kernels.attend);
}

}  // namespace vortex::cpu
