#pragma once

#include <algorithm>
#include <array>
#include <optional>
#include <string_view>

namespace vortex {

// The words that an enum is called by in the database, in JSON and on the screen, in the order of the enum, whose
// values count from 0. An enum gets its words by a specialization, once, beside it: a std::array of std::string_view.
template <typename E>
inline constexpr bool kNames = false;

template <typename E>
concept Named = requires { kNames<E>.size(); };

template <Named E>
constexpr std::string_view name_of(E value) {
  return kNames<E>[static_cast<size_t>(value)];
}

// The empty word where there is no value.
template <Named E>
constexpr std::string_view name_of(const std::optional<E>& value) {
  return value ? name_of(*value) : std::string_view();
}

// Returns nullopt for a word that is none of the enum's.
template <Named E>
constexpr std::optional<E> from_name(std::string_view name) {
  const auto found = std::find(kNames<E>.begin(), kNames<E>.end(), name);
  if (found == kNames<E>.end()) { return std::nullopt; }
  return static_cast<E>(found - kNames<E>.begin());
}

}  // namespace vortex
