#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "core/model/bpe/normalizer.h"

namespace vortex::model {

// A token that is found in the text as it stands, before anything is split (tokenizer.json's "added_tokens").
struct AddedToken {
  int32_t id = 0;
  std::string content;
  bool special = false;      // for control; left out of text meant for people
  bool normalized = false;   // looked for in the normalized text, not in the raw one
  bool single_word = false;  // only where no word character is next to it
  bool lstrip = false;       // takes the white space before it along
  bool rstrip = false;
};

// A part of a text: an added token, or text between them.
struct Segment {
  int32_t token = -1;     // -1: text
  std::string_view text;  // of the token with the white space it took along, or of the text
};

// Finds added tokens: the leftmost first, the longest of those, then on behind it. Immutable.
class AddedTokenFinder {
 public:
  // Keeps the tokens whose `normalized` is as given; their contents are normalized if it is true.
  AddedTokenFinder(const std::vector<AddedToken>& tokens, bool normalized, const Normalizer& normalizer);

  std::vector<Segment> split(std::string_view text) const;

 private:
  struct Node {
    std::map<char, size_t> next;
    int token = -1;  // index into tokens_ of the token that ends here
  };
  // The longest token at the start of `text`: its index and size in bytes; -1 if none.
  std::pair<int, size_t> longest(std::string_view text) const;

  std::vector<AddedToken> tokens_;
  std::vector<Node> nodes_;
};

Result<std::vector<AddedToken>> read_added_tokens(const nlohmann::json& json);

}  // namespace vortex::model
