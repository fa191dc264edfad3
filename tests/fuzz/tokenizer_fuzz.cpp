// Any bytes as a tokenizer.json and a text, separated by the first NUL: refused, or ids that decode to well-formed
// text.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "core/model/tokenizer.h"
#include "core/model/unicode.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace vortex::model;
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const size_t split = input.find('\0');
  const auto tokenizer = parse_tokenizer(input.substr(0, split), "tokenizer.json");
  if (!tokenizer.ok() || split == std::string_view::npos) { return 0; }
  const auto ids = (*tokenizer)->encode(input.substr(split + 1));
  if (!ids.ok()) { return 0; }
  std::vector<int32_t> all = (*tokenizer)->add_special_tokens(*ids);
  all.push_back(-1);  // ids that no vocabulary has are allowed, too
  all.push_back(1 << 30);
  if (find_invalid_utf8((*tokenizer)->decode(all))) { __builtin_trap(); }
  for (const int32_t id : all) { (*tokenizer)->is_special(id); }
  return 0;
}
