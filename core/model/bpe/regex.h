#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

struct pcre2_real_code_8;

namespace vortex::model {

// A regular expression over UTF-8 with Unicode classes, as tokenizer.json writes them for Oniguruma, run by PCRE2
// (Debian's libpcre2, compiled just in time) in the translation of bpe/oniguruma.h. Immutable, thread-safe.
class Regex {
 public:
  static Result<Regex> compile(const std::string& pattern);

  // The matches of `text`, which must be well-formed UTF-8: ascending, not overlapping, [begin, end). Empty ones are
  // among them, but for those right behind another match.
  Result<std::vector<std::pair<size_t, size_t>>> matches(std::string_view text) const;

 private:
  std::shared_ptr<const pcre2_real_code_8> code_;
};

}  // namespace vortex::model
