#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace vortex::job {

// One message between the orchestrator and a worker: its length in bytes as a decimal number, a newline, that many
// bytes, a newline. A length that is too large is refused before a byte of the message is kept, and one that is wrong
// is noticed where the last newline should be.
inline constexpr size_t kMaxFrameBytes = size_t{16} << 20;  // of the message

std::string frame(std::string_view payload);

// Takes bytes as they come, gives messages.
class FrameReader {
 public:
  // Takes from the front of `bytes` what belongs to the next message: nothing when that is not complete yet (all bytes
  // are taken then). Errors (internal) say what is wrong; there is no way on after one.
  Result<std::optional<std::string>> take(std::string_view& bytes);

 private:
  Status take_length(std::string_view& bytes);

  std::string head_;              // digits of a length that is not complete
  std::optional<size_t> length_;  // of the message that is under way
  std::string payload_;
};

}  // namespace vortex::job
