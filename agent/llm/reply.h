#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "study/prediction.h"

namespace vortex::agent {

struct WrittenHypothesis {
  std::string claim;
  study::Prediction prediction;
};

// One policy as somebody wrote it.
struct Variant {
  std::string name;
  std::string module;
  std::string config;            // JSON text
  std::vector<int64_t> parents;  // candidates, as the writer named them
  std::string operation;
  std::string rationale;
  std::string mechanism;  // one sentence that defends it as novel; empty: not claimed
  std::optional<WrittenHypothesis> hypothesis;
};

struct WrittenReply {
  std::vector<Variant> variants;
  std::vector<std::string> anti_patterns;
  std::vector<std::string> questions;
  std::vector<std::string> remarks;  // what could not be read, in words; the rest counts
};

// Reads a reply: a JSON object of reply_schema(), bare, among words or in a fence; or Markdown with, for every variant,
// a `json` block about it, a `python` block with the module and a `json` block with the configuration (any key that
// begins with vortex_). Thoughts before it are no part of it. Text of any kind is taken: what cannot be read becomes a
// remark. At most 16 variants and 64 KiB a source.
WrittenReply read_reply(std::string_view text);

// JSON schema of a reply, in the strict form that endpoints accept: every member required, no others allowed.
nlohmann::json reply_schema();

}  // namespace vortex::agent
