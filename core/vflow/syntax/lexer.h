#pragma once

#include <string_view>
#include <vector>

#include "core/vflow/source.h"

namespace vortex::vflow {

enum class TokenKind : uint8_t {
  kName,     // identifiers and keywords
  kInteger,  // 12, 0x1f, 1_000
  kFloat,    // 0.5, 1e-6
  kString,   // with its prefix and quotes
  kSymbol,   // operators and brackets
  kNewline,  // end of a logical line
  kIndent,
  kDedent,
  kEnd,
};

struct Token {
  TokenKind kind = TokenKind::kEnd;
  Span span;
  std::string_view text;
};

struct TokenList {
  std::vector<Token> tokens;
  std::vector<uint32_t> errors;  // where something was reported, in source order
};

// Splits Python source into tokens, with implicit line joining inside brackets and INDENT/DEDENT from the margin.
// Always ends with kEnd (after a kNewline and the open kDedents). What cannot be a token is reported and skipped.
TokenList tokenize(Reporter& reporter);

// The tokens of one expression inside a larger text: `span` of an f-string's braces. No newlines, no indentation.
TokenList tokenize_expression(Reporter& reporter, Span span);

bool is_keyword(std::string_view name);

}  // namespace vortex::vflow
