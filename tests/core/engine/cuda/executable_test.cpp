// The engine hands out the kernels that it decodes with: they choose what the CPU backend chooses, which is held
// against the oracle wherever LibTorch is; wrong ones do not. Needs no LibTorch.

#include "core/compile/executable.h"

#include "core/compile/cpu/cpu_executable.h"
#include "core/compile/random_batch.h"
#include "tests/core/engine/cuda/support.h"

namespace vortex::engine {
namespace {

constexpr int kContext = 2048;
// What score_and_select keeps beside its 64 registers for the whole of a row, out of its loop (ptxas: 24 bytes at 64
// dimensions, 32 at 128); generated kernels keep nothing.
constexpr int kMostLocalBytes = 32;

std::vector<std::vector<int32_t>> rows_of(const compile::Selection& selection) {
  std::vector<std::vector<int32_t>> rows;
  for (size_t row = 0; row < selection.counts.size(); ++row) {
    const auto first = selection.blocks.begin() + static_cast<int64_t>(row) * selection.stride;
    rows.emplace_back(first, first + selection.counts[row]);
  }
  return rows;
}

// Do the kernels choose the pages that `policy` has on the CPU, on random pages?
bool chooses_as(const compile::Executable& executable, const vflow::Policy& policy, int kv_heads) {
  const auto host = compile::compile_cpu(policy);
  EXPECT_TRUE(host.ok()) << host.error().message;
  Rng rng(3);
  const compile::Lengths lengths = compile::draw_lengths(policy, 4, 600, rng);
  compile::RandomBatch on_device(policy, compile::InputKind::kNormal, kv_heads, lengths.tokens, 1, 5);
  compile::RandomBatch on_host = on_device;
  const Status updated = executable.update_pages(on_device.cache(), on_device.full_pages());
  EXPECT_TRUE(updated.ok()) << updated.error().message;
  (*host)->update(on_host.cache(), on_host.full_pages());
  compile::Selection chosen;
  compile::Selection expected;
  std::vector<float> scores;
  const Status selected = executable.select(on_device.cache(), on_device.batch(), chosen, &scores);
  EXPECT_TRUE(selected.ok()) << selected.error().message;
  (*host)->choose(on_host.cache(), on_host.batch(), expected);
  return rows_of(chosen) == rows_of(expected);
}

TEST_F(CudaEngineTest, HandsOutTheKernelsThatItDecodesWith) {
  const auto engine = chain_engine(options_of(2, kContext));
  ASSERT_NE(engine, nullptr);
  EXPECT_EQ(engine->executable(), nullptr) << "dense attention has no policy";
  const int kv_heads = engine->model().config.num_kv_heads;
  for (const char* name : {"block_topk", "quest"}) {
    SCOPED_TRACE(name);
    const vflow::Policy policy = load_policy(name, budget(4), kContext);
    ASSERT_TRUE(engine->set_policy(policy).ok());
    const auto executable = engine->executable();
    ASSERT_NE(executable, nullptr);
    EXPECT_TRUE(chooses_as(*executable, policy, kv_heads));
    for (const compile::KernelInfo& kernel : executable->kernels()) {
      EXPECT_EQ(kernel.source_hash.size(), 64U) << kernel.name;
      EXPECT_EQ(kernel.binary_hash.size(), 64U) << kernel.name;
      EXPECT_GT(kernel.registers, 0) << kernel.name;
      EXPECT_LE(kernel.local_bytes, kMostLocalBytes) << kernel.name;
    }
    vflow::Policy wrong = policy;
    for (vflow::Node& node : wrong.program.indexer.nodes) {
      if (node.op == vflow::Op::kMean) { node.op = vflow::Op::kMax; }
      if (node.op == vflow::Op::kMaximum) { node.op = vflow::Op::kMinimum; }
    }
    ASSERT_TRUE(engine->set_policy(wrong).ok());
    EXPECT_FALSE(chooses_as(*engine->executable(), policy, kv_heads)) << "a wrong scoring kernel went unnoticed";
    EXPECT_TRUE(chooses_as(*executable, policy, kv_heads)) << "what was handed out outlives its policy";
  }
}

TEST_F(CudaEngineTest, BlockTopKNamesItsSourceAndTheProgramsDeviceCode) {
  const auto engine = chain_engine(options_of(2, kContext));
  ASSERT_NE(engine, nullptr);
  ASSERT_TRUE(engine->set_policy(load_policy("block_topk", budget(4), kContext)).ok());
  const std::vector<compile::KernelInfo> kernels = engine->executable()->kernels();
  ASSERT_EQ(kernels.size(), 3U);
  EXPECT_EQ(kernels[0].name, "score_and_select, 512 threads");
  EXPECT_EQ(kernels[2].name, "summarize_blocks");
  EXPECT_EQ(kernels[0].binary_hash, kernels[2].binary_hash);
}

}  // namespace
}  // namespace vortex::engine
