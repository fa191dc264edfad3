#pragma once

#include <string>

#include "base/result.h"

namespace vortex::engine {

struct DeviceChoice {
  bool cuda = false;    // else the CPU
  std::string why_not;  // on a CUDA device that is there; empty: none is, or none was wanted
};

// Where engines run. `wanted` is cpu, cuda or auto; `found` tells whether there is a CUDA device, `covered` whether its
// kernels cover the model and the policies. With auto the CPU takes what the device cannot; with cuda that is an error,
// the one of `found` or of `covered`.
Result<DeviceChoice> choose_device(const std::string& wanted, const Status& found, const Status& covered);

}  // namespace vortex::engine
