// Generation and NVRTC: what needs no device.

#include "core/compile/cuda/build.h"

#include <unistd.h>

#include <cstdlib>
#include <fstream>

#include "core/compile/cuda/kernel_cache.h"
#include "core/compile/cuda/kernel_switches.h"
#include "core/compile/cuda/nvrtc.h"
#include "tests/core/compile/cuda/support.h"

namespace vortex::compile {
namespace {

namespace fs = std::filesystem;

// A cubin whose kernels spill no register.
void expect_cubin(const Result<CudaBinary>& binary, const vflow::Policy& policy) {
  if (binary.ok()) {
    EXPECT_EQ(binary->cubin.substr(1, 3), "ELF");
    EXPECT_NE(binary->cubin.find("vortex_select"), std::string::npos);
    EXPECT_EQ(binary->hash.size(), 64U);
    ASSERT_FALSE(binary->resources.empty());
    EXPECT_EQ(binary->resources[0].name, "vortex_select");
    EXPECT_GT(binary->resources[0].registers, 0);
    const Status spills = refuse_spills(binary->resources);
    EXPECT_TRUE(spills.ok()) << spills.error().message << "\n" << generate_cuda(policy)->source;
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
    if (::testing::Test::HasFailure()) { return; }
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
  const Result<CompiledSource> refused = compile_source("__global__ void broken() { nonsense; }", "sm_90");
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
  if (std::getenv("VORTEX_UPDATE_GOLDEN") != nullptr) { ASSERT_TRUE(write_file_atomic(golden, source).ok()); }
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
  EXPECT_EQ(resources_text(first.resources), resources_text(second.resources));
  EXPECT_EQ(read_file(folder_ / (first.hash + ".cu")).value(), first.source);
  policy_.config.topk_val += 1;
  EXPECT_EQ(build().hash, first.hash) << "kernels are told the budget";
  policy_.config.reserved_bos += 1;
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
  EXPECT_FALSE(KernelCache(folder_).keep(first.hash, first.source, {first.cubin, "", first.resources}));
}

// A variable of the environment for one test.
class Variable {
 public:
  Variable(const char* name, const std::string& value) : name_(name) { ::setenv(name, value.c_str(), 1); }
  ~Variable() { ::unsetenv(name_); }

 private:
  const char* name_;
};

TEST_F(KernelCacheTest, ADumpHasSourceAssemblyAndResources) {
  build();
  const fs::path dump = folder_ / "dump";
  const Variable variable("VORTEX_DUMP_KERNELS", dump.string());
  const CudaBinary binary = build();
  EXPECT_FALSE(binary.from_cache) << "the cache has no PTX";
  EXPECT_EQ(read_file(dump / (binary.hash + ".cu")).value(), binary.source);
  EXPECT_EQ(read_file(dump / (binary.hash + ".cubin")).value(), binary.cubin);
  EXPECT_NE(read_file(dump / (binary.hash + ".ptx")).value().find(".entry vortex_select"), std::string::npos);
  const std::string resources = read_file(dump / (binary.hash + ".resources")).value();
  EXPECT_NE(resources.find("vortex_select registers "), std::string::npos) << resources;
  EXPECT_NE(resources.find("spill_stores 0"), std::string::npos) << resources;
}

// A stand-in for nvdisasm on the PATH: what it prints becomes HASH.sass.
TEST_F(KernelCacheTest, ADisassemblerOnThePathIsUsed) {
  fs::create_directories(folder_ / "bin");
  std::ofstream(folder_ / "bin" / "nvdisasm") << "#!/bin/sh\nhead -c 4 \"$1\"\n";
  fs::permissions(folder_ / "bin" / "nvdisasm", fs::perms::owner_all);
  const std::string path = std::getenv("PATH");
  const Variable dump("VORTEX_DUMP_KERNELS", (folder_ / "dump").string());
  ::setenv("PATH", ((folder_ / "bin").string() + ":" + path).c_str(), 1);
  const CudaBinary binary = build();
  ::setenv("PATH", "/nowhere", 1);
  policy_.config.reserved_bos += 1;
  const CudaBinary without = build();
  ::setenv("PATH", path.c_str(), 1);
  EXPECT_EQ(read_file(folder_ / "dump" / (binary.hash + ".sass")).value(), binary.cubin.substr(0, 4));
  EXPECT_FALSE(fs::exists(folder_ / "dump" / (without.hash + ".sass")));
}

TEST(KernelResources, AreReadFromTheAssemblersLog) {
  const std::string log =
      "ptxas info    : 79 bytes gmem\n"
      "ptxas info    : Compiling entry function 'vortex_select' for 'sm_90'\n"
      "ptxas info    : Function properties for vortex_select\n"
      "    16 bytes stack frame, 12 bytes spill stores, 8 bytes spill loads\n"
      "ptxas info    : Used 105 registers, used 1 barriers, 8240 bytes smem, 400 bytes cmem[0]\n"
      "ptxas info    : Function properties for _ZN6vortex8completeEv\n"
      "    24 bytes stack frame, 4 bytes spill stores, 2 bytes spill loads\n"
      "ptxas info    : Compiling entry function 'vortex_update' for 'sm_90'\n"
      "ptxas         .     0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads\n"
      "ptxas info    : Used 32 registers\n";
  const std::vector<KernelResources> kernels = resources_in(log);
  ASSERT_EQ(kernels.size(), 2U);
  EXPECT_EQ(resources_text(kernels),
            "vortex_select registers 105 stack 24 spill_stores 16 spill_loads 10 shared 8240\n"
            "vortex_update registers 32 stack 0 spill_stores 0 spill_loads 0 shared 0\n");
  EXPECT_EQ(resources_text(resources_from_text(resources_text(kernels))), resources_text(kernels));
  EXPECT_TRUE(resources_from_text("vortex_select registers many").empty());
  const Status refused = refuse_spills(kernels);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().blame, Blame::kInternal);
  EXPECT_NE(refused.error().message.find("vortex_select 16 bytes stored and 10 loaded"), std::string::npos);
  EXPECT_EQ(refused.error().message.find("vortex_update"), std::string::npos);
}

// More values alive at once than a thread has registers.
constexpr const char* kSpilling = R"(
extern "C" __global__ void __launch_bounds__(1024) spills(const float* x, float* y) {
  float v[200];
#pragma unroll
  for (int i = 0; i < 200; ++i) v[i] = x[i * 1024 + threadIdx.x];
#pragma unroll
  for (int r = 0; r < 200; ++r) {
#pragma unroll
    for (int i = 0; i < 200; ++i) v[i] = v[i] * v[(i + 7) % 200] + v[(i + 31) % 200];
  }
#pragma unroll
  for (int i = 0; i < 200; ++i) y[i * 1024 + threadIdx.x] = v[i];
})";

TEST(KernelResources, AKernelThatSpillsIsRefusedOnDemand) {
  GeneratedPolicy generated;
  generated.source = kSpilling;
  const Result<CudaBinary> accepted = build_generated(generated, {});
  ASSERT_TRUE(accepted.ok()) << accepted.error().message;
  ASSERT_EQ(accepted->resources.size(), 1U);
  EXPECT_GT(accepted->resources[0].spill_bytes(), 0);
  const Variable variable("VORTEX_REFUSE_SPILLS", "1");
  const Result<CudaBinary> refused = build_generated(generated, {});
  ASSERT_FALSE(refused.ok());
  EXPECT_NE(refused.error().message.find("spills"), std::string::npos) << refused.error().message;
}

}  // namespace
}  // namespace vortex::compile
