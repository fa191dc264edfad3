#include "core/model/bpe/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "core/model/bpe/oniguruma.h"

namespace vortex::model {
namespace {

// Steps of one match: enough for runs of millions of spaces; a pattern that backtracks without end gives up in seconds.
constexpr uint32_t kMatchLimit = 10'000'000;
constexpr size_t kJitStackBytes = size_t{16} << 20;

std::string pcre2_message(int code) {
  PCRE2_UCHAR text[256] = {};
  pcre2_get_error_message(code, text, sizeof text);
  return reinterpret_cast<const char*>(text);
}

// Scratch of one call of matches().
struct MatchState {
  explicit MatchState(const pcre2_code* code)
      : data(pcre2_match_data_create_from_pattern(code, nullptr)),
        context(pcre2_match_context_create(nullptr)),
        stack(pcre2_jit_stack_create(32768, kJitStackBytes, nullptr)) {
    pcre2_jit_stack_assign(context, nullptr, stack);
    pcre2_set_match_limit(context, kMatchLimit);
  }
  ~MatchState() {
    pcre2_jit_stack_free(stack);
    pcre2_match_context_free(context);
    pcre2_match_data_free(data);
  }
  MatchState(const MatchState&) = delete;
  MatchState& operator=(const MatchState&) = delete;

  pcre2_match_data* data;
  pcre2_match_context* context;
  pcre2_jit_stack* stack;
};

}  // namespace

Result<Regex> Regex::compile(const std::string& pattern) {
  VORTEX_ASSIGN(const std::string translated, oniguruma_to_pcre2(pattern));
  int error = 0;
  PCRE2_SIZE offset = 0;
  pcre2_code* code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(translated.data()), translated.size(),
                                   PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C, &error, &offset, nullptr);
  if (code == nullptr) {
    return candidate_error("tokenizer.json: the pattern " + pattern + " cannot be compiled: " + pcre2_message(error));
  }
  pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);  // without it matching is slower, nothing else
  Regex regex;
  regex.code_ = {code, [](pcre2_code* owned) { pcre2_code_free(owned); }};
  return regex;
}

Result<std::vector<std::pair<size_t, size_t>>> Regex::matches(std::string_view text) const {
  const MatchState state(code_.get());
  const PCRE2_SIZE* span = pcre2_get_ovector_pointer(state.data);
  std::vector<std::pair<size_t, size_t>> found;
  for (size_t at = 0; at <= text.size();) {
    const int count = pcre2_match(code_.get(), reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), at,
                                  PCRE2_NO_UTF_CHECK, state.data, state.context);
    if (count == PCRE2_ERROR_NOMATCH) { break; }
    if (count < 0) { return candidate_error("the tokenizer's pattern gave up on the text: " + pcre2_message(count)); }
    if (span[1] == span[0] && !found.empty() && found.back().second == span[1]) {
      ++at;  // an empty match right behind the last one does not count: go on at the next character
      while (at < text.size() && (static_cast<unsigned char>(text[at]) & 0xc0) == 0x80) { ++at; }
    } else {
      found.emplace_back(span[0], span[1]);
      at = span[1];
    }
  }
  return found;
}

}  // namespace vortex::model
