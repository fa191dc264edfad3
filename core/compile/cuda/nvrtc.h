#pragma once

#include <string>

#include "base/result.h"

namespace vortex::compile {

// Everything beside the source that decides what NVRTC makes of it: its version, the flags and the embedded headers.
std::string nvrtc_identity(const std::string& arch);

// Device code of one architecture ("sm_90"). A source that NVRTC refuses is our bug; its log is in the message.
Result<std::string> compile_to_cubin(const std::string& source, const std::string& arch);

}  // namespace vortex::compile
