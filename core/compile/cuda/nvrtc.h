#pragma once

#include <string>
#include <utility>
#include <vector>

#include "core/base/result.h"

namespace vortex::compile {

// Everything beside the source that decides what NVRTC makes of it: its version, the flags and the embedded headers.
std::string nvrtc_identity(const std::string& arch);

// Device code of one architecture ("sm_90"). A source that NVRTC refuses is our bug; its log is in the message.
Result<std::string> compile_to_cubin(const std::string& source, const std::string& arch);

// Headers that generated source may include, by the names it uses: part of the binary (embedded at build time).
const std::vector<std::pair<std::string, std::string>>& embedded_headers();

}  // namespace vortex::compile
