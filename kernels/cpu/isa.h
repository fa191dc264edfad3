#pragma once

namespace vortex::cpu {

// The instruction sets that kernels are compiled for. Every kernel gives the same bits on all of them: it sums in one
// documented order over 16 fixed lanes with fused multiply-add, and has its own exp and log.
enum class Isa : unsigned char { kScalar, kAvx2, kAvx512 };

// Does this machine have it? (kAvx2: AVX2 and FMA; kAvx512: F, BW, DQ and VL.)
bool isa_supported(Isa isa);
// The widest one that this machine has.
Isa best_isa();
const char* isa_name(Isa isa);

}  // namespace vortex::cpu
