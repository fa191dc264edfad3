#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace vortex::model::jinja {

enum class TokenKind {
  kText,         // what stands outside of all tags, white space control applied
  kOutputBegin,  // {{
  kOutputEnd,
  kTagBegin,  // {%
  kTagEnd,
  kName,
  kString,  // its text, escapes read
  kInteger,
  kFloat,
  kOperator,
  kEnd,
};

struct Token {
  TokenKind kind = TokenKind::kEnd;
  std::string text;
  int line = 1;
};

// Splits a template as Jinja does with trim_blocks and lstrip_blocks on, as transformers sets it up: the first line
// break behind a tag goes, and so does the white space between a line's start and a tag; comments vanish, raw blocks
// are text. Ends with kEnd. What is no token is an error that names its line.
Result<std::vector<Token>> tokenize(std::string_view source);

// "chat template, line 3: MESSAGE".
Error error_at(int line, const std::string& message, const std::string& hint = {});

}  // namespace vortex::model::jinja
