// Engines whose products run on bfloat16 units.
#include "core/engine/cpu_math.h"

#include <algorithm>
#include <filesystem>

#include "base/shared_memory.h"
#include "core/engine/kept_model.h"
#include "tests/core/engine/support.h"

namespace vortex::engine {
namespace {

using testing::TempFolder;

EngineOptions options_of(cpu::Unit unit, int threads = 1) {
  EngineOptions options;
  options.threads = threads;
  options.max_batch = 8;
  options.max_context = 256;
  options.unit = unit;
  return options;
}

std::vector<cpu::Unit> bf16_units() {
  std::vector<cpu::Unit> units;
  for (const cpu::Unit unit : {cpu::Unit::kAvx512Bf16, cpu::Unit::kAmxBf16}) {
    if (cpu::unit_supported(unit)) { units.push_back(unit); }
  }
  return units;
}

std::vector<Request> requests_of_mixed_lengths() {
  std::vector<Request> requests;
  for (const int length : {1, 17, 100, 16, 48, 130}) {
    Request request;
    request.prompt = testing::random_tokens(length, 50, static_cast<uint64_t>(length));
    request.max_new_tokens = 20;
    request.ignore_eos = true;
    requests.push_back(request);
  }
  return requests;
}

std::vector<std::vector<int32_t>> tokens_of(CpuEngine& engine, const std::vector<Request>& requests) {
  std::vector<std::vector<int32_t>> tokens;
  const std::vector<Output> outputs = engine.generate(requests, nullptr).value();
  for (const Output& output : outputs) { tokens.push_back(output.tokens); }
  return tokens;
}

std::vector<float> log_probs(CpuEngine& engine, const std::vector<int32_t>& prompt) {
  Request request;
  request.prompt = prompt;
  return engine.teacher_force(request, testing::random_tokens(20, 50, 9), {}, nullptr).value();
}

TEST(CpuMath, NamesAreFoundAndOthersRefused) {
  EXPECT_EQ(find_unit("float32").value(), cpu::Unit::kFloat32);
  const auto bf16 = find_unit("bf16");
  EXPECT_EQ(bf16.ok(), !bf16_units().empty());
  if (!bf16.ok()) { EXPECT_EQ(bf16.error().blame, Blame::kEnvironment); }
  EXPECT_EQ(find_unit("float16").error().blame, Blame::kCandidate);
  for (const cpu::Unit unit : bf16_units()) {
    EXPECT_EQ(find_unit(cpu::unit_name(unit)).value(), unit);
    EXPECT_EQ(math_name(unit), "bf16");
  }
  EXPECT_EQ(math_name(cpu::Unit::kFloat32), "float32");
}

TEST(CpuMath, BatchAndThreadsDoNotChangeAToken) {
  const auto requests = requests_of_mixed_lengths();
  for (const cpu::Unit unit : bf16_units()) {
    auto engine = testing::make_engine({}, options_of(unit));
    const auto together = tokens_of(*engine, requests);
    for (size_t i = 0; i < requests.size(); ++i) { EXPECT_EQ(tokens_of(*engine, {requests[i]})[0], together[i]) << i; }
    EXPECT_EQ(tokens_of(*testing::make_engine({}, options_of(unit, 3)), requests), together);
  }
}

TEST(CpuMath, LogProbabilitiesAreNearFloat32s) {
  std::vector<testing::TinyModel> shapes(3);
  shapes[1].architecture = "Qwen2ForCausalLM";
  shapes[2].architecture = "LlamaForCausalLM";
  const auto prompt = testing::random_tokens(150, 50, 4);
  for (const testing::TinyModel& shape : shapes) {
    const std::vector<float> exact = log_probs(*testing::make_engine(shape, options_of(cpu::Unit::kFloat32)), prompt);
    for (const cpu::Unit unit : bf16_units()) {
      const std::vector<float> rounded = log_probs(*testing::make_engine(shape, options_of(unit)), prompt);
      float furthest = 0;
      for (size_t i = 0; i < exact.size(); ++i) { furthest = std::max(furthest, std::abs(exact[i] - rounded[i])); }
      EXPECT_GT(furthest, 0.0F) << "the unit was not used";
      EXPECT_LT(furthest, 0.1F) << shape.architecture << " on " << cpu::unit_name(unit);
    }
  }
}

TEST(CpuMath, PromptsOfOtherArithmeticAreNotTaken) {
  TempFolder folder;
  const auto prompt = testing::random_tokens(40, 50, 1);
  auto exact = testing::make_engine({}, options_of(cpu::Unit::kFloat32));
  const PrefixPtr prefix = exact->prefix(prompt, folder.path()).value();
  for (const cpu::Unit unit : bf16_units()) {
    auto engine = testing::make_engine({}, options_of(unit));
    EXPECT_EQ(engine->model().hash, exact->model().hash);
    Request request;
    request.prompt = prompt;
    request.prefix = prefix;
    EXPECT_FALSE(engine->generate({request}, nullptr).ok());
    request.prefix = engine->prefix(prompt, folder.path()).value();
    EXPECT_TRUE(engine->generate({request}, nullptr).ok());
    EXPECT_FALSE(exact->generate({request}, nullptr).ok());
  }
  const auto files = std::distance(std::filesystem::directory_iterator(folder.path()), {});
  EXPECT_EQ(static_cast<size_t>(files), 1 + bf16_units().size());
}

TEST(CpuMath, UnitsReadTheSameKeptWeights) {
  TempFolder folder;
  testing::write_checkpoint(folder.path(), {});
  const model::Model model = model::load_model(folder.path()).value();
  const HostImage image = pack_image(model).value();
  auto kept = std::make_shared<KeptModel>();
  kept->weights = map_descriptor(image.memory.get(), static_cast<size_t>(image.bytes)).value();
  kept->weight_bytes = image.bytes;
  kept->embedding = image.embedding;
  const auto prompt = testing::random_tokens(60, 50, 2);
  for (const cpu::Unit unit : bf16_units()) {
    EngineOptions options = options_of(unit);
    const auto own = CpuEngine::make(model, options).value();
    model::Model bare = model;
    bare.weights = nullptr;
    options.kept = kept;
    EXPECT_EQ(log_probs(*CpuEngine::make(bare, options).value(), prompt), log_probs(*own, prompt));
  }
}

}  // namespace
}  // namespace vortex::engine
