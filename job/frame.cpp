#include "job/frame.h"

#include <algorithm>
#include <charconv>

#include "base/escape.h"
#include "job/protocol.h"

namespace vortex::job {
namespace {

constexpr size_t kMaxDigits = 8;     // of a length
constexpr size_t kQuotedBytes = 80;  // of what is no frame

}  // namespace

std::string frame(std::string_view payload) {
  std::string text = std::to_string(payload.size());
  text += '\n';
  text += payload;
  text += '\n';
  return text;
}

Status FrameReader::take_length(std::string_view& bytes) {
  const size_t end = bytes.find('\n');
  const std::string_view more = bytes.substr(0, end);
  head_ += more.substr(0, std::min(more.size(), kQuotedBytes));
  const bool digits = head_.find_first_not_of("0123456789") == std::string::npos;
  if (!digits || head_.size() > kMaxDigits || (end != std::string_view::npos && head_.empty())) {
    return internal_error("not a frame, which begins with its length: " + terminal_text(head_.substr(0, kQuotedBytes)));
  }
  bytes.remove_prefix(end == std::string_view::npos ? bytes.size() : end + 1);
  if (end == std::string_view::npos) { return ok_status(); }
  size_t length = 0;
  std::from_chars(head_.data(), head_.data() + head_.size(), length);
  if (length > kMaxFrameBytes) {
    return internal_error("a frame of " + head_ + " bytes is longer than the protocol allows");
  }
  length_ = length;
  head_.clear();
  return ok_status();
}

Result<std::optional<std::string>> FrameReader::take(std::string_view& bytes) {
  if (!length_) { VORTEX_TRY(take_length(bytes)); }
  if (!length_) { return std::optional<std::string>{}; }
  const std::string_view more = bytes.substr(0, *length_ - payload_.size());
  payload_ += more;
  bytes.remove_prefix(more.size());
  if (payload_.size() < *length_ || bytes.empty()) { return std::optional<std::string>{}; }
  if (bytes.front() != '\n') {
    return internal_error("a frame does not end where its length of " + std::to_string(*length_) + " bytes says");
  }
  bytes.remove_prefix(1);
  length_.reset();
  return std::optional(std::exchange(payload_, {}));
}

}  // namespace vortex::job
