#include "core/tensor/vtensor.h"

#include <ATen/ATen.h>

#include "base/fp8.h"

namespace vortex::tensor {

namespace {

Fp8Format fp8_format(vflow::Dtype dtype) {
  return dtype == vflow::Dtype::kFp8E4m3 ? Fp8Format::kE4m3 : Fp8Format::kE5m2;
}

bool is_fp8(vflow::Dtype dtype) { return vflow::dtype_bytes(dtype) == 1; }

// The number that each byte stands for.
at::Tensor fp8_table(vflow::Dtype dtype) {
  std::vector<float> values;
  for (int bits = 0; bits < 256; ++bits) { values.push_back(fp8_value(static_cast<uint8_t>(bits), fp8_format(dtype))); }
  return at::tensor(values);
}

at::Tensor fp8_rounded(const at::Tensor& single, vflow::Dtype dtype) {
  const Fp8Format format = fp8_format(dtype);
  at::Tensor rounded = single.contiguous().clone();
  float* data = rounded.data_ptr<float>();
  for (int64_t i = 0; i < rounded.numel(); ++i) { data[i] = fp8_value(fp8_bits(data[i], format), format); }
  return rounded;
}

}  // namespace

VTensor paged_view(void* data, vflow::Dtype dtype, int64_t pages, int kv_heads, int rows, int cols) {
  const at::ScalarType type = is_fp8(dtype) ? at::kByte : dtype == vflow::Dtype::kBf16 ? at::kBFloat16 : at::kFloat;
  return {at::from_blob(data, {pages, kv_heads, rows, cols}, at::TensorOptions().dtype(type)), vflow::Format::kPaged,
          dtype};
}

VTensor gather(const VTensor& paged, int kv_head, const std::vector<int64_t>& page_ids, at::ScalarType type) {
  const at::Tensor index = at::tensor(page_ids, at::TensorOptions().dtype(at::kLong));
  at::Tensor pages = paged.data.select(1, kv_head).index_select(0, index);
  if (is_fp8(paged.dtype)) {
    pages = fp8_table(paged.dtype).index_select(0, pages.to(at::kLong).flatten()).reshape(pages.sizes());
  }
  return {pages.to(type), vflow::Format::kRagged};
}

at::Tensor round_to(const at::Tensor& x, vflow::Dtype dtype) {
  const at::Tensor single = x.to(at::kFloat);
  if (is_fp8(dtype)) { return fp8_rounded(single, dtype).to(x.scalar_type()); }
  return (dtype == vflow::Dtype::kBf16 ? single.to(at::kBFloat16) : single).to(x.scalar_type());
}

}  // namespace vortex::tensor
