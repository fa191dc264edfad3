#pragma once

#include <optional>

namespace vortex::cpu {

// The units of a processor that multiply matrices. Float32 ones are everywhere and give the same bits everywhere
// (gemm.h). The bfloat16 ones round what is multiplied to bfloat16 and add in float32, each in an order of its own:
// results of one unit never depend on threads or on other rows, but they differ from those of another unit.
enum class Unit : unsigned char {
  kFloat32,
  kAvx512Bf16,  // VDPBF16PS: AMD since Zen 4, Intel since Cooper Lake
  kAmxBf16,     // TDPBF16PS on tiles: Intel since Sapphire Rapids
};

// Does this machine have it? For AMX the first call asks the system to let this process use tiles.
bool unit_supported(Unit unit);
// The fastest bfloat16 unit that this machine has.
std::optional<Unit> best_bf16_unit();
// "float32", "avx512-bf16" or "amx-bf16".
const char* unit_name(Unit unit);

}  // namespace vortex::cpu
