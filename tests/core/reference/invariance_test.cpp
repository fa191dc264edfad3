// Results do not depend on the instruction set, the number of threads or what lies in memory that is not to be read.
#include <gtest/gtest.h>

#include <cstring>

#include "core/compile/cpu/cpu_executable.h"
#include "core/compile/random_batch.h"
#include "core/compile/reference/agreement.h"
#include "core/compile/reference/oracle.h"
#include "core/vflow/vary/families.h"
#include "core/vflow/vary/generate.h"
#include "kernels/cpu/parallel.h"

namespace vortex::compile {
namespace {

vflow::Policy random_small_policy(uint64_t key) {
  Rng rng(key);
  vflow::ModelGeometry model;
  model.layers = 2;
  model.num_kv_heads = 2;
  model.num_q_heads = 6;
  model.head_dim = static_cast<int>(8 * rng.between(1, 6));
  vflow::Policy policy = vflow::random_policy(rng, model);
  policy.config.topk_val = std::min(policy.config.topk_val, 8);
  return policy;
}

struct Outcome {
  Selection selection;
  std::vector<float> scores;
  std::vector<std::vector<std::byte>> memory;
};

Outcome run(const vflow::Policy& policy, cpu::Isa isa, cpu::ThreadPool* pool, uint64_t key) {
  Rng rng(key);
  const Lengths lengths = draw_lengths(policy, 4, 400, rng);
  RandomBatch world(policy, InputKind::kNormal, 2, lengths.tokens, 2, rng.next());
  const auto executable = compile_cpu_for(policy, isa);
  Outcome outcome;
  (*executable)->update_pages(world.cache(), world.full_pages());
  for (int step = 0; step < 2; ++step) {
    IndexerBatch batch = world.batch();
    batch.pool = pool;
    (*executable)->select(world.cache(), batch, outcome.selection, &outcome.scores);
  }
  outcome.memory = world.memory();
  return outcome;
}

// NaN scores compare equal whatever their bits; everything else must have the same bits.
void expect_same(const Outcome& a, const Outcome& b) {
  EXPECT_EQ(a.selection.blocks, b.selection.blocks);
  EXPECT_EQ(a.selection.counts, b.selection.counts);
  EXPECT_TRUE(a.memory == b.memory);
  ASSERT_EQ(a.scores.size(), b.scores.size());
  for (size_t i = 0; i < a.scores.size(); ++i) {
    if (a.scores[i] == a.scores[i] || b.scores[i] == b.scores[i]) {
      ASSERT_EQ(std::memcmp(&a.scores[i], &b.scores[i], sizeof(float)), 0) << i;
    }
  }
}

TEST(Invariance, InstructionSetsGiveTheSameBits) {
  for (uint64_t i = 0; i < 60; ++i) {
    const vflow::Policy policy = random_small_policy(stream_key(7, i));
    if (!compile_cpu(policy).ok()) {
      continue;
    }
    SCOPED_TRACE(i);
    const Outcome scalar = run(policy, cpu::Isa::kScalar, nullptr, i);
    for (const cpu::Isa isa : {cpu::Isa::kAvx2, cpu::Isa::kAvx512}) {
      if (cpu::isa_supported(isa)) {
        expect_same(scalar, run(policy, isa, nullptr, i));
      }
    }
  }
}

TEST(Invariance, ThreadsGiveTheSameBits) {
  cpu::ThreadPool pool(4);
  for (uint64_t i = 0; i < 30; ++i) {
    const vflow::Policy policy = random_small_policy(stream_key(8, i));
    if (!compile_cpu(policy).ok()) {
      continue;
    }
    SCOPED_TRACE(i);
    expect_same(run(policy, cpu::best_isa(), nullptr, i), run(policy, cpu::best_isa(), &pool, i));
  }
}

vflow::Policy family_policy(std::string_view name, int topk) {
  Rng rng(3);
  vflow::Policy policy;
  for (const vflow::Family& family : vflow::score_families()) {
    if (family.name == name) {
      policy.program = *vflow::family_program(family, vflow::Dialect::kGqa, vflow::Geometry{2, 32, 16, 0}, rng);
    }
  }
  policy.config.topk_val = topk;
  return policy;
}

// The comparison must be able to fail: another program, another budget, and a cache side that is skipped.
TEST(Agreement, NoticesAWrongExecutable) {
  const auto families = vflow::score_families();
  ASSERT_GE(families.size(), 2U);
  const vflow::Policy policy = family_policy(families[0].name, 6);
  const auto other_budget = compile_cpu(family_policy(families[0].name, 7));
  ASSERT_TRUE(other_budget.ok());
  const auto report = compare_with_oracle(policy, **other_budget, 1);
  ASSERT_TRUE(report.ok());
  EXPECT_FALSE(report->agrees());

  class SkipsUpdates final : public Executable {
   public:
    explicit SkipsUpdates(const Executable& real) : real_(real) {}
    void update_pages(const LayerCache&, std::span<const int32_t>) const override {}
    void select(const LayerCache& cache, const IndexerBatch& batch, Selection& selection,
                std::vector<float>* scores) const override {
      real_.select(cache, batch, selection, scores);
    }
    std::string describe() const override { return {}; }

   private:
    const Executable& real_;
  };
  const auto real = compile_cpu(policy);
  const auto skipped = compare_with_oracle(policy, SkipsUpdates(**real), 1);
  ASSERT_TRUE(skipped.ok());
  EXPECT_FALSE(skipped->agrees());

  class ShiftsScores final : public Executable {
   public:
    explicit ShiftsScores(const Executable& real) : real_(real) {}
    void update_pages(const LayerCache& cache, std::span<const int32_t> pages) const override {
      real_.update_pages(cache, pages);
    }
    void select(const LayerCache& cache, const IndexerBatch& batch, Selection& selection,
                std::vector<float>* scores) const override {
      real_.select(cache, batch, selection, scores);
      for (float& score : *scores) {
        score *= 1.01F;
      }
    }
    std::string describe() const override { return {}; }

   private:
    const Executable& real_;
  };
  const auto shifted = compare_with_oracle(policy, ShiftsScores(**real), 1);
  ASSERT_TRUE(shifted.ok());
  EXPECT_FALSE(shifted->agrees());
}

TEST(Oracle, Float32StaysWithinTheBoundOfFloat64) {
  const vflow::Policy policy = family_policy(vflow::score_families()[0].name, 6);
  Rng rng(5);
  const Lengths lengths = draw_lengths(policy, 4, 400, rng);
  RandomBatch world(policy, InputKind::kNormal, 2, lengths.tokens, 1, 9);
  (*compile_cpu(policy))->update_pages(world.cache(), world.full_pages());
  const auto exact = oracle_select(policy, world.cache(), world.pages(), world.batch());
  const auto single = oracle_select(policy, world.cache(), world.pages(), world.batch(), OraclePrecision::kFloat32);
  ASSERT_TRUE(exact.ok());
  ASSERT_TRUE(single.ok());
  int compared = 0;
  for (size_t r = 0; r < exact->size(); ++r) {
    for (size_t l = 0; l < (*exact)[r].lists.size(); ++l) {
      const OracleValue& a = (*exact)[r].lists[l].scores;
      const OracleValue& b = (*single)[r].lists[l].scores;
      for (size_t p = 0; p < a.value.size(); ++p, ++compared) {
        EXPECT_LE(std::abs(a.value[p] - b.value[p]), a.error[p]);
      }
    }
  }
  EXPECT_GT(compared, 0);
}

}  // namespace
}  // namespace vortex::compile
