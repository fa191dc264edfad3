#include "core/model/weights.h"

#include <bit>
#include <cstring>

#include "base/fp8.h"
#include "core/model/rows.h"

namespace vortex::model {
namespace {

float widen_bf16(uint16_t bits) { return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16); }

// IEEE half to float; subnormal halves are scaled, not flushed.
float widen_fp16(uint16_t bits) {
  const uint32_t sign = static_cast<uint32_t>(bits & 0x8000) << 16;
  const uint32_t exponent = (bits >> 10) & 0x1f;
  const uint32_t mantissa = bits & 0x3ff;
  if (exponent == 0x1f) { return std::bit_cast<float>(sign | 0x7f800000 | (mantissa << 13)); }
  if (exponent != 0) { return std::bit_cast<float>(sign | ((exponent + 112) << 23) | (mantissa << 13)); }
  const float magnitude = static_cast<float>(mantissa) * 0x1p-24F;
  return sign != 0 ? -magnitude : magnitude;
}

template <typename T>
T load(const char* data, int64_t index) {
  T value;
  std::memcpy(&value, data + index * static_cast<int64_t>(sizeof(T)), sizeof(T));
  return value;
}

void widen_fp8(const char* data, int64_t count, float* out) {
  for (int64_t i = 0; i < count; ++i) { out[i] = fp8_value(static_cast<uint8_t>(data[i]), Fp8Format::kE4m3); }
}

void scale_row(const Tensor& tensor, int64_t row, float* out) {
  const Tensor& scales = *tensor.scales;
  std::vector<float> of_row(static_cast<size_t>(cols_of(scales)));
  read_row(scales, row / tensor.scale_block.rows, of_row.data());
  for (int64_t i = 0; i < cols_of(tensor); ++i) { out[i] *= of_row[static_cast<size_t>(i / tensor.scale_block.cols)]; }
}

}  // namespace

int64_t rows_of(const Tensor& tensor) { return tensor.shape.size() < 2 ? 1 : tensor.shape[0]; }
int64_t cols_of(const Tensor& tensor) {
  if (tensor.shape.empty()) { return 1; }
  return tensor.shape.size() < 2 ? tensor.shape[0] : tensor.shape[1];
}

void read_row(const Tensor& tensor, int64_t row, float* out) {
  const int64_t cols = cols_of(tensor);
  const char* data = tensor.data + row * row_stride(tensor) * vflow::dtype_bytes(tensor.dtype);
  switch (tensor.dtype) {
    case vflow::Dtype::kFp32:
      std::memcpy(out, data, static_cast<size_t>(cols) * sizeof(float));
      return;
    case vflow::Dtype::kFp16:
      for (int64_t i = 0; i < cols; ++i) { out[i] = widen_fp16(load<uint16_t>(data, i)); }
      return;
    case vflow::Dtype::kFp8E4m3:
      widen_fp8(data, cols, out);
      if (tensor.scales != nullptr) { scale_row(tensor, row, out); }
      return;
    default:
      for (int64_t i = 0; i < cols; ++i) { out[i] = widen_bf16(load<uint16_t>(data, i)); }
  }
}

}  // namespace vortex::model
