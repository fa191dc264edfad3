// Generation and NVRTC: what needs no device.

#include "core/compile/cuda/build.h"

#include <unistd.h>

#include <cstdlib>
#include <fstream>

#include "core/compile/cuda/kernel_cache.h"
#include "core/compile/cuda/nvrtc.h"
#include "tests/core/compile/cuda/support.h"

namespace vortex::compile {
namespace {

namespace fs = std::filesystem;

void expect_cubin(const Result<CudaBinary>& binary, const vflow::Policy& policy) {
  if (binary.ok()) {
    EXPECT_EQ(binary->cubin.substr(1, 3), "ELF");
    EXPECT_NE(binary->cubin.find("vortex_select"), std::string::npos);
    EXPECT_EQ(binary->hash.size(), 64U);
    return;
  }
  ADD_FAILURE() << binary.error().message << "\n" << generate_cuda(policy)->source;
}

TEST(CudaBuild, EveryModuleOfTheRepositoryBecomesACubin) {
  const std::vector<fs::path> modules = module_files();
  EXPECT_GE(modules.size(), 12U);
  for (const fs::path& module : modules) {
    SCOPED_TRACE(module.filename());
    const vflow::ModelGeometry model = model_of(module);
    const vflow::Policy policy = policy_from(module, model);
    expect_cubin(build_cuda(policy, model, {}), policy);
  }
}

// Many more with VORTEX_LONG=1. The device tests compile a thousand others.
TEST(CudaBuild, RandomPoliciesBecomeCubins) {
  const int count = std::getenv("VORTEX_LONG") != nullptr ? 2000 : 100;
  for (int i = 0; i < count; ++i) {
    SCOPED_TRACE(i);
    const RandomPolicy one = random_policy(100000 + i);
    expect_cubin(build_cuda(one.policy, one.model, {}), one.policy);
    if (::testing::Test::HasFailure()) {
      return;
    }
  }
}

TEST(CudaBuild, Fp8KeysAndFieldsBecomeCubins) {
  const fs::path module = kSource / "examples/policies/quest.py";
  const vflow::ModelGeometry model = model_of(module);
  vflow::Policy policy = policy_from(module, model);
  for (const cuda::KvType type : {cuda::KvType::fp8_e4m3, cuda::KvType::fp8_e5m2}) {
    CudaTarget target;
    target.kv_type = type;
    policy.config.dtype = dtype_of(type);
    const Result<CudaBinary> binary = build_cuda(policy, model, target);
    expect_cubin(binary, for_target(policy, target));
    EXPECT_NE(binary->source.find("k_scale"), std::string::npos);
  }
}

TEST(CudaBuild, RefusesWhatTheDeviceCannotKeep) {
  const fs::path module = kSource / "examples/policies/quest.py";
  vflow::Policy policy = policy_from(module, model_of(module));
  policy.config.dtype = vflow::Dtype::kFp16;
  ASSERT_FALSE(generate_cuda(policy).ok());
  EXPECT_EQ(generate_cuda(policy).error().blame, Blame::kCandidate);
  policy.config.dtype = vflow::Dtype::kBf16;
  EXPECT_TRUE(generate_cuda(policy).ok());
  policy.program.indexer.nodes.pop_back();
  EXPECT_FALSE(generate_cuda(policy).ok());
}

TEST(CudaBuild, AnErrorOfNvrtcIsOursAndSaysWhere) {
  const Result<std::string> refused = compile_to_cubin("__global__ void broken() { nonsense; }", "sm_90");
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().blame, Blame::kInternal);
  EXPECT_NE(refused.error().message.find("policy.cu(1)"), std::string::npos) << refused.error().message;
}

// The source of block top-k with the default configuration, as a file to read; rewrite it with VORTEX_UPDATE_GOLDEN=1.
TEST(CudaBuild, TheSourceIsTheGoldenOne) {
  const fs::path module = kSource / "examples/policies/block_topk.py";
  const fs::path golden = kSource / "tests/golden/block_topk.cuda.txt";
  vflow::Policy policy = policy_from(module, model_of(module));
  policy.config = vflow::EngineConfig{};
  const std::string source = generate_cuda(policy)->source;
  if (std::getenv("VORTEX_UPDATE_GOLDEN") != nullptr) {
    ASSERT_TRUE(write_file_atomic(golden, source).ok());
  }
  EXPECT_EQ(source, read_file(golden).value());
}

TEST(CudaBuild, SourceDependsOnNothingButThePolicy) {
  for (const int i : {1, 4, 7}) {
    EXPECT_EQ(generate_cuda(random_policy(i).policy)->source, generate_cuda(random_policy(i).policy)->source);
  }
}

class KernelCacheTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() / ("vortex-kernel-cache-" + std::to_string(::getpid()));
    fs::remove_all(folder_);
    target_.cache_folder = folder_;
    policy_ = policy_from(module_, model_of(module_));
  }
  void TearDown() override { fs::remove_all(folder_); }

  CudaBinary build() { return build_cuda(policy_, model_of(module_), target_).value(); }
  fs::path entry(const CudaBinary& binary) const { return folder_ / (binary.hash + ".cubin"); }

  fs::path module_ = kSource / "examples/policies/block_topk.py";
  fs::path folder_;
  CudaTarget target_;
  vflow::Policy policy_;
};

TEST_F(KernelCacheTest, TheSecondBuildComesFromTheFolder) {
  const CudaBinary first = build();
  EXPECT_FALSE(first.from_cache);
  const CudaBinary second = build();
  EXPECT_TRUE(second.from_cache);
  EXPECT_EQ(first.cubin, second.cubin);
  EXPECT_EQ(first.hash, second.hash);
  EXPECT_EQ(read_file(folder_ / (first.hash + ".cu")).value(), first.source);
  policy_.config.topk_val += 1;
  EXPECT_NE(build().hash, first.hash);
}

TEST_F(KernelCacheTest, ADamagedEntryIsBuiltAgain) {
  const CudaBinary first = build();
  const std::string whole = read_file(entry(first)).value();
  std::string flipped = whole;
  flipped[flipped.size() / 2] = static_cast<char>(flipped[flipped.size() / 2] ^ 1);
  for (const std::string& damaged : {std::string(), whole.substr(0, 20), whole.substr(0, whole.size() - 1), flipped}) {
    std::ofstream(entry(first), std::ios::binary | std::ios::trunc) << damaged;
    EXPECT_FALSE(KernelCache(folder_).find(first.hash).has_value());
  }
  const CudaBinary again = build();
  EXPECT_FALSE(again.from_cache);
  EXPECT_EQ(again.cubin, first.cubin);
  EXPECT_TRUE(build().from_cache);
}

TEST_F(KernelCacheTest, AFolderThatCannotBeWrittenCostsOnlyTime) {
  std::ofstream(folder_) << "a file where the folder should be";
  const CudaBinary first = build();
  EXPECT_FALSE(first.from_cache);
  EXPECT_FALSE(build().from_cache);
  EXPECT_FALSE(KernelCache(folder_).keep(first.hash, first.source, first.cubin));
}

}  // namespace
}  // namespace vortex::compile
