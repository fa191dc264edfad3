// Any bytes as a safetensors file: refused, or tensors that lie inside of it and do not overlap.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "core/model/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace vortex::model;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const auto tensors = parse_safetensors(bytes, "model.safetensors");
  if (!tensors.ok()) { return 0; }
  uint64_t covered = 0;
  for (const auto& [name, tensor] : *tensors) {
    uint64_t elements = 1;
    for (const int64_t extent : tensor.shape) { elements *= static_cast<uint64_t>(extent); }
    const uint64_t bytes_of = elements * static_cast<uint64_t>(vortex::vflow::dtype_bytes(tensor.dtype));
    const char* begin = reinterpret_cast<const char*>(tensor.data);
    if (bytes_of > 0 && (begin < bytes.data() || begin + bytes_of > bytes.data() + bytes.size())) { __builtin_trap(); }
    covered += bytes_of;
  }
  if (covered > size) { __builtin_trap(); }
  return 0;
}
