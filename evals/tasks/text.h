#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/rng.h"

namespace vortex::evals {

// A template with every place, e.g. "{context}", filled. What was filled in is not searched again.
std::string filled(std::string_view text, const std::vector<std::pair<std::string, std::string>>& places);

// What follows the last "</think>"; all of it where there is none.
std::string_view without_thinking(std::string_view output);

// "a", "a and b", "a, b, and c".
std::string listed(const std::vector<std::string>& words);

template <typename T>
void shuffle(std::vector<T>& items, Rng& rng) {
  for (size_t i = items.size(); i > 1; --i) { std::swap(items[i - 1], items[rng.below(i)]); }
}

}  // namespace vortex::evals
