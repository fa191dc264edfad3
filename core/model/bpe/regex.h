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
// (Debian's libpcre2, compiled just in time). White space (\s) is the property White_Space, as there. Constructs that
// the two read differently (\w, \b, \h, class intersections and so on) are refused by name. Immutable, thread-safe.
class Regex {
 public:
  static Result<Regex> compile(const std::string& pattern);

  // The matches of `text`, which must be well-formed UTF-8: non-empty, ascending, not overlapping, [begin, end).
  Result<std::vector<std::pair<size_t, size_t>>> matches(std::string_view text) const;

 private:
  std::shared_ptr<const pcre2_real_code_8> code_;
};

}  // namespace vortex::model
