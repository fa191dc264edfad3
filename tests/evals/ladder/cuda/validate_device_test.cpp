// On a device the validate stage compares the CUDA kernels that decode, on device memory, with the oracle.

#include <gtest/gtest.h>

#include <filesystem>

#include "base/files.h"
#include "core/compile/cuda/build.h"
#include "core/compile/cuda/host_executable.h"
#include "core/engine/cuda/cuda_engine.h"
#include "core/model/model.h"
#include "evals/ladder/session.h"
#include "evals/ladder/stages.h"
#include "tests/evals/ladder/wrapped_engine.h"

namespace vortex::evals {
namespace {

namespace fs = std::filesystem;

const fs::path kSource = VORTEX_SOURCE_DIR;

class DeviceValidate : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto device = engine::find_cuda_device();
    if (!device.ok()) { GTEST_SKIP() << device.error().message; }
  }

  // A session on the device with an example policy for the shipped model; null where the policy is not for it.
  static std::unique_ptr<Session> session_of(const std::string& policy,
                                             const nlohmann::json& changes = nlohmann::json::object()) {
    job::Job job;
    job.id = policy;
    job.device = "cuda";
    job.model_path = kSource / "models/chain-4m";
    job.module_text = *read_file(kSource / "examples/policies" / (policy + ".py"));
    nlohmann::json config = nlohmann::json::parse(*read_file(kSource / "examples/policies" / (policy + ".json")));
    config.merge_patch({{"vortex_topk_val", 3}, {"vortex_topk_ratio", 0}, {"vortex_layers_skip", {0}}});
    config.merge_patch(changes);
    job.config_text = config.dump();
    job.task.definitions = 48;
    job.task.problems = 2;
    job.task.max_new_tokens = 4;
    auto session = open_session(job);
    return session.ok() ? std::move(*session) : nullptr;
  }
};

TEST_F(DeviceValidate, EveryExamplePolicyAgreesWithTheOracle) {
  int validated = 0;
  for (const auto& entry : fs::directory_iterator(kSource / "examples/policies")) {
    if (entry.path().extension() != ".py") { continue; }
    SCOPED_TRACE(entry.path().stem());
    const auto session = session_of(entry.path().stem());
    if (session == nullptr) {
      continue;  // for another kind of model
    }
    const auto result = run_validate(*session);
    ASSERT_TRUE(result.ok()) << result.error().message;
    EXPECT_NE(result->evidence.at("oracle").get<std::string>().find("rows scored"), std::string::npos);
    const nlohmann::json& kernels = result->evidence.at("kernels");
    ASSERT_FALSE(kernels.empty());
    for (const nlohmann::json& kernel : kernels) {
      EXPECT_EQ(kernel.at("source_hash").get<std::string>().size(), 64U) << kernel;
      EXPECT_EQ(kernel.at("binary_hash").get<std::string>().size(), 64U) << kernel;
      EXPECT_GT(kernel.at("registers").get<int>(), 0) << kernel;
      EXPECT_EQ(kernel.value("spill_bytes", 0), 0) << kernel;
    }
    ++validated;
  }
  EXPECT_GE(validated, 3);
}

TEST_F(DeviceValidate, Fp8KeysAndFieldsAgreeWithTheOracle) {
  for (const char* type : {"fp8_e4m3", "fp8_e5m2"}) {
    SCOPED_TRACE(type);
    const auto session = session_of("quest", {{"kv_cache_dtype", type}});
    ASSERT_NE(session, nullptr);
    const auto result = run_validate(*session);
    EXPECT_TRUE(result.ok()) << result.error().message;
  }
}

// Both ways to select: generated kernels, into which block top-k falls once its mean is a maximum, and those by hand.
TEST_F(DeviceValidate, AMiscompiledPolicyFails) {
  for (const MiscompilingEngine::Change change : {score_by_maximum, choose_one_more, choose_one_less}) {
    const auto session = session_of("block_topk");
    ASSERT_NE(session, nullptr);
    session->engine = std::make_unique<MiscompilingEngine>(std::move(session->engine), change);
    ASSERT_TRUE(session->engine->set_policy(session->policy).ok());
    const auto wrong = run_validate(*session);
    ASSERT_FALSE(wrong.ok()) << "a wrong kernel passed";
    EXPECT_NE(wrong.error().message.find("the oracle disagrees"), std::string::npos) << wrong.error().message;
  }
}

TEST_F(DeviceValidate, StaleStepsAndStepsThatLeaveOutAPageFail) {
  auto session = session_of("block_topk");
  ASSERT_NE(session, nullptr);
  auto right = session->engine->executable();
  session->engine = std::make_unique<DroppingEngine>(std::move(session->engine), std::move(right));
  ASSERT_TRUE(session->engine->set_policy(session->policy).ok());
  const auto dropping = run_validate(*session);
  ASSERT_FALSE(dropping.ok()) << "a step that reads one page too few passed";
  EXPECT_NE(dropping.error().message.find("pages where its budget grants"), std::string::npos)
      << dropping.error().message;

  session = session_of("block_topk");
  session->engine = std::make_unique<StaleEngine>(std::move(session->engine));
  const auto stale = run_validate(*session);
  ASSERT_FALSE(stale.ok()) << "a policy that was never replaced passed";
  EXPECT_EQ(stale.error().message, "a budget that covers all pages left some of them out");
}

// An engine with one wrong kernel: what NVRTC made of source that a test has changed.
class WrongKernelEngine final : public WrappedEngine {
 public:
  WrongKernelEngine(std::unique_ptr<engine::Engine> real, const vflow::Policy& policy,
                    std::shared_ptr<const compile::CudaExecutable> wrong)
      : WrappedEngine(std::move(real)), policy_(policy), wrong_(std::move(wrong)) {}
  std::shared_ptr<const compile::Executable> executable() const override {
    return compile::over_host_memory(policy_, wrong_);
  }

 private:
  vflow::Policy policy_;
  std::shared_ptr<const compile::CudaExecutable> wrong_;
};

// The policy's kernels with `text` of the selecting one replaced wherever it stands: a value is written out for single
// numbers and for lanes, of which the kernel may use one.
Result<std::unique_ptr<compile::CudaExecutable>> tampered(const Session& session, const std::string& text,
                                                          const std::string& by) {
  const vflow::ModelGeometry model = model::geometry_of(session.engine->model().config, 4608, 0);
  VORTEX_ASSIGN(compile::GeneratedPolicy generated, compile::generate_cuda(*session.policy));
  size_t at = generated.source.find(text, generated.source.find("namespace indexer"));
  if (at == std::string::npos) { return internal_error("nothing to tamper with in\n" + generated.source); }
  for (; at != std::string::npos; at = generated.source.find(text, at + by.size())) {
    generated.source.replace(at, text.size(), by);
  }
  VORTEX_ASSIGN(compile::CudaBinary binary, compile::build_generated(generated, {}));
  return compile::load_generated(*session.policy, model, std::move(generated), std::move(binary));
}

TEST_F(DeviceValidate, AWrongKernelOnTheDeviceFails) {
  const auto session = session_of("quest");
  ASSERT_NE(session, nullptr);
  auto right = tampered(*session, "maximum(", "maximum(");
  ASSERT_TRUE(right.ok()) << right.error().message;
  auto wrong = tampered(*session, "maximum(", "minimum(");
  ASSERT_TRUE(wrong.ok()) << wrong.error().message;
  session->engine =
      std::make_unique<WrongKernelEngine>(std::move(session->engine), *session->policy, std::move(*right));
  EXPECT_TRUE(run_validate(*session).ok());
  session->engine =
      std::make_unique<WrongKernelEngine>(std::move(session->engine), *session->policy, std::move(*wrong));
  const auto refused = run_validate(*session);
  ASSERT_FALSE(refused.ok()) << "a wrong scoring kernel passed";
  EXPECT_NE(refused.error().message.find("the oracle disagrees"), std::string::npos) << refused.error().message;
}

}  // namespace
}  // namespace vortex::evals
