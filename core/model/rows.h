// Rows of a checkpoint's tensors as somebody else wants them, a bounded piece at a time.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/result.h"
#include "core/model/weights.h"

namespace vortex::model {

// Elements from one row to the next: cols_of() but for a view of some columns.
int64_t row_stride(const Tensor& tensor);

// Columns [first, first + count) of a matrix, as a view; not of its scales.
Tensor columns_of(const Tensor& tensor, int64_t first, int64_t count);

enum class RowForm {
  kAsStored,  // the elements' bytes
  kBf16,      // scaled, and rounded where they are no bf16
  kFloat32,   // scaled
};

size_t row_bytes(const Tensor& tensor, RowForm form);

// Writes rows [first, first + count), one behind the other.
void copy_rows(const Tensor& tensor, int64_t first, int64_t count, RowForm form, char* out);

// Calls body(first, count), which gives a Status, for all rows in their order: so many at a time as `bytes` hold in
// that form, at least one.
template <typename Body>
Status for_pieces(const Tensor& tensor, RowForm form, size_t bytes, const Body& body) {
  const auto fit = static_cast<int64_t>(bytes / row_bytes(tensor, form));
  const int64_t most = fit > 0 ? fit : 1;
  for (int64_t first = 0; first < rows_of(tensor); first += most) {
    const int64_t left = rows_of(tensor) - first;
    VORTEX_TRY(body(first, left < most ? left : most));
  }
  return ok_status();
}

}  // namespace vortex::model
