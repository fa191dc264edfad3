#include "core/model/rows.h"

#include <cstring>
#include <vector>

#include "kernels/cpu/bf16.h"

namespace vortex::model {

int64_t row_stride(const Tensor& tensor) { return tensor.shape.size() < 3 ? cols_of(tensor) : tensor.shape[2]; }

Tensor columns_of(const Tensor& tensor, int64_t first, int64_t count) {
  Tensor view = tensor;
  view.data += first * vflow::dtype_bytes(tensor.dtype);
  view.shape = {rows_of(tensor), count, row_stride(tensor)};
  return view;
}

size_t row_bytes(const Tensor& tensor, RowForm form) {
  const auto cols = static_cast<size_t>(cols_of(tensor));
  switch (form) {
    case RowForm::kAsStored:
      return cols * static_cast<size_t>(vflow::dtype_bytes(tensor.dtype));
    case RowForm::kBf16:
      return cols * sizeof(cpu::Bf16);
    case RowForm::kFloat32:
      break;
  }
  return cols * sizeof(float);
}

void copy_rows(const Tensor& tensor, int64_t first, int64_t count, RowForm form, char* out) {
  const size_t bytes = row_bytes(tensor, form);
  const bool as_stored = form == RowForm::kAsStored || (form == RowForm::kBf16 && tensor.dtype == vflow::Dtype::kBf16);
  if (as_stored) {
    const size_t stride = static_cast<size_t>(row_stride(tensor) * vflow::dtype_bytes(tensor.dtype));
    const char* from = tensor.data + static_cast<size_t>(first) * stride;
    if (stride == bytes) {
      std::memcpy(out, from, static_cast<size_t>(count) * bytes);
      return;
    }
    for (int64_t row = 0; row < count; ++row, from += stride, out += bytes) { std::memcpy(out, from, bytes); }
    return;
  }
  std::vector<float> values(static_cast<size_t>(cols_of(tensor)));
  for (int64_t row = first; row < first + count; ++row, out += bytes) {
    read_row(tensor, row, values.data());
    if (form == RowForm::kFloat32) {
      std::memcpy(out, values.data(), bytes);
      continue;
    }
    for (size_t i = 0; i < values.size(); ++i) {
      const cpu::Bf16 rounded = cpu::float_to_bf16(values[i]);
      std::memcpy(out + i * sizeof(rounded), &rounded, sizeof(rounded));
    }
  }
}

}  // namespace vortex::model
