#pragma once

#include <deque>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "core/model/bpe/regex.h"

namespace vortex::model {

// What becomes of the matches of a splitting pattern, as in Hugging Face's SplitDelimiterBehavior.
enum class SplitBehavior { kRemoved, kIsolated, kMergedWithPrevious, kMergedWithNext, kContiguous };

// One step of tokenizer.json's "pre_tokenizer": puts a space in front if asked, then splits by a pattern if it has one.
struct SplitStep {
  bool add_prefix_space = false;
  std::vector<Regex> pattern;  // none or one
  SplitBehavior behavior = SplitBehavior::kIsolated;
  bool invert = false;  // matches and the text between them change places
};

// Splits normalized text into the words that merges never cross. Immutable.
struct PreTokenizer {
  std::vector<SplitStep> steps;
  bool byte_level = false;  // words become bytes in the end, as all vocabularies here need

  // Words of `text`, in order, none empty: views into it or into `owned`.
  Result<std::vector<std::string_view>> split(std::string_view text, std::deque<std::string>& owned) const;
};

// ByteLevel, Split, Digits, or a Sequence of these; anything else is refused by name.
Result<PreTokenizer> read_pre_tokenizer(const nlohmann::json& json);

}  // namespace vortex::model
