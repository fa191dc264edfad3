// Results do not depend on the instruction set, the number of threads or what lies in memory that is not to be read.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "core/compile/cpu/cpu_executable.h"
#include "core/compile/random_batch.h"
#include "core/compile/reference/agreement.h"
#include "core/compile/reference/oracle.h"
#include "core/vflow/vary/families.h"
#include "core/vflow/vary/generate.h"
#include "kernels/cpu/bf16.h"
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
  (*executable)->update(world.cache(), world.full_pages());
  for (int step = 0; step < 2; ++step) {
    IndexerBatch batch = world.batch();
    batch.pool = pool;
    (*executable)->choose(world.cache(), batch, outcome.selection, &outcome.scores);
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
    if (!compile_cpu(policy).ok()) { continue; }
    SCOPED_TRACE(i);
    const Outcome scalar = run(policy, cpu::Isa::kScalar, nullptr, i);
    for (const cpu::Isa isa : {cpu::Isa::kAvx2, cpu::Isa::kAvx512}) {
      if (cpu::isa_supported(isa)) { expect_same(scalar, run(policy, isa, nullptr, i)); }
    }
  }
}

TEST(Invariance, ThreadsGiveTheSameBits) {
  cpu::ThreadPool pool(4);
  for (uint64_t i = 0; i < 30; ++i) {
    const vflow::Policy policy = random_small_policy(stream_key(8, i));
    if (!compile_cpu(policy).ok()) { continue; }
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

// Hands every call on, but for what a test plants.
class Wrapped : public Executable {
 public:
  explicit Wrapped(const Executable& real) : real_(real) {}
  Status update_pages(const LayerCache& cache, std::span<const int32_t> pages) const override {
    return real_.update_pages(cache, pages);
  }
  Status select(const LayerCache& cache, const IndexerBatch& batch, Selection& selection,
                std::vector<float>* scores) const override {
    return real_.select(cache, batch, selection, scores);
  }
  int kv_heads() const override { return real_.kv_heads(); }
  std::string describe() const override { return real_.describe(); }
  std::vector<KernelInfo> kernels() const override { return real_.kernels(); }

 private:
  const Executable& real_;
};

class SkipsUpdates final : public Wrapped {
 public:
  using Wrapped::Wrapped;
  Status update_pages(const LayerCache&, std::span<const int32_t>) const override { return ok_status(); }
};

class ShiftsScores final : public Wrapped {
 public:
  using Wrapped::Wrapped;
  Status select(const LayerCache& cache, const IndexerBatch& batch, Selection& selection,
                std::vector<float>* scores) const override {
    VORTEX_TRY(Wrapped::select(cache, batch, selection, scores));
    for (float& score : *scores) { score *= 1.01F; }
    return ok_status();
  }
};

// Keeps its scores to itself, as a kernel that scores and selects in one go does.
class HidesScores final : public Wrapped {
 public:
  using Wrapped::Wrapped;
  Status select(const LayerCache& cache, const IndexerBatch& batch, Selection& selection,
                std::vector<float>* scores) const override {
    scores->clear();
    return Wrapped::select(cache, batch, selection, nullptr);
  }
};

class LosesTheDevice final : public Wrapped {
 public:
  using Wrapped::Wrapped;
  Status select(const LayerCache&, const IndexerBatch&, Selection&, std::vector<float>*) const override {
    return environment_error("the device is lost");
  }
};

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

  const auto real = compile_cpu(policy);
  const auto skipped = compare_with_oracle(policy, SkipsUpdates(**real), 1);
  ASSERT_TRUE(skipped.ok());
  EXPECT_FALSE(skipped->agrees());

  const auto shifted = compare_with_oracle(policy, ShiftsScores(**real), 1);
  ASSERT_TRUE(shifted.ok());
  EXPECT_FALSE(shifted->agrees());
  const auto lost = compare_with_oracle(policy, LosesTheDevice(**real), 1);
  ASSERT_FALSE(lost.ok());
  EXPECT_EQ(lost.error().blame, Blame::kEnvironment);
}

// Without scores the choice alone is checked: a right one passes, one by another score does not.
TEST(Agreement, ChecksTheChoiceOfAKernelThatHidesItsScores) {
  const auto families = vflow::score_families();
  const vflow::Policy policy = family_policy(families[0].name, 6);
  const auto right = compile_cpu(policy);
  const auto report = compare_with_oracle(policy, HidesScores(**right), 1);
  ASSERT_TRUE(report.ok());
  EXPECT_TRUE(report->agrees()) << describe(*report);
  EXPECT_EQ(report->rows_unseen, report->rows_scored);
  EXPECT_GT(report->rows_unseen, 0);
  EXPECT_EQ(report->scores_compared, 0);
  vflow::Policy other = policy;
  for (vflow::Node& node : other.program.indexer.nodes) {
    if (node.op == vflow::Op::kMean) { node.op = vflow::Op::kMax; }
  }
  const auto wrong = compile_cpu(other);
  const auto refused = compare_with_oracle(policy, HidesScores(**wrong), 1);
  ASSERT_TRUE(refused.ok());
  EXPECT_FALSE(refused->agrees());
}

// Keys in fp8 are numbers that bfloat16 has, too: the oracle reads the same from either.
TEST(Oracle, ReadsFp8KeysAsTheNumbersThatTheyStandFor) {
  for (const vflow::Dtype dtype : {vflow::Dtype::kFp8E4m3, vflow::Dtype::kFp8E5m2}) {
    vflow::Policy small = family_policy(vflow::score_families()[0].name, 6);
    vflow::Policy wide = small;
    small.config.kv_dtype = dtype;
    RandomBatch narrow(small, InputKind::kNormal, 2, {100, 40}, 1, 9);
    RandomBatch same(wide, InputKind::kNormal, 2, {100, 40}, 1, 9);
    for (size_t tensor = 0; tensor < 2; ++tensor) {
      const std::vector<std::byte>& from = narrow.memory()[tensor];
      auto* to = reinterpret_cast<cpu::Bf16*>(same.memory()[tensor].data());
      for (size_t i = 0; i < from.size(); ++i) { to[i] = cpu::float_to_bf16(stored_value(&from[i], dtype)); }
    }
    const auto read = oracle_update(small, narrow.cache(), narrow.pages(), narrow.full_pages());
    const auto expected = oracle_update(wide, same.cache(), same.pages(), same.full_pages());
    ASSERT_TRUE(read.ok()) << read.error().message;
    ASSERT_TRUE(expected.ok());
    ASSERT_EQ(read->size(), expected->size());
    for (size_t i = 0; i < read->size(); ++i) {
      EXPECT_EQ((*read)[i].content.value, (*expected)[i].content.value);
      EXPECT_FALSE((*read)[i].content.value.empty());
    }
  }
}

// Fields in fp8 stop at the largest number, where the device's stores do.
TEST(Oracle, RoundsFieldsToFp8) {
  vflow::Policy policy = family_policy(vflow::score_families()[0].name, 6);
  policy.config.dtype = vflow::Dtype::kFp8E4m3;
  RandomBatch world(policy, InputKind::kHuge, 2, {100}, 1, 4);
  const auto writes = oracle_update(policy, world.cache(), world.pages(), world.full_pages());
  ASSERT_TRUE(writes.ok()) << writes.error().message;
  double largest = 0;
  for (const OracleWrite& write : *writes) {
    for (const double value : write.content.value) { largest = std::max(largest, std::abs(value)); }
  }
  EXPECT_EQ(largest, 448);
}

TEST(Oracle, Float32StaysWithinTheBoundOfFloat64) {
  const vflow::Policy policy = family_policy(vflow::score_families()[0].name, 6);
  Rng rng(5);
  const Lengths lengths = draw_lengths(policy, 4, 400, rng);
  RandomBatch world(policy, InputKind::kNormal, 2, lengths.tokens, 1, 9);
  (*compile_cpu(policy))->update(world.cache(), world.full_pages());
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
