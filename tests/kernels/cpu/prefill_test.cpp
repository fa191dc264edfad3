#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

#include "kernels/cpu/prefill_attention.h"

namespace vortex::cpu {
namespace {

struct Problem {
  Problem(int token_count, int head_count, int group_size, int dim, float spread = 4.0F)
      : tokens(token_count), kv_heads(head_count), group(group_size), head_dim(dim) {
    std::mt19937 generator(static_cast<unsigned>(tokens));
    const auto next = [&] { return spread * (static_cast<float>(generator()) / 4294967296.0F - 0.5F); };
    q.resize(static_cast<size_t>(tokens * kv_heads * group * head_dim));
    k.resize(static_cast<size_t>(tokens * kv_heads * head_dim));
    v.resize(k.size());
    for (float& value : q) { value = next(); }
    for (Bf16& value : k) { value = float_to_bf16(next()); }
    for (Bf16& value : v) { value = float_to_bf16(next()); }
  }

  std::vector<float> run(ThreadPool* pool = nullptr, Isa isa = best_isa(), int first_query = 0) const {
    std::vector<float> out(q.size(), -7.0F);
    std::vector<float> scratch(static_cast<size_t>(prefill_scratch_size(tokens, kv_heads, head_dim)), NAN);
    PrefillAttentionArgs args;
    args.q = q.data();
    args.out = out.data();
    args.k = k.data();
    args.v = v.data();
    args.scratch = scratch.data();
    args.tokens = tokens;
    args.first_query = first_query;
    args.kv_heads = kv_heads;
    args.group = group;
    args.head_dim = head_dim;
    args.scale = 1.0F / std::sqrt(static_cast<float>(head_dim));
    prefill_attention(args, pool, isa);
    return out;
  }

  // Element d of the output of one query head, in double.
  double expected(int token, int head, int d) const {
    const size_t query = static_cast<size_t>((token * kv_heads * group + head) * head_dim);
    const int kv_head = head / group;
    double total = 0;
    double sum = 0;
    for (int key = 0; key <= token; ++key) {
      const size_t at = static_cast<size_t>((kv_head * tokens + key) * head_dim);
      double dot = 0;
      for (size_t i = 0; i < static_cast<size_t>(head_dim); ++i) {
        dot += static_cast<double>(q[query + i]) * static_cast<double>(bf16_to_float(k[at + i]));
      }
      const double weight = std::exp(dot / std::sqrt(static_cast<double>(head_dim)));
      total += weight;
      sum += weight * static_cast<double>(bf16_to_float(v[at + static_cast<size_t>(d)]));
    }
    return sum / total;
  }

  int tokens, kv_heads, group, head_dim;
  std::vector<float> q;
  std::vector<Bf16> k;
  std::vector<Bf16> v;
};

void expect_matches(const Problem& problem) {
  const std::vector<float> out = problem.run();
  const int heads = problem.kv_heads * problem.group;
  for (int token = 0; token < problem.tokens; token += 1 + token / 7) {
    for (int head = 0; head < heads; ++head) {
      for (int d = 0; d < problem.head_dim; d += 5) {
        const float value = out[static_cast<size_t>((token * heads + head) * problem.head_dim + d)];
        ASSERT_NEAR(static_cast<double>(value), problem.expected(token, head, d), 2e-5)
            << "token " << token << ", head " << head << ", element " << d << " of " << problem.tokens << " tokens";
      }
    }
  }
}

TEST(PrefillAttention, MatchesTheDefinition) {
  for (int tokens : {1, 2, 15, 16, 17, 31, 64, 127, 128, 129, 200}) { expect_matches(Problem(tokens, 2, 2, 32)); }
  expect_matches(Problem(150, 1, 3, 16));  // tiles of 21 tokens: key tiles start inside them
  expect_matches(Problem(40, 1, 64, 16));  // one token a tile
  expect_matches(Problem(70, 2, 1, 256));
}

TEST(PrefillAttention, SurvivesLargeLogits) {
  const std::vector<float> out = Problem(100, 1, 2, 16, 200.0F).run();
  for (float value : out) { ASSERT_TRUE(std::isfinite(value)); }
}

TEST(PrefillAttention, GivesTheSameBitsEverywhere) {
  const Problem problem(150, 2, 2, 32);
  const std::vector<float> expected = problem.run();
  for (Isa isa : {Isa::kScalar, Isa::kAvx2, Isa::kAvx512}) {
    if (!isa_supported(isa)) { continue; }
    EXPECT_EQ(problem.run(nullptr, isa), expected) << isa_name(isa);
  }
  for (int threads : {2, 3}) {
    ThreadPool pool(threads);
    EXPECT_EQ(problem.run(&pool), expected) << threads;
  }
}

TEST(PrefillAttention, FirstQuerySkipsTheOthers) {
  const Problem problem(150, 2, 2, 32);
  const std::vector<float> all = problem.run();
  for (int first : {1, 37, 149}) {
    const std::vector<float> some = problem.run(nullptr, best_isa(), first);
    const auto skipped = static_cast<size_t>(first * 2 * 2 * 32);
    for (size_t i = 0; i < some.size(); ++i) { ASSERT_EQ(some[i], i < skipped ? -7.0F : all[i]) << i; }
  }
}

}  // namespace
}  // namespace vortex::cpu
