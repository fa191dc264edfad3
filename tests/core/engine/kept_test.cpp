// Engines that run on weights and prompts' KV that somebody else holds.
#include <gtest/gtest.h>

#include "base/shared_memory.h"
#include "core/engine/kept_model.h"
#include "core/engine/packed_model.h"
#include "tests/core/engine/support.h"

namespace vortex::testing {
namespace {

using engine::EngineOptions;
using engine::KeptModel;

model::Model load(const TinyModel& shape) {
  TempFolder folder;
  write_checkpoint(folder.path(), shape);
  return std::move(model::load_model(folder.path())).value();  // stays mapped when the folder goes
}

std::shared_ptr<KeptModel> keep(const model::Model& model) {
  engine::HostImage image = std::move(engine::pack_image(model)).value();
  auto kept = std::make_shared<KeptModel>();
  kept->weight_bytes = image.bytes;
  kept->embedding = image.embedding;
  kept->weights = std::move(map_descriptor(image.memory.get(), static_cast<size_t>(image.bytes))).value();
  return kept;
}

std::unique_ptr<engine::CpuEngine> engine_on(model::Model model, std::shared_ptr<const KeptModel> kept) {
  EngineOptions options;
  options.max_context = 96;
  options.max_batch = 2;
  options.kept = std::move(kept);
  return std::move(engine::CpuEngine::make(std::move(model), options)).value();
}

std::vector<float> log_probs(engine::Engine& engine, const std::vector<int32_t>& prompt) {
  engine::Request request;
  request.prompt = prompt;
  const std::vector<int32_t> continuation = random_tokens(8, engine.model().config.vocab_size, 5);
  return std::move(engine.teacher_force(request, continuation, {}, nullptr)).value();
}

model::Model without_weights(model::Model model) {
  model.weights = nullptr;
  return model;
}

TEST(Kept, GivesTheBitsOfOwnWeights) {
  std::vector<TinyModel> shapes(4);
  shapes[1].tied = false;
  shapes[2].architecture = "Qwen2ForCausalLM";
  shapes[3].architecture = "LlamaForCausalLM";
  for (const TinyModel& shape : shapes) {
    SCOPED_TRACE(shape.architecture);
    const model::Model model = load(shape);
    const auto own = engine_on(model, nullptr);
    const auto shared = engine_on(without_weights(model), keep(model));
    const std::vector<int32_t> prompt = random_tokens(40, model.config.vocab_size, 3);
    EXPECT_EQ(log_probs(*own, prompt), log_probs(*shared, prompt));
    EXPECT_EQ(shared->model().hash, model.hash);
  }
}

TEST(Kept, WeightsOfAnotherModelAreRefused) {
  const model::Model model = load(TinyModel());
  const auto kept = keep(model);
  model::Model other = without_weights(model);
  other.config.intermediate_size += 16;
  EngineOptions options;
  options.max_context = 96;
  options.kept = kept;
  const auto made = engine::make_cpu_engine(other, options);
  ASSERT_FALSE(made.ok());
  EXPECT_EQ(made.error().blame, Blame::kEnvironment);
}

TEST(Kept, NoWeightsAtAllAreOurFault) {
  EngineOptions options;
  options.max_context = 96;
  const auto made = engine::make_cpu_engine(without_weights(load(TinyModel())), options);
  ASSERT_FALSE(made.ok());
  EXPECT_EQ(made.error().blame, Blame::kInternal);
}

class KeptPrefixes : public ::testing::Test {
 protected:
  void SetUp() override {
    model_ = load(TinyModel());
    kept_ = keep(model_);
    for (uint64_t seed : {1U, 2U, 1U}) { prompts_.push_back(random_tokens(30 + static_cast<int>(seed), 50, seed)); }
  }

  // Shares the first prompts, as many as fit.
  engine::PrefixBlock share(int64_t most_bytes) {
    const auto engine = engine_on(without_weights(model_), kept_);
    engine::PrefixBlock block = std::move(engine::prefill_all(*engine, prompts_, folder_.path(), most_bytes)).value();
    if (block.bytes == 0) { return block; }
    engine::HostImage image = std::move(engine::share_on_host(block)).value();
    kept_->prefixes = std::move(map_descriptor(image.memory.get(), static_cast<size_t>(image.bytes))).value();
    for (const engine::NamedPrefix& named : block.prefixes) { kept_->prefix_offsets[named.name] = named.offset; }
    return block;
  }

  model::Model model_;
  std::shared_ptr<KeptModel> kept_;
  std::vector<std::vector<int32_t>> prompts_;
  TempFolder folder_;
};

TEST_F(KeptPrefixes, AreWhatPrefillGives) {
  EXPECT_EQ(share(1 << 30).prefixes.size(), 2U) << "the same prompt twice is kept once";
  const auto own = engine_on(model_, nullptr);
  const auto shared = engine_on(without_weights(model_), kept_);
  for (const std::vector<int32_t>& prompt : prompts_) {
    const engine::PrefixPtr found = std::move(shared->prefix(prompt, "/nowhere")).value();
    ASSERT_NE(found->kept, nullptr);
    engine::Request request;
    request.prompt = prompt;
    request.max_new_tokens = 12;
    const auto computed = std::move(own->generate({request}, nullptr)).value();
    request.prefix = found;
    const auto restored = std::move(shared->generate({request}, nullptr)).value();
    EXPECT_EQ(computed[0].tokens, restored[0].tokens);
  }
}

TEST_F(KeptPrefixes, OtherPromptsAreComputed) {
  share(1 << 30);
  const auto shared = engine_on(without_weights(model_), kept_);
  const engine::PrefixPtr computed = std::move(shared->prefix(random_tokens(20, 50, 9), folder_.path())).value();
  EXPECT_EQ(computed->kept, nullptr);
}

TEST_F(KeptPrefixes, TakeNoMoreThanTheyMay) {
  const int64_t all = share(1 << 30).bytes;
  EXPECT_EQ(share(all - 1).prefixes.size(), 1U);
  EXPECT_EQ(share(0).prefixes.size(), 0U);
}

TEST_F(KeptPrefixes, AnImageOfAnotherPromptIsNotTaken) {
  share(1 << 30);
  auto swapped = std::make_shared<KeptModel>(*kept_);
  auto first = swapped->prefix_offsets.begin();
  std::swap(first->second, std::next(first)->second);
  EXPECT_EQ(engine::find_kept_prefix(swapped.get(), false, model_, prompts_[0]), nullptr);
  EXPECT_NE(engine::find_kept_prefix(kept_.get(), false, model_, prompts_[0]), nullptr);
}

}  // namespace
}  // namespace vortex::testing
