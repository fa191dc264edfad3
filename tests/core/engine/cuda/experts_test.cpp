// Models with experts behind grouped-query attention: the CUDA engine beside the CPU engine, and against itself.
#include <cuda_fp8.h>

#include <deque>

#include "core/engine/cpu_engine.h"
#include "core/engine/cuda/runner.h"
#include "core/engine/random_model.h"
#include "core/model/weights.h"
#include "tests/core/engine/cuda/distance.h"
#include "tests/core/engine/cuda/support.h"

namespace vortex::engine {
namespace {

constexpr int kContext = 512;
constexpr int kVocab = 1024;

// The kinds of tests/cases/model/decoder_models.json with heads that the device's kernels take.
model::ModelConfig grouped(int layers) {
  model::ModelConfig config;
  config.hidden_size = 192;
  config.num_layers = layers;
  config.num_q_heads = 6;
  config.num_kv_heads = 2;
  config.head_dim = 64;
  config.intermediate_size = 160;
  config.vocab_size = kVocab;
  config.max_position_embeddings = 4096;
  config.qk_norm = model::QkNorm::kEachHead;
  config.experts.emplace();
  config.experts->layers.assign(static_cast<size_t>(layers), true);
  config.experts->count = 8;
  config.experts->per_token = 3;
  config.experts->inner = 48;
  config.experts->normalised = true;
  return config;
}

model::ModelConfig qwen3_moe() {
  model::ModelConfig config = grouped(3);
  config.architecture = "Qwen3MoeForCausalLM";
  config.experts->layers[1] = false;
  return config;
}

model::ModelConfig minimax_m2() {
  model::ModelConfig config = grouped(3);
  config.architecture = "MiniMaxM2ForCausalLM";
  config.head_dim = 128;
  config.rotated = 64;
  config.qk_norm = model::QkNorm::kAllHeads;
  config.intermediate_size = 48;
  config.experts->count = 16;
  config.experts->per_token = 2;
  config.experts->score = model::ExpertScore::kSigmoid;
  config.experts->bias = true;
  return config;
}

// What DeepSeek-V3's MLP has besides: groups and a shared expert.
model::ModelConfig grouped_experts() {
  model::ModelConfig config = grouped(2);
  config.architecture = "Qwen3MoeForCausalLM";
  config.experts->count = 32;
  config.experts->per_token = 4;
  config.experts->shared_inner = 80;
  config.experts->score = model::ExpertScore::kSigmoid;
  config.experts->bias = true;
  config.experts->groups = 4;
  config.experts->kept_groups = 2;
  config.experts->group_score = model::GroupScore::kBestTwo;
  config.experts->scale = 2.5;
  return config;
}

struct Kind {
  const char* name;
  model::ModelConfig config;
};

std::vector<Kind> kinds() {
  return {{"qwen3_moe", qwen3_moe()}, {"minimax_m2", minimax_m2()}, {"grouped_experts", grouped_experts()}};
}

std::unique_ptr<Engine> on_cuda(const model::ModelConfig& config, int batch) {
  auto made = make_cuda_engine(random_model(config, 5), options_of(batch, kContext));
  EXPECT_TRUE(made.ok()) << (made.ok() ? "" : made.error().message);
  return made.ok() ? std::move(*made) : nullptr;
}

std::unique_ptr<Engine> on_cpu(const model::ModelConfig& config, int batch) {
  return make_cpu_engine(random_model(config, 5), options_of(batch, kContext)).value();
}

// Bounds hold with room on an H200. A row that chooses other experts than on the CPU, because a score is near the next
// one and activations are rounded here, moves by more than rounding does.
void expect_near(Engine& cpu, Engine& cuda, double kl, double agreement) {
  for (const int prompt : {1, 17, 300}) {
    SCOPED_TRACE(prompt);
    Request request;
    request.prompt = random_tokens(prompt, static_cast<uint64_t>(prompt));
    const std::vector<int32_t> continuation = random_tokens(40, 3);
    const auto expected = cpu.teacher_force(request, continuation, {}, nullptr).value();
    const auto actual = cuda.teacher_force(request, continuation, {}, nullptr);
    ASSERT_TRUE(actual.ok()) << actual.error().message;
    const Distance d = distance(expected, *actual, kVocab);
    EXPECT_FALSE(std::isnan(d.worst));
    EXPECT_LT(d.mean, kl);
    EXPECT_GT(d.agree, agreement);
  }
}

// A model's experts in fp8 with a scale for each block of 128 x 128, as a checkpoint may have them.
struct Fp8Weights : model::Weights {
  std::shared_ptr<const model::Weights> others;
  std::deque<std::vector<uint8_t>> bytes;
  std::deque<std::vector<float>> factors;

  void narrow(model::Tensor& tensor) {
    constexpr int64_t kBlock = 128;
    const int64_t cols = model::cols_of(tensor);
    const std::vector<int64_t> blocks = {model::rows_of(tensor) / kBlock, cols / kBlock};
    std::vector<float>& scales = factors.emplace_back();
    for (int64_t i = 0; i < blocks[0] * blocks[1]; ++i) { scales.push_back(static_cast<float>(1 + i % 5) / 2048.0F); }
    std::vector<uint8_t>& all = bytes.emplace_back();
    std::vector<float> row(static_cast<size_t>(cols));
    for (int64_t r = 0; r < model::rows_of(tensor); ++r) {
      model::read_row(tensor, r, row.data());
      for (int64_t c = 0; c < cols; ++c) {
        const float scale = scales[static_cast<size_t>(r / kBlock * blocks[1] + c / kBlock)];
        all.push_back(__nv_cvt_float_to_fp8(row[static_cast<size_t>(c)] / scale, __NV_SATFINITE, __NV_E4M3));
      }
    }
    const model::Tensor of_blocks{reinterpret_cast<const char*>(scales.data()), vflow::Dtype::kFp32, blocks};
    tensor.data = reinterpret_cast<const char*>(all.data());
    tensor.dtype = vflow::Dtype::kFp8E4m3;
    tensor.scales = std::make_shared<const model::Tensor>(of_blocks);
    tensor.scale_block = {kBlock, kBlock};
  }
};

model::Model in_fp8(const model::ModelConfig& config) {
  model::Model model = random_model(config, 5);
  auto narrow = std::make_shared<Fp8Weights>();
  narrow->others = model.weights;
  narrow->embedding = model.weights->embedding;
  narrow->layers = model.weights->layers;
  narrow->final_norm = model.weights->final_norm;
  narrow->head = model.weights->head;
  for (size_t layer = 0; layer < narrow->layers.size(); ++layer) {
    model::LayerWeights& w = narrow->layers[layer];
    for (model::MlpWeights& expert : w.experts) {
      for (model::Tensor* tensor : {&expert.gate, &expert.up, &expert.down}) { narrow->narrow(*tensor); }
    }
    if (w.experts.empty() || config.experts->shared_inner == 0) { continue; }
    for (model::Tensor* tensor : {&w.mlp.gate, &w.mlp.up, &w.mlp.down}) { narrow->narrow(*tensor); }
  }
  model.config.scale_block = {128, 128};
  model.weights = narrow;
  return model;
}

using CudaExperts = CudaEngineTest;

// The CPU rounds what a number and its scale stand for to bf16; the device keeps them apart.
TEST_F(CudaExperts, Fp8ExpertsAreTheCpuEnginesToRounding) {
  for (const bool shared : {false, true}) {
    SCOPED_TRACE(shared);
    model::ModelConfig config = shared ? grouped_experts() : minimax_m2();
    config.hidden_size = 256;
    config.experts->inner = 128;
    if (shared) { config.experts->shared_inner = 256; }
    auto cuda = make_cuda_engine(in_fp8(config), options_of(2, kContext));
    ASSERT_TRUE(cuda.ok()) << cuda.error().message;
    const auto cpu = make_cpu_engine(in_fp8(config), options_of(2, kContext)).value();
    expect_near(*cpu, **cuda, 5e-2, 0.6);
    RunStats wide;
    RunStats narrow;
    Request request;
    request.prompt = random_tokens(20, 4);
    request.max_new_tokens = 10;
    request.ignore_eos = true;
    tokens_of(*cpu, {request}, &wide);
    tokens_of(**cuda, {request}, &narrow);
    EXPECT_LT(narrow.weight_bytes_read, wide.weight_bytes_read);
  }
}

// Where every expert is chosen rounding flips no choice.
TEST_F(CudaExperts, WithoutAChoiceLogitsAreNearer) {
  for (Kind kind : kinds()) {
    SCOPED_TRACE(kind.name);
    model::Experts& e = *kind.config.experts;
    e.count = 8;
    e.per_token = 8;
    e.groups = 1;
    e.kept_groups = 1;
    const auto cuda = on_cuda(kind.config, 2);
    ASSERT_NE(cuda, nullptr);
    expect_near(*on_cpu(kind.config, 2), *cuda, 5e-3, 0.8);
  }
}

TEST_F(CudaExperts, LogitsAreTheCpuEnginesToRounding) {
  for (const Kind& kind : kinds()) {
    SCOPED_TRACE(kind.name);
    const auto cpu = on_cpu(kind.config, 2);
    const auto cuda = on_cuda(kind.config, 2);
    ASSERT_NE(cuda, nullptr);
    expect_near(*cpu, *cuda, 5e-2, 0.6);
    for (const char* name : {"block_topk", "quest"}) {
      SCOPED_TRACE(name);
      const vflow::Policy policy = example_policy(name, kind.config, budget(8, {0}), kContext);
      ASSERT_TRUE(cpu->set_policy(policy).ok());
      ASSERT_TRUE(cuda->set_policy(policy).ok());
      expect_near(*cpu, *cuda, 0.1, 0.5);
    }
  }
}

TEST_F(CudaExperts, TokensDependOnNothingButTheRequest) {
  const auto requests = mixed_requests(20, 200);
  for (const Kind& kind : kinds()) {
    const auto wide = on_cuda(kind.config, 20);
    const auto narrow = on_cuda(kind.config, 3);
    ASSERT_NE(wide, nullptr);
    for (const bool sparse : {false, true}) {
      SCOPED_TRACE(::testing::Message() << kind.name << " sparse " << sparse);
      std::optional<vflow::Policy> policy;
      if (sparse) { policy = example_policy("block_topk", kind.config, budget(4, {0}), kContext); }
      ASSERT_TRUE(wide->set_policy(policy).ok());
      ASSERT_TRUE(narrow->set_policy(policy).ok());
      const auto together = tokens_of(*wide, requests);
      EXPECT_EQ(tokens_of(*wide, requests), together) << "a rerun differs";
      EXPECT_EQ(tokens_of(*narrow, requests), together) << "another batch differs";
      for (const size_t alone : {size_t{0}, size_t{7}, size_t{19}}) {
        EXPECT_EQ(tokens_of(*wide, {requests[alone]})[0], together[alone]) << alone;
      }
    }
  }
}

TEST_F(CudaExperts, CoveringBudgetsAreDenseToTheBit) {
  const auto requests = mixed_requests(8, 300);
  for (const Kind& kind : kinds()) {
    const auto engine = on_cuda(kind.config, 8);
    ASSERT_NE(engine, nullptr);
    const auto dense = tokens_of(*engine, requests);
    for (const char* name : {"block_topk", "quest"}) {
      ASSERT_TRUE(engine->set_policy(example_policy(name, kind.config, budget(32), kContext)).ok());
      EXPECT_EQ(tokens_of(*engine, requests), dense) << kind.name << " " << name;
    }
  }
}

TEST_F(CudaExperts, SnapshotEqualsRecompute) {
  for (const Kind& kind : kinds()) {
    const auto engine = on_cuda(kind.config, 4);
    ASSERT_NE(engine, nullptr);
    Request request;
    request.prompt = random_tokens(300, 1);
    request.max_new_tokens = 40;
    request.ignore_eos = true;
    const auto fresh = tokens_of(*engine, {request});
    const auto snapshot = engine->snapshot(request.prompt, {});
    ASSERT_TRUE(snapshot.ok()) << snapshot.error().message;
    request.prefix = *snapshot;
    EXPECT_EQ(tokens_of(*engine, {request}), fresh) << kind.name;
  }
}

// As many experts as the CPU counts where both decode the same tokens; slots that are idle in a padded batch none.
TEST_F(CudaExperts, CountsTheExpertsThatAreTouched) {
  const model::ModelConfig config = minimax_m2();
  const auto cpu = on_cpu(config, 1);
  const auto cuda = on_cuda(config, 8);
  ASSERT_NE(cuda, nullptr);
  Request request;
  request.prompt = random_tokens(20, 4);
  const std::vector<int32_t> continuation = random_tokens(30, 5);
  RunStats expected;
  RunStats counted;
  ASSERT_TRUE(cpu->teacher_force(request, continuation, {}, &expected).ok());
  ASSERT_TRUE(cuda->teacher_force(request, continuation, {}, &counted).ok());
  EXPECT_NEAR(static_cast<double>(counted.weight_bytes_read), static_cast<double>(expected.weight_bytes_read),
              0.02 * static_cast<double>(expected.weight_bytes_read));
  const int64_t step = 3LL * config.experts->per_token * 2 * 3 * config.hidden_size * config.experts->inner;
  std::vector<Request> requests(3, request);  // a batch of 4 with an idle slot
  for (Request& r : requests) {
    r.max_new_tokens = 10;
    r.ignore_eos = true;
  }
  RunStats one;
  RunStats three;
  tokens_of(*cuda, {requests[0]}, &one);
  tokens_of(*cuda, requests, &three);
  EXPECT_EQ(one.weight_bytes_read, three.weight_bytes_read) << "equal requests touch equal experts";
  EXPECT_GE(one.weight_bytes_read, step * one.decode_steps);
}

TEST_F(CudaExperts, RandomWeightsOfTheDeviceRun) {
  for (const Kind& kind : kinds()) {
    model::Model model;
    model.config = kind.config;
    model.config.hidden_size = 256;
    model.config.experts->inner = 128;
    if (model.config.experts->shared_inner > 0) {
      model.config.experts->shared_inner = 128;
      model.config.scale_block = {128, 128};
    }
    model.hash = "random";
    auto made = make_cuda_engine(std::move(model), options_of(4, kContext));
    ASSERT_TRUE(made.ok()) << made.error().message;
    const auto requests = mixed_requests(4, 100);
    EXPECT_EQ(tokens_of(**made, requests), tokens_of(**made, requests)) << kind.name;
  }
}

TEST(CudaExpertLimits, SizesThatNoKernelTakesAreRefused) {
  EngineOptions options = options_of(8, kContext);
  EXPECT_TRUE(cuda_supports(qwen3_moe(), options, nullptr).ok());
  EXPECT_TRUE(cuda_supports(minimax_m2(), options, nullptr).ok());
  model::ModelConfig config = minimax_m2();
  config.experts->inner = 24;
  const Status odd = cuda_supports(config, options, nullptr);
  ASSERT_FALSE(odd.ok());
  EXPECT_EQ(odd.error().blame, Blame::kCandidate);
  config = minimax_m2();
  config.experts->count = 1024;
  EXPECT_FALSE(cuda_supports(config, options, nullptr).ok());
}

}  // namespace
}  // namespace vortex::engine
