// The kernels of gemm.h, prefill_attention.h and activation.h as compiled for one instruction set. Internal.
#pragma once

#include <cstdint>

#include "kernels/cpu/gemm.h"
#include "kernels/cpu/isa.h"
#include "kernels/cpu/prefill_attention.h"

namespace vortex::cpu {

struct WideKernels {
  // gemm() for the outputs of panels [panel_begin, panel_end).
  void (*gemm)(const float* x, std::int64_t ldx, int rows, const PackedMatrix& w, float* y, std::int64_t ldy,
               std::int64_t panel_begin, std::int64_t panel_end);
  // Fills scratch with K in panels of 16 tokens, [kv head][ceil(tokens / 16)][head_dim][16] float32, for the panels
  // [begin, end) counted over all kv heads.
  void (*pack_keys)(const PrefillAttentionArgs& args, std::int64_t begin, std::int64_t end);
  // prefill_attention() for the queries [token_begin, token_end) of one kv head; at most prefill_tile_tokens of them.
  void (*attend)(const PrefillAttentionArgs& args, int kv_head, int token_begin, int token_end);
  void (*swiglu)(const float* gate, const float* up, std::int64_t size, float* out);
  void (*exp_shifted)(const float* x, std::int64_t size, float shift, float scale, float* out);
};

inline constexpr int kPrefillTileRows = 64;
constexpr int prefill_tile_tokens(int group) { return kPrefillTileRows / group; }

extern const WideKernels kWideScalar;
extern const WideKernels kWideAvx2;
extern const WideKernels kWideAvx512;

inline const WideKernels& wide_kernels(Isa isa) {
  return isa == Isa::kAvx512 ? kWideAvx512 : isa == Isa::kAvx2 ? kWideAvx2 : kWideScalar;
}

}  // namespace vortex::cpu
