#pragma once

#include <cstdint>

namespace vortex {

// One round of SplitMix64 (Steele, Lea, Flood 2014): a bijective 64-bit mixer.
constexpr uint64_t mix64(uint64_t x) {
  x += 0x9e3779b97f4a7c15ULL;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

// A stream key from parts, e.g. (seed, request, position): the same parts give the same key on every machine.
constexpr uint64_t stream_key(uint64_t a, uint64_t b = 0, uint64_t c = 0, uint64_t d = 0) {
  return mix64(mix64(mix64(mix64(a) ^ b) ^ c) ^ d);
}

// A small deterministic generator: same key, same sequence, on every platform (unlike <random>'s distributions).
class Rng {
 public:
  explicit constexpr Rng(uint64_t key) : state_(key) {}

  constexpr uint64_t next() {
    const uint64_t value = mix64(state_);
    state_ += 0x9e3779b97f4a7c15ULL;
    return value;
  }

  // Uniform in [0, 1) with 53 random bits.
  constexpr double uniform() { return static_cast<double>(next() >> 11) * 0x1.0p-53; }

  // Uniform in [0, n); n >= 1. The modulo bias is below n / 2^64.
  constexpr uint64_t below(uint64_t n) { return next() % n; }

  // Uniform in [lo, hi], both included.
  constexpr int between(int lo, int hi) {
    return lo + static_cast<int>(below(static_cast<uint64_t>(static_cast<int64_t>(hi) - lo + 1)));
  }

 private:
  uint64_t state_;
};

}  // namespace vortex
