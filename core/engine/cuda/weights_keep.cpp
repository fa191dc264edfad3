#include "core/engine/cuda/weights_keep.h"

#include <cuda_runtime_api.h>

#include "core/engine/cuda/device.h"
#include "core/engine/cuda/device_model.h"

namespace vortex::engine {

Result<ExportedMemory> keep_weights(const model::Model& model, int device) {
  VORTEX_TRY(cuda_status(cudaSetDevice(device), "choosing the device"));
  Stream stream;
  VORTEX_TRY(stream.create());
  return export_model(model, stream.get());
}

Result<ExportedMemory> keep_prefixes(const PrefixBlock& block) {
  VORTEX_ASSIGN(ExportedMemory memory, ExportedMemory::make(static_cast<size_t>(block.bytes)));
  for (const NamedPrefix& named : block.prefixes) {
    const std::string_view bytes = named.prefix->bytes();
    VORTEX_TRY(cuda_status(cudaMemcpy(static_cast<char*>(memory.data()) + named.offset, bytes.data(), bytes.size(),
                                      cudaMemcpyHostToDevice),
                           "keeping the KV of prompts"));
  }
  return memory;
}

Result<int64_t> free_device_bytes() {
  size_t free = 0;
  size_t total = 0;
  VORTEX_TRY(cuda_status(cudaMemGetInfo(&free, &total), "reading the free memory"));
  return static_cast<int64_t>(free);
}

}  // namespace vortex::engine
