// The face over host memory: what the kernels on the device compute, next to the CPU's.

#include "core/compile/cuda/host_executable.h"

#include "core/compile/cpu/cpu_executable.h"
#include "core/compile/random_batch.h"
#include "tests/core/compile/cuda/support.h"

namespace vortex::compile {
namespace {

class HostExecutable : public ::testing::Test {
 protected:
  void SetUp() override {
    int count = 0;
    const cudaError_t error = cudaGetDeviceCount(&count);
    if (error != cudaSuccess || count == 0) { GTEST_SKIP() << "no CUDA device: " << cudaGetErrorString(error); }
  }
};

// Scores as numbers: zeros may differ in sign, NaNs in their payload.
void expect_same(const std::vector<float>& a, const std::vector<float>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) { EXPECT_TRUE(a[i] == b[i] || (a[i] != a[i] && b[i] != b[i])) << i; }
}

// Every value of the policy's own fields.
std::vector<float> fields_of(const RandomBatch& batch) {
  std::vector<float> values;
  const auto size = static_cast<size_t>(vflow::dtype_bytes(batch.own_dtype()));
  for (size_t i = 2; i < batch.memory().size(); ++i) {
    const std::vector<std::byte>& bytes = batch.memory()[i];
    for (size_t at = 0; at < bytes.size(); at += size) {
      values.push_back(stored_value(bytes.data() + at, batch.own_dtype()));
    }
  }
  return values;
}

TEST_F(HostExecutable, GivesThePagesAndScoresOfTheCpu) {
  int seen = 0;
  for (const std::filesystem::path& module : module_files()) {
    SCOPED_TRACE(module.filename());
    const vflow::ModelGeometry model = model_of(module);
    const vflow::Policy policy = policy_from(module, model);
    auto device = compile_cuda(policy, model, {});
    ASSERT_TRUE(device.ok()) << device.error().message;
    const auto face = over_host_memory(policy, std::move(*device));
    const auto host = compile_cpu(policy);
    ASSERT_TRUE(host.ok()) << host.error().message;
    Rng rng(11);
    RandomBatch on_device(policy, InputKind::kNormal, face->kv_heads(), draw_lengths(policy, 4, 600, rng).tokens, 1, 3);
    RandomBatch on_host = on_device;
    const auto update = [&](const std::vector<int32_t>& pages) {
      const Status done = face->update_pages(on_device.cache(), pages);
      EXPECT_TRUE(done.ok()) << done.error().message;
      (*host)->update(on_host.cache(), pages);
    };
    update(on_device.full_pages());
    expect_same(fields_of(on_device), fields_of(on_host));
    Selection chosen;
    Selection expected;
    std::vector<float> scores;
    std::vector<float> expected_scores;
    const Status done = face->select(on_device.cache(), on_device.batch(), chosen, &scores);
    ASSERT_TRUE(done.ok()) << done.error().message;
    (*host)->choose(on_host.cache(), on_host.batch(), expected, &expected_scores);
    EXPECT_EQ(chosen.counts, expected.counts);
    for (size_t row = 0; row < chosen.counts.size(); ++row) {
      const auto of = [&](const Selection& selection) {
        const auto first = selection.blocks.begin() + static_cast<int64_t>(row) * selection.stride;
        return std::vector<int32_t>(first, first + selection.counts[row]);
      };
      EXPECT_EQ(of(chosen), of(expected)) << row;
    }
    if (scores.empty()) { continue; }
    expect_same(scores, expected_scores);
    ++seen;
  }
  EXPECT_GE(seen, 8);
}

TEST_F(HostExecutable, NamesItsKernels) {
  const std::filesystem::path module = kSource / "examples/policies/quest.py";
  const vflow::ModelGeometry model = model_of(module);
  const vflow::Policy policy = policy_from(module, model);
  auto device = compile_cuda(policy, model, {});
  ASSERT_TRUE(device.ok()) << device.error().message;
  const std::vector<KernelInfo> kernels = over_host_memory(policy, std::move(*device))->kernels();
  ASSERT_EQ(kernels.size(), 2U);
  EXPECT_EQ(kernels[0].name, "vortex_select");
  EXPECT_EQ(kernels[1].name, "vortex_update");
  for (const KernelInfo& kernel : kernels) {
    EXPECT_EQ(kernel.source_hash, kernels[0].source_hash);
    EXPECT_EQ(kernel.binary_hash.size(), 64U);
    EXPECT_GT(kernel.registers, 0);
    EXPECT_EQ(kernel.spill_bytes, 0);
  }
}

}  // namespace
}  // namespace vortex::compile
