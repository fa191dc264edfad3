#include "core/model/bpe/byte_alphabet.h"

#include <array>
#include <cstdint>

#include "core/model/unicode.h"

namespace vortex::model {
namespace {

constexpr int kAlphabetEnd = 0x144;  // code points of the alphabet are below

constexpr bool stands_for_itself(int byte) {
  return (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || (byte >= 0xae && byte <= 0xff);
}

struct Alphabet {
  std::array<int, 256> code = {};           // of a byte
  std::array<int, kAlphabetEnd> byte = {};  // of a code point; -1: none
};

constexpr Alphabet make_alphabet() {
  Alphabet alphabet;
  for (int& byte : alphabet.byte) { byte = -1; }
  int next = 0x100;
  for (int byte = 0; byte < 256; ++byte) {
    const int code = stands_for_itself(byte) ? byte : next++;
    alphabet.code[static_cast<size_t>(byte)] = code;
    alphabet.byte[static_cast<size_t>(code)] = byte;
  }
  return alphabet;
}

constexpr Alphabet kAlphabet = make_alphabet();

}  // namespace

std::optional<std::string> bytes_of_token(std::string_view token) {
  std::string bytes;
  for (size_t i = 0; i < token.size(); ++i) {
    auto code = static_cast<size_t>(static_cast<uint8_t>(token[i]));
    if (code >= 0x80) {  // the alphabet has no character of more than two bytes
      if (code < 0xc2 || code > 0xc5 || i + 1 == token.size()) { return std::nullopt; }
      const auto low = static_cast<size_t>(static_cast<uint8_t>(token[++i]));
      if ((low & 0xc0) != 0x80) { return std::nullopt; }
      code = (code & 0x1f) << 6 | (low & 0x3f);
    }
    if (code >= kAlphabet.byte.size() || kAlphabet.byte[code] < 0) { return std::nullopt; }
    bytes += static_cast<char>(kAlphabet.byte[code]);
  }
  return bytes;
}

std::string token_of_bytes(std::string_view bytes) {
  std::string token;
  for (char byte : bytes) { append_utf8(static_cast<char32_t>(kAlphabet.code[static_cast<uint8_t>(byte)]), token); }
  return token;
}

}  // namespace vortex::model
