#pragma once

namespace vortex::cli {

// cuda_driver.cu as text: the main.cu of `export --to cuda`, made at build time.
extern const char* const kCudaDriver;

}  // namespace vortex::cli
