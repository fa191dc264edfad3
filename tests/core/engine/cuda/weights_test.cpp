// Weights that one process keeps on a device and others run on. Needs a device.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>

#include "core/engine/cuda/device.h"
#include "core/engine/cuda/weights_keep.h"
#include "core/engine/cuda/weights_memory.h"
#include "kernels/cuda/transfer.h"
#include "tests/core/engine/cuda/support.h"
#include "tests/core/model/checkpoint.h"

namespace vortex::testing {
namespace {

using engine::ExportedMemory;

constexpr size_t kBytes = 5 << 20;  // no multiple of the granularity

// Runs a test of this program in a process of its own, which inherits `descriptor` as number 3. CUDA cannot be used
// after a fork alone.
int run_alone(const char* test, int descriptor) {
  const pid_t child = ::fork();
  if (child == 0) {
    ::dup2(descriptor, 3);
    ::setenv("VORTEX_EXPORTED", "3", 1);
    ::execl("/proc/self/exe", "weights", ("--gtest_filter=" + std::string(test)).c_str(), "--gtest_brief=1",
            static_cast<char*>(nullptr));
    ::_exit(127);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return status;
}

bool is_child() { return std::getenv("VORTEX_EXPORTED") != nullptr; }

std::vector<uint32_t> pattern() {
  std::vector<uint32_t> words(kBytes / sizeof(uint32_t));
  for (size_t i = 0; i < words.size(); ++i) { words[i] = static_cast<uint32_t>(i) * 2654435761U; }
  return words;
}

std::vector<uint32_t> read(const void* device) {
  std::vector<uint32_t> words(kBytes / sizeof(uint32_t));
  EXPECT_EQ(cudaMemcpy(words.data(), device, kBytes, cudaMemcpyDeviceToHost), cudaSuccess);
  return words;
}

class ExportedMemoryTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (is_child()) { GTEST_SKIP() << "runs in the parent"; }
    if (!engine::find_cuda_device().ok()) { GTEST_SKIP() << "no device"; }
    auto made = ExportedMemory::make(kBytes);
    ASSERT_TRUE(made.ok()) << made.error().message;
    memory_ = std::move(*made);
    ASSERT_EQ(cudaMemcpy(memory_.data(), pattern().data(), kBytes, cudaMemcpyHostToDevice), cudaSuccess);
    auto shared = memory_.share();
    ASSERT_TRUE(shared.ok()) << shared.error().message;
    descriptor_ = std::move(*shared);
  }
  ExportedMemory memory_;
  Descriptor descriptor_;
};

TEST_F(ExportedMemoryTest, IsReadByAnotherProcess) {
  EXPECT_EQ(run_alone("ExportedMemoryChild.Reads", descriptor_.get()), 0);
}

TEST_F(ExportedMemoryTest, AStrayWriteFaultsInItsWriterAlone) {
  EXPECT_EQ(run_alone("ExportedMemoryChild.CannotWrite", descriptor_.get()), 0);
  EXPECT_EQ(read(memory_.data()), pattern());
}

TEST_F(ExportedMemoryTest, ADeadReaderTakesNothingWithIt) {
  const int status = run_alone("ExportedMemoryChild.Dies", descriptor_.get());
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) << status;
  EXPECT_EQ(read(memory_.data()), pattern());
}

TEST_F(ExportedMemoryTest, OutlivesItsMaker) {
  memory_ = ExportedMemory();
  EXPECT_EQ(run_alone("ExportedMemoryChild.Reads", descriptor_.get()), 0);
}

TEST_F(ExportedMemoryTest, WhatIsNoExportedMemoryIsTheEnvironments) {
  const auto mapped = engine::map_exported(STDERR_FILENO, kBytes);
  ASSERT_FALSE(mapped.ok());
  EXPECT_EQ(mapped.error().blame, Blame::kEnvironment);
}

class ExportedMemoryChild : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!is_child()) { GTEST_SKIP() << "is run by the tests above"; }
    auto mapped = engine::map_exported(3, kBytes);
    ASSERT_TRUE(mapped.ok()) << mapped.error().message;
    memory_ = std::move(*mapped);
  }
  std::shared_ptr<const char> memory_;
};

TEST_F(ExportedMemoryChild, Reads) { EXPECT_EQ(read(memory_.get()), pattern()); }

TEST_F(ExportedMemoryChild, CannotWrite) {
  char* target = const_cast<char*>(memory_.get());
  EXPECT_NE(cudaMemset(target, 0, 64), cudaSuccess);
  cudaGetLastError();
  // A kernel that writes there: the device itself must refuse.
  EXPECT_EQ(cuda::fill_random(target, cuda::FillType::bf16, 1024, 1, 0.0F, 1.0F, nullptr), cudaSuccess);
  EXPECT_EQ(cudaDeviceSynchronize(), cudaErrorIllegalAddress);
}

TEST_F(ExportedMemoryChild, Dies) { ::kill(::getpid(), SIGKILL); }

class KeptOnDevice : public ::testing::Test {
 protected:
  void SetUp() override {
    if (is_child()) { GTEST_SKIP() << "runs in the parent"; }
    if (!engine::find_cuda_device().ok()) { GTEST_SKIP() << "no device"; }
  }
};

TEST_F(KeptOnDevice, GivesTheTokensOfOwnWeights) {
  const TempFolder folder;
  model::Model model = model::load_model(engine::kChainModel).value();
  const auto weights = std::move(engine::keep_weights(model)).value();
  auto kept = std::make_shared<engine::KeptModel>();
  kept->weight_bytes = static_cast<int64_t>(weights.bytes());
  kept->weights = weights.view();

  engine::EngineOptions options;
  options.max_context = 160;
  options.max_batch = 2;
  const auto own = std::move(engine::make_cuda_engine(model, options)).value();
  options.kept = kept;
  model.weights = nullptr;
  engine::CudaOptions cuda;
  cuda.product_cache = folder.path() / "products";
  cuda.build = "test";
  std::vector<int32_t> prompt;
  for (int i = 0; i < 100; ++i) { prompt.push_back(20 + i % 40); }
  const std::vector<std::vector<int32_t>> prompts = {prompt};
  const auto first = std::move(engine::make_cuda_engine(model, options, cuda)).value();
  const engine::PrefixBlock block =
      std::move(engine::prefill_all(*first, prompts, folder.path() / "prefixes", 1 << 30)).value();
  ASSERT_EQ(block.prefixes.size(), 1U);
  const auto prefixes = std::move(engine::keep_prefixes(block)).value();
  kept->prefixes = prefixes.view();
  kept->prefix_offsets[block.prefixes[0].name] = block.prefixes[0].offset;

  engine::Request request;
  request.prompt = prompt;
  request.max_new_tokens = 24;
  request.ignore_eos = true;
  const auto expected = std::move(own->generate({request}, nullptr)).value();
  const auto shared = std::move(engine::make_cuda_engine(model, options, cuda)).value();  // with kept products
  EXPECT_EQ(std::move(shared->generate({request}, nullptr)).value()[0].tokens, expected[0].tokens);
  request.prefix = std::move(shared->prefix(prompt, "/nowhere")).value();
  ASSERT_NE(request.prefix->on_device, nullptr);
  EXPECT_EQ(std::move(shared->generate({request}, nullptr)).value()[0].tokens, expected[0].tokens);
  EXPECT_FALSE(std::filesystem::is_empty(folder.path() / "products"));
}

}  // namespace
}  // namespace vortex::testing
