#include "core/tensor/vtensor.h"

#include <ATen/ATen.h>

namespace vortex::tensor {

VTensor paged_view(void* data, vflow::Dtype dtype, int64_t pages, int kv_heads, int rows, int cols) {
  const at::ScalarType type = dtype == vflow::Dtype::kBf16 ? at::kBFloat16 : at::kFloat;
  return {at::from_blob(data, {pages, kv_heads, rows, cols}, at::TensorOptions().dtype(type)), vflow::Format::kPaged};
}

VTensor gather(const VTensor& paged, int kv_head, const std::vector<int64_t>& page_ids, at::ScalarType type) {
  const at::Tensor index = at::tensor(page_ids, at::TensorOptions().dtype(at::kLong));
  return {paged.data.select(1, kv_head).index_select(0, index).to(type), vflow::Format::kRagged};
}

at::Tensor round_to(const at::Tensor& x, vflow::Dtype dtype) {
  const at::Tensor single = x.to(at::kFloat);
  return (dtype == vflow::Dtype::kBf16 ? single.to(at::kBFloat16) : single).to(x.scalar_type());
}

}  // namespace vortex::tensor
