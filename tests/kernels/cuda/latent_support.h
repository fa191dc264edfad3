// Random latents on shuffled pages, on the host and on the device, for the tests of latent attention.
#pragma once

#include "kernels/cuda/latent.h"
#include "tests/kernels/cuda/support.h"

namespace vortex::cuda {

struct LatentGeometry {
  int rank;
  int rope;
  int dim() const { return rank + rope; }
};

inline constexpr LatentGeometry kLatentGeometries[] = {{512, 64}, {256, 32}, {512, 0}, {16, 4}, {48, 16}};

// One row a token; everything that is no token's is NaN.
struct LatentPool {
  int block;
  int dim;
  std::vector<Bf16> values;

  LatentPool(int pages, int block_size, int row) : block(block_size), dim(row) {
    values.assign(static_cast<std::size_t>(pages) * static_cast<std::size_t>(block * dim),
                  __ushort_as_bfloat16(0x7fc0));
  }
  std::size_t at(int page, int slot) const {
    return (static_cast<std::size_t>(page) * static_cast<std::size_t>(block) + static_cast<std::size_t>(slot)) *
           static_cast<std::size_t>(dim);
  }
  void fill(const HostTable& table, Random& random) {
    const std::vector<Bf16> numbers = random_bf16(4099, random);  // a prime
    std::size_t next = 0;
    for (std::size_t b = 0; b < table.lengths.size(); ++b) {
      for (int t = 0; t < table.lengths[b]; ++t) {
        const std::size_t row = at(table.slot(b, t / block), t % block);
        for (std::size_t d = 0; d < static_cast<std::size_t>(dim); ++d) {
          values[row + d] = numbers[next++ % numbers.size()];
        }
        next += 17;
      }
    }
  }
};

}  // namespace vortex::cuda
