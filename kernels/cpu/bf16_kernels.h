// The kernels of gemm.h and prefill_attention.h as compiled for one bfloat16 unit. Internal.
#pragma once

#include <cstdint>

#include "kernels/cpu/gemm.h"
#include "kernels/cpu/prefill_attention.h"
#include "kernels/cpu/unit.h"

namespace vortex::cpu {

struct Bf16Kernels {
  // out[row][padded_depth(k)] = x[row][k], rounded, zeros behind it.
  void (*round_rows)(const float* x, std::int64_t ldx, int rows, int k, Bf16* out);
  // gemm_bf16() of such rows, of which memory holds a multiple of 16, for the outputs of panels
  // [panel_begin, panel_end).
  void (*gemm)(const Bf16* x, int rows, const PackedMatrix& w, float* y, std::int64_t ldy, std::int64_t panel_begin,
               std::int64_t panel_end);
  // Fills scratch with K and V as prefill_bf16_impl.h lays them out, for the blocks of 32 tokens [begin, end), counted
  // over all kv heads.
  void (*pack_kv)(const PrefillAttentionArgs& args, std::int64_t begin, std::int64_t end);
  // As WideKernels::attend.
  void (*attend)(const PrefillAttentionArgs& args, int kv_head, int token_begin, int token_end);
};

extern const Bf16Kernels kBf16Avx512;
extern const Bf16Kernels kBf16Amx;

inline const Bf16Kernels& bf16_kernels(Unit unit) { return unit == Unit::kAmxBf16 ? kBf16Amx : kBf16Avx512; }

}  // namespace vortex::cpu
