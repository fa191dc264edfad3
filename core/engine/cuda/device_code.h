#pragma once

#include <string>

namespace vortex::engine {

// SHA-256 of all device code that nvcc compiled into this program (its .nv_fatbin section); empty where the program
// cannot be read. Computed once.
const std::string& device_code_hash();

}  // namespace vortex::engine
