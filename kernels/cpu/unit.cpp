#include "kernels/cpu/unit.h"

#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "kernels/cpu/isa.h"

namespace vortex::cpu {
namespace {

constexpr unsigned kAmxBf16Bit = 1U << 22;      // CPUID leaf 7, EDX
constexpr unsigned kAmxTileBit = 1U << 24;      // likewise
constexpr unsigned kAvx512Bf16Bit = 1U << 5;    // CPUID leaf 7, subleaf 1, EAX
constexpr long kRequestPermission = 0x1023;     // ARCH_REQ_XCOMP_PERM of arch_prctl(2)
constexpr unsigned long kTileDataFeature = 18;  // XFEATURE_XTILEDATA

struct Registers {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
};

// Of CPUID leaf 7; zeros where the processor has no such leaf.
Registers leaf_7(unsigned subleaf) {
  Registers r;
  if (__get_cpuid_count(7, subleaf, &r.eax, &r.ebx, &r.ecx, &r.edx) == 0) { return {}; }
  return r;
}

bool has_avx512_bf16() {
  return isa_supported(Isa::kAvx512) && leaf_7(0).eax >= 1 && (leaf_7(1).eax & kAvx512Bf16Bit) != 0;
}

// Linux hands tiles out on request only, since they make the state of a thread 8 KiB larger.
bool may_use_tiles() { return ::syscall(SYS_arch_prctl, kRequestPermission, kTileDataFeature) == 0; }

bool has_amx_bf16() {
  const unsigned features = leaf_7(0).edx;
  return has_avx512_bf16() && (features & kAmxBf16Bit) != 0 && (features & kAmxTileBit) != 0 && may_use_tiles();
}

}  // namespace

bool unit_supported(Unit unit) {
  static const bool avx512_bf16 = has_avx512_bf16();
  static const bool amx_bf16 = has_amx_bf16();
  switch (unit) {
    case Unit::kFloat32:
      return true;
    case Unit::kAvx512Bf16:
      return avx512_bf16;
    case Unit::kAmxBf16:
      return amx_bf16;
  }
  return false;
}

std::optional<Unit> best_bf16_unit() {
  if (unit_supported(Unit::kAmxBf16)) { return Unit::kAmxBf16; }
  if (unit_supported(Unit::kAvx512Bf16)) { return Unit::kAvx512Bf16; }
  return std::nullopt;
}

const char* unit_name(Unit unit) {
  return unit == Unit::kAmxBf16 ? "amx-bf16" : unit == Unit::kAvx512Bf16 ? "avx512-bf16" : "float32";
}

}  // namespace vortex::cpu
