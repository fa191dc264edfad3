#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "kernels/cpu/prefill_attention.h"
#include "tests/kernels/cpu/prompt.h"

namespace vortex::cpu {
namespace {

// Element d of the output of one query head, in double.
double expected(const Prompt& p, int token, int head, int d) {
  const size_t query = static_cast<size_t>((token * p.kv_heads * p.group + head) * p.head_dim);
  const int kv_head = head / p.group;
  double total = 0;
  double sum = 0;
  for (int key = 0; key <= token; ++key) {
    const size_t at = static_cast<size_t>((kv_head * p.tokens + key) * p.head_dim);
    double dot = 0;
    for (size_t i = 0; i < static_cast<size_t>(p.head_dim); ++i) {
      dot += static_cast<double>(p.q[query + i]) * static_cast<double>(bf16_to_float(p.k[at + i]));
    }
    const double weight = std::exp(dot / std::sqrt(static_cast<double>(p.head_dim)));
    total += weight;
    sum += weight * static_cast<double>(bf16_to_float(p.v[at + static_cast<size_t>(d)]));
  }
  return sum / total;
}

void expect_matches(const Prompt& prompt) {
  const std::vector<float> out = prompt.run_float32();
  const int heads = prompt.kv_heads * prompt.group;
  for (int token = 0; token < prompt.tokens; token += 1 + token / 7) {
    for (int head = 0; head < heads; ++head) {
      for (int d = 0; d < prompt.head_dim; d += 5) {
        const float value = out[static_cast<size_t>((token * heads + head) * prompt.head_dim + d)];
        ASSERT_NEAR(static_cast<double>(value), expected(prompt, token, head, d), 2e-5)
            << "token " << token << ", head " << head << ", element " << d << " of " << prompt.tokens << " tokens";
      }
    }
  }
}

TEST(PrefillAttention, MatchesTheDefinition) {
  for (int tokens : {1, 2, 15, 16, 17, 31, 64, 127, 128, 129, 200}) { expect_matches(Prompt(tokens, 2, 2, 32)); }
  expect_matches(Prompt(150, 1, 3, 16));  // tiles of 21 tokens: key tiles start inside them
  expect_matches(Prompt(40, 1, 64, 16));  // one token a tile
  expect_matches(Prompt(70, 2, 1, 256));
}

TEST(PrefillAttention, SurvivesLargeLogits) {
  const std::vector<float> out = Prompt(100, 1, 2, 16, 200.0F).run_float32();
  for (float value : out) { ASSERT_TRUE(std::isfinite(value)); }
}

TEST(PrefillAttention, GivesTheSameBitsEverywhere) {
  const Prompt prompt(150, 2, 2, 32);
  const std::vector<float> expected = prompt.run_float32();
  for (Isa isa : {Isa::kScalar, Isa::kAvx2, Isa::kAvx512}) {
    if (!isa_supported(isa)) { continue; }
    EXPECT_EQ(prompt.run_float32(nullptr, isa), expected) << isa_name(isa);
  }
  for (int threads : {2, 3}) {
    ThreadPool pool(threads);
    EXPECT_EQ(prompt.run_float32(&pool), expected) << threads;
  }
}

TEST(PrefillAttention, WideKeysAndValuesGiveTheBitsOfTheirRoundedOnes) {
  const Prompt prompt(150, 2, 2, 32);
  const auto widened = [](const std::vector<Bf16>& values) {
    std::vector<float> wide;
    for (const Bf16 value : values) { wide.push_back(bf16_to_float(value)); }
    return wide;
  };
  const std::vector<float> k = widened(prompt.k);
  const std::vector<float> v = widened(prompt.v);
  const std::vector<float> expected = prompt.run_float32();
  for (Isa isa : {Isa::kScalar, Isa::kAvx2, Isa::kAvx512}) {
    if (!isa_supported(isa)) { continue; }
    std::vector<float> out;
    std::vector<float> scratch;
    PrefillAttentionArgs args = prompt.args(out, scratch);
    args.k = args.v = nullptr;
    args.wide_k = k.data();
    args.wide_v = v.data();
    prefill_attention(args, nullptr, isa);
    EXPECT_EQ(out, expected) << isa_name(isa);
  }
}

TEST(PrefillAttention, FirstQuerySkipsTheOthers) {
  const Prompt prompt(150, 2, 2, 32);
  const std::vector<float> all = prompt.run_float32();
  for (int first : {1, 37, 149}) {
    const std::vector<float> some = prompt.run_float32(nullptr, best_isa(), first);
    const auto skipped = static_cast<size_t>(first * 2 * 2 * 32);
    for (size_t i = 0; i < some.size(); ++i) { ASSERT_EQ(some[i], i < skipped ? -7.0F : all[i]) << i; }
  }
}

// The last tokens of a prompt by themselves, whose queries and outputs begin with them.
TEST(PrefillAttention, WhatIsComputedTogetherDoesNotChangeABit) {
  const Prompt prompt(150, 2, 3, 32);
  const std::vector<float> all = prompt.run_float32();
  for (int first : {1, 15, 37, 128, 149}) {
    std::vector<float> out;
    std::vector<float> scratch;
    PrefillAttentionArgs args = prompt.args(out, scratch, first);
    const auto skipped = static_cast<size_t>(first * 2 * 3 * 32);
    args.first_row = first;
    args.q += skipped;
    prefill_attention(args);
    out.resize(all.size() - skipped);
    EXPECT_EQ(out, std::vector<float>(all.begin() + static_cast<std::ptrdiff_t>(skipped), all.end())) << first;
  }
}

}  // namespace
}  // namespace vortex::cpu
