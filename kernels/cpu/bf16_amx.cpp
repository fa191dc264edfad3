// The kernels on AMX-BF16.
#include <immintrin.h>

#include "kernels/cpu/bf16_impl.h"
#include "kernels/cpu/bf16_tiles.h"

namespace vortex::cpu {
namespace {

// What LDTILECFG reads: all eight tiles are whole.
struct alignas(64) TileConfig {
  std::uint8_t palette = 1;
  std::uint8_t start_row = 0;
  std::uint8_t reserved[14] = {};
  std::uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  std::uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};
static_assert(sizeof(TileConfig) == 64);
constexpr TileConfig kWholeTiles;

// The compiler does not know what these instructions read and write: each is a barrier to memory accesses.
struct AmxTiles {
  static void begin() { __asm__ volatile("ldtilecfg %0" ::"m"(kWholeTiles) : "memory"); }
  static void end() { __asm__ volatile("tilerelease" ::: "memory"); }
  template <int t>
  static void zero() {
    __asm__ volatile("tilezero %%tmm%c0" ::"i"(t) : "memory");
  }
  template <int t>
  static void load(const void* from, std::int64_t stride) {
    __asm__ volatile("tileloadd (%1,%2,1), %%tmm%c0" ::"i"(t), "r"(from), "r"(stride) : "memory");
  }
  template <int t>
  static void store(void* to, std::int64_t stride) {
    __asm__ volatile("tilestored %%tmm%c0, (%1,%2,1)" ::"i"(t), "r"(to), "r"(stride) : "memory");
  }
  template <int c, int a, int b>
  static void multiply() {
    __asm__ volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(c), "i"(a), "i"(b) : "memory");
  }
};

}  // namespace

const Bf16Kernels kBf16Amx = kernels_of<TileUnit<AmxTiles>>();

}  // namespace vortex::cpu
