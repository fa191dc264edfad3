#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "base/result.h"

namespace vortex::model {

// What tokenizer.json's "normalizer" does to a text before it is split: nothing, or NFC (Unicode Standard Annex 15).
struct Normalizer {
  bool nfc = false;

  // `text` must be well-formed UTF-8.
  std::string apply(std::string_view text) const;
};

// Null, NFC, or a Sequence of these; anything else is refused by name.
Result<Normalizer> read_normalizer(const nlohmann::json& json);

}  // namespace vortex::model
