// The forms of generated code that a device has to try (placement.h): they compute what the others do.

#include <cuda_runtime_api.h>

#include <cstdlib>

#include "core/compile/cuda/generate.h"
#include "core/compile/cuda/nvrtc.h"
#include "core/compile/cuda/placement.h"
#include "kernels/cuda/device_array.h"
#include "tests/core/compile/cuda/support.h"

namespace vortex::compile {
namespace {

// What the environment says of the forms, while this lives.
class Forms {
 public:
  explicit Forms(const char* names) { ::setenv("VORTEX_POLICY_FORMS", names, 1); }
  ~Forms() { ::unsetenv("VORTEX_POLICY_FORMS"); }
};

vflow::Policy bench_policy(const std::string& name) {
  const std::filesystem::path module = kSource / "tests/bench/policies" / (name + ".py");
  return policy_from(module, model_of(module));
}

TEST(PolicyForms, AreNoneUnlessTheyAreNamed) {
  ::unsetenv("VORTEX_POLICY_FORMS");
  EXPECT_FALSE(wanted_forms().special || wanted_forms().saves || wanted_forms().pages);
  const Forms some("saves,pages");
  EXPECT_TRUE(wanted_forms().saves && wanted_forms().pages);
  EXPECT_FALSE(wanted_forms().special);
  const Forms all("all");
  EXPECT_TRUE(wanted_forms().special && wanted_forms().saves && wanted_forms().pages);
}

TEST(PolicyForms, StateThatNobodyReadsAgainIsSavedWithItsPageAndNeedsNoCopy) {
  const vflow::Policy policy = bench_policy("wide_state");
  const GeneratedPolicy before = generate_cuda(policy).value();
  const Forms forms("saves");
  const GeneratedPolicy after = generate_cuda(policy).value();
  EXPECT_LT(after.work_floats, before.work_floats);
  EXPECT_NE(before.source.find("what the step leaves behind"), std::string::npos);
  EXPECT_EQ(after.source.find("what the step leaves behind"), std::string::npos);
  EXPECT_NE(after.source.find("store_lanes("), std::string::npos);
}

// Its old value is read over all pages, when those of other teams may have been written.
TEST(PolicyForms, StateThatIsReadOverPagesIsSavedInTheEnd) {
  std::string module = read_file(kSource / "tests/bench/policies/momentum_query.py").value();
  const auto replace = [&](const std::string& from, const std::string& to) {
    ASSERT_NE(module.find(from), std::string::npos) << from;
    module.replace(module.find(from), from.size(), to);
  };
  replace("Add, GeMM, Load, Max, Save, topK", "Add, GeMM, Load, Max, Mean, Save, topK");
  replace("        self.save = Save()\n",
          "        self.save = Save()\n        self.over_pages = Mean(dim=0)\n        self.load_all = Load()\n        "
          "self.centre = Add(beta=-1.0)\n");
  replace(
      "self.score(q, slow, ctx=ctx)",
      "self.score(q, self.centre(slow, self.over_pages(self.load_all(cache[\"slow\"], ctx=ctx), ctx=ctx), ctx=ctx), "
      "ctx=ctx)");
  vflow::PolicySource source;
  source.module_text = module;
  source.config_text = read_file(kSource / "tests/bench/policies/momentum_query.json").value();
  const vflow::CheckReport report =
      vflow::check_policy(source, model_of(kSource / "tests/bench/policies/momentum_query.py"));
  ASSERT_TRUE(report.policy.has_value()) << vflow::render(report.diagnostics);
  const Forms forms("saves");
  EXPECT_NE(generate_cuda(*report.policy)->source.find("what the step leaves behind"), std::string::npos);
}

TEST(PolicyForms, OperationsOverPagesTakeSixteenElementsAtATime) {
  const GeneratedPolicy before = generate_cuda(bench_policy("conv_channels")).value();
  EXPECT_EQ(before.source.find("_of_lanes"), std::string::npos);
  const Forms forms("pages");
  const GeneratedPolicy after = generate_cuda(bench_policy("conv_channels")).value();
  EXPECT_NE(after.source.find("conv_pages_of_lanes<2, 64>("), std::string::npos);
  EXPECT_LT(after.work_floats, before.work_floats * 2 / 3) << "wide values in bfloat16";
  EXPECT_NE(generate_cuda(bench_policy("centred"))->source.find("reduce_pages_of_lanes<Mean, 64>("), std::string::npos);
  EXPECT_NE(generate_cuda(bench_policy("softmax_heads"))->source.find("softmax_pages_by_all<2>("), std::string::npos);
}

// All mantissas of what the divisions of a sigmoid divide by, and every float as an exponent.
constexpr const char* kDifferences = R"(
#define VORTEX_SPECIAL_FORMS
#include "core/compile/cuda/device/lanes.cuh"
using namespace vortex::compile::device;
extern "C" __global__ void differences(unsigned long long* found) {
  const unsigned threads = gridDim.x * blockDim.x;
  const unsigned first = blockIdx.x * blockDim.x + threadIdx.x;
  for (unsigned mantissa = first; mantissa < 1U << 23; mantissa += threads) {
    for (unsigned exponent = 127; exponent < 253; exponent += 25) {
      const float d = __uint_as_float(exponent << 23 | mantissa);
      if (__float_as_uint(reciprocal_in_range(d)) != __float_as_uint(quotient_of_any(1.0F, d))) { atomicAdd(found, 1ULL); }
      if (exponent >= 187) { continue; }
      const float x = __uint_as_float((exponent / 2 + 40) << 23 | (mantissa * 2654435761U & 0x7fffffU));
      if (__float_as_uint(quotient_in_range(x, d)) != __float_as_uint(quotient_of_any(x, d))) { atomicAdd(found + 1, 1ULL); }
    }
  }
  for (unsigned long long bits = first; bits < 1ULL << 32; bits += threads) {
    const float x = __uint_as_float(static_cast<unsigned>(bits));
    const float a = exponential_in_few(x);
    const float b = exponential_in_full(x);
    if (__float_as_uint(a) != __float_as_uint(b) && !(a != a && b != b)) { atomicAdd(found + 2, 1ULL); }
  }
}
)";

TEST(PolicyForms, SpecialFunctionsHaveTheSameBits) {
  const Result<CompiledSource> compiled = compile_source(kDifferences, "sm_90");
  ASSERT_TRUE(compiled.ok()) << compiled.error().message;
  int count = 0;
  if (cudaGetDeviceCount(&count) != cudaSuccess || count == 0) { GTEST_SKIP() << "no CUDA device"; }
  cudaLibrary_t library = nullptr;
  cudaKernel_t kernel = nullptr;
  ASSERT_EQ(cudaLibraryLoadData(&library, compiled->cubin.data(), nullptr, nullptr, 0, nullptr, nullptr, 0),
            cudaSuccess);
  ASSERT_EQ(cudaLibraryGetKernel(&kernel, library, "differences"), cudaSuccess);
  const cuda::DeviceArray<unsigned long long> found(std::vector<unsigned long long>(3, 0));
  unsigned long long* data = found.data();
  void* arguments[] = {&data};
  ASSERT_EQ(cudaLaunchKernel(reinterpret_cast<const void*>(kernel), dim3(1024), dim3(256), arguments, 0, nullptr),
            cudaSuccess);
  ASSERT_EQ(cudaDeviceSynchronize(), cudaSuccess);
  const std::vector<unsigned long long> differences = found.read();
  EXPECT_EQ(differences[0], 0U) << "reciprocals";
  EXPECT_EQ(differences[1], 0U) << "quotients";
  EXPECT_EQ(differences[2], 0U) << "exponentials";
  cudaLibraryUnload(library);
}

}  // namespace
}  // namespace vortex::compile
