#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/rng.h"

namespace vortex::evals {

// A template with every place, e.g. "{context}", filled. What was filled in is not searched again.
std::string filled(std::string_view text, const std::vector<std::pair<std::string, std::string>>& places);

// What an output answers: what follows its last thought, that is, "</think>" or what other models write; all of it
// where there is none. Nothing where a thought is open to the end, as one is that was cut at the token limit.
std::optional<std::string_view> without_thinking(std::string_view output);

// What grades say of an output without an answer to look at.
inline constexpr const char* kThoughtWithoutEnd = "no answer: a thought without end";

// The mark that opens a thought where a prompt ends with one; else empty. A model then goes on with the thought, and
// its output shows no opening of it.
std::string_view opened_thought(std::string_view prompt);

// Does this token open or close a thought?
bool is_thought_mark(std::string_view token);

// "a", "a and b", "a, b, and c".
std::string listed(const std::vector<std::string>& words);

template <typename T>
void shuffle(std::vector<T>& items, Rng& rng) {
  for (size_t i = items.size(); i > 1; --i) { std::swap(items[i - 1], items[rng.below(i)]); }
}

}  // namespace vortex::evals
