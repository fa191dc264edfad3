// K and V between the paged pool and contiguous memory, fresh pages, and random contents for benchmarks.
#pragma once

#include "kernels/cuda/types.h"

namespace vortex::cuda {

// K and V of one request's first `tokens` tokens as [k, v][kv head][token][head_dim] bf16; K alone where there is no V
// (latents).
// import_kv rounds to the pool's type (fp8 saturates); export_kv widens, and rounds fp32 to bf16.
struct KvImage {
  Bf16* data = nullptr;
  KvPool kv;
  const std::int32_t* pages = nullptr;  // [max_blocks], of this request
  int tokens = 0;
};

cudaError_t import_kv(const KvImage& args, cudaStream_t stream);
cudaError_t export_kv(const KvImage& args, cudaStream_t stream);

// Which tokens the rows of a prefill chunk are: row i is the token at position first + i of request `request`.
struct ChunkRows {
  int request = 0;
  int first = 0;
  int rows = 0;
  std::int32_t* requests = nullptr;   // [row] = request
  std::int32_t* positions = nullptr;  // [row]
};

cudaError_t chunk_rows(const ChunkRows& args, cudaStream_t stream);

// One paged tensor of one layer.
struct PagedBytes {
  void* data = nullptr;
  std::int64_t page_bytes = 0;  // a multiple of 2
};

// Zeroes the tensors' pages that begin with a token at first_tokens[request] (null: with the newest token) or later, so
// that nothing of an earlier request shows through.
struct ZeroPages {
  const PagedBytes* tensors = nullptr;  // [num_tensors], device memory
  int num_tensors = 0;
  PageTable table;
  const std::int32_t* first_tokens = nullptr;
  int num_requests = 0;
  int block = 0;
};

cudaError_t zero_pages(const ZeroPages& args, cudaStream_t stream);

enum class FillType : std::uint8_t { bf16, fp32, fp8_e4m3, fp8_e5m2 };

// Uniform values of the given centre and standard deviation, a function of (seed, index) alone.
cudaError_t fill_random(void* data, FillType type, std::int64_t count, std::uint64_t seed, float centre,
                        float deviation, cudaStream_t stream);

// Adds to *differing the number of elements (of `bytes` 2 or 4) of y [rows][stride], columns [0, width), that differ
// from those of expected row (row % expected_rows).
cudaError_t count_differing(const void* y, const void* expected, int bytes, int rows, int expected_rows, int width,
                            int stride, std::uint32_t* differing, cudaStream_t stream);

}  // namespace vortex::cuda
