#include "core/model/unicode.h"

#include <cstdint>

namespace vortex::model {
namespace {

struct Sequence {
  size_t size = 1;  // bytes of the character, or of the maximal ill-formed sequence
  bool valid = false;
  bool incomplete = false;  // ill-formed only because the text ends
};

bool in_range(uint8_t byte, int low, int high) { return byte >= low && byte <= high; }

// The sequence that `text`, which is not empty, starts with (Unicode Standard, table 3-7).
Sequence first_sequence(std::string_view text) {
  const auto lead = static_cast<uint8_t>(text[0]);
  if (lead < 0x80) { return {1, true, false}; }
  if (!in_range(lead, 0xc2, 0xf4)) { return {}; }
  const size_t length = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
  int low = 0x80;
  int high = 0xbf;
  if (lead == 0xe0) { low = 0xa0; }
  if (lead == 0xed) { high = 0x9f; }
  if (lead == 0xf0) { low = 0x90; }
  if (lead == 0xf4) { high = 0x8f; }
  for (size_t i = 1; i < length; ++i) {
    if (i == text.size()) { return {i, false, true}; }
    if (!in_range(static_cast<uint8_t>(text[i]), low, high)) { return {i, false, false}; }
    low = 0x80;
    high = 0xbf;
  }
  return {length, true, false};
}

}  // namespace

std::optional<size_t> find_invalid_utf8(std::string_view text) {
  for (size_t at = 0; at < text.size();) {
    const Sequence sequence = first_sequence(text.substr(at));
    if (!sequence.valid) { return at; }
    at += sequence.size;
  }
  return std::nullopt;
}

std::string repair_utf8(std::string_view bytes, std::string* tail) {
  std::string text;
  text.reserve(bytes.size());
  while (!bytes.empty()) {
    const Sequence sequence = first_sequence(bytes);
    if (sequence.incomplete && tail != nullptr) {
      tail->assign(bytes);
      return text;
    }
    text += sequence.valid ? bytes.substr(0, sequence.size) : "\xef\xbf\xbd";
    bytes.remove_prefix(sequence.size);
  }
  if (tail != nullptr) { tail->clear(); }
  return text;
}

void append_utf8(char32_t code, std::string& text) {
  const auto put = [&](char32_t bits) { text += static_cast<char>(static_cast<uint8_t>(bits)); };
  if (code < 0x80) { return put(code); }
  if (code < 0x800) {
    put(0xc0 | (code >> 6));
  } else {
    if (code < 0x10000) {
      put(0xe0 | (code >> 12));
    } else {
      put(0xf0 | (code >> 18));
      put(0x80 | ((code >> 12) & 0x3f));
    }
    put(0x80 | ((code >> 6) & 0x3f));
  }
  put(0x80 | (code & 0x3f));
}

}  // namespace vortex::model
