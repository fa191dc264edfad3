#include "core/engine/cuda/staging.h"

#include <algorithm>

namespace vortex::engine {
namespace {

constexpr const char* kWhat = "copying weights";

}  // namespace

Staging::~Staging() {
  if (memory_.data() != nullptr) { cudaStreamSynchronize(stream_); }  // where a copy failed, those before may still run
  for (const Half& half : halves_) {
    if (half.sent != nullptr) { cudaEventDestroy(half.sent); }
  }
}

Status Staging::create(size_t half_bytes) {
  VORTEX_TRY(cuda_status(cudaStreamSynchronize(stream_), kWhat));
  VORTEX_TRY(memory_.allocate(2 * half_bytes));
  half_bytes_ = half_bytes;
  for (size_t i = 0; i < halves_.size(); ++i) {
    halves_[i].memory = memory_.as<char>() + i * half_bytes;
    if (halves_[i].sent != nullptr) { continue; }
    VORTEX_TRY(cuda_status(cudaEventCreateWithFlags(&halves_[i].sent, cudaEventDisableTiming), kWhat));
  }
  return ok_status();
}

Status Staging::copy(char* to, const model::Tensor& tensor, model::RowForm form) {
  const size_t row = model::row_bytes(tensor, form);
  if (const size_t least = std::max(kBytes / 2, row); half_bytes_ < least) { VORTEX_TRY(create(least)); }
  return model::for_pieces(tensor, form, half_bytes_, [&](int64_t first, int64_t count) -> Status {
    const Half& half = halves_[next_];
    next_ = (next_ + 1) % halves_.size();
    VORTEX_TRY(cuda_status(cudaEventSynchronize(half.sent), kWhat));  // of an event that was never recorded: at once
    model::copy_rows(tensor, first, count, form, half.memory);
    const size_t bytes = static_cast<size_t>(count) * row;
    VORTEX_TRY(cuda_status(cudaMemcpyAsync(to, half.memory, bytes, cudaMemcpyHostToDevice, stream_), kWhat));
    to += bytes;
    return cuda_status(cudaEventRecord(half.sent, stream_), kWhat);
  });
}

}  // namespace vortex::engine
