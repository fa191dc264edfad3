#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace vortex::evals {

// What a number counts: powers of base units and the factor that takes it to them. "km/h" is {m: 1, s: -1} times
// 1000 / 3600. Degrees, percent and things that are counted, apples or ways, are bases of their own.
struct Unit {
  std::map<std::string, int> powers;
  int64_t numerator = 1;
  int64_t denominator = 1;

  bool none() const { return powers.empty() && numerator == denominator; }
  bool operator==(const Unit& other) const = default;
};

// The product of `a` and `b` to a power; nothing where a factor grows beyond all use.
std::optional<Unit> times(const Unit& a, const Unit& b, int power);

// The unit that a word of any case stands for, plural or not; "unit" itself is none. Names of one letter (m, g, s) are
// units only where `alone` says that the letter is set as a word.
std::optional<Unit> unit_of(std::string_view word, bool alone);

// 1000 for "thousand" and so on; "dozen" is 12.
std::optional<int64_t> multiplier_of(std::string_view word);
// 7 for "seven"; up to twenty, and whole tens.
std::optional<int64_t> numeral_of(std::string_view word);

bool is_and(std::string_view word);
bool is_or(std::string_view word);
// Words before a value that leave it as it is: "about", "exactly", "therefore".
bool is_harmless(std::string_view word);
// Words before a value that make it another: "not", "least", "minus".
bool is_changing(std::string_view word);
// Short words that would else be read as products of letters: "yes", "odd", "red".
bool is_short_word(std::string_view word);

}  // namespace vortex::evals
