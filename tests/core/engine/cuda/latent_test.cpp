// Latent attention on the device beside the CPU engine, and against itself: small models, and the attention of
// published ones with random weights and few layers.
#include <set>

#include "core/compile/cpu/cpu_executable.h"
#include "core/compile/random_batch.h"
#include "core/engine/random_model.h"
#include "tests/core/engine/cuda/distance.h"
#include "tests/core/engine/cuda/support.h"
#include "tests/core/engine/cuda/unwritten.h"
#include "tests/core/engine/same_choice.h"

namespace vortex::engine {
namespace {

constexpr int kContext = 512;
constexpr int kVocab = 512;

struct Shape {
  const char* name;
  int hidden, heads, q_rank, kv_rank, nope, rope, value;
  bool interleaved = true;
};

constexpr Shape kSmall = {"small", 64, 4, 64, 32, 32, 16, 32};
constexpr Shape kShapes[] = {
    kSmall,
    {"no latent of the queries, halves", 64, 3, 0, 48, 16, 16, 48, false},
    {"GLM's, tiny", 64, 4, 16, 16, 8, 4, 8},
    {"MiniCPM3", 256, 40, 128, 256, 64, 32, 64},
    {"DeepSeek-V2-Lite", 256, 16, 0, 512, 128, 64, 128},
    {"GLM-4.7-Flash", 256, 20, 768, 512, 192, 64, 256},
};

model::ModelConfig config_of(const Shape& shape, int layers = 2) {
  model::ModelConfig config;
  config.architecture = "DeepseekV3ForCausalLM";
  config.hidden_size = shape.hidden;
  config.num_layers = layers;
  config.num_q_heads = shape.heads;
  config.num_kv_heads = 1;
  config.head_dim = shape.kv_rank + shape.rope;
  config.intermediate_size = 128;
  config.vocab_size = kVocab;
  config.max_position_embeddings = 4096;
  config.latent =
      model::LatentAttention{shape.q_rank, shape.kv_rank, shape.nope, shape.rope, shape.value, shape.interleaved, 1e-5};
  return config;
}

// The same with experts in all layers but the first, as GLM-4.7-Flash has them.
model::ModelConfig with_experts(model::ModelConfig config, int count, int per_token, int inner) {
  config.experts.emplace();
  config.experts->layers.assign(static_cast<size_t>(config.num_layers), true);
  config.experts->layers[0] = false;
  config.experts->count = count;
  config.experts->per_token = per_token;
  config.experts->inner = inner;
  config.experts->shared_inner = inner;
  config.experts->score = model::ExpertScore::kSigmoid;
  config.experts->bias = true;
  config.experts->normalised = true;
  config.experts->scale = 1.8;
  return config;
}

std::vector<int32_t> tokens_below_vocab(int count, uint64_t seed) {
  std::vector<int32_t> tokens = random_tokens(count, seed);
  for (int32_t& token : tokens) { token = token % (kVocab - 2) + 2; }
  return tokens;
}

std::unique_ptr<Engine> cuda_engine(const model::ModelConfig& config, const EngineOptions& options) {
  auto engine = make_cuda_engine(random_model(config, 3), options);
  EXPECT_TRUE(engine.ok()) << (engine.ok() ? "" : engine.error().message);
  return engine.ok() ? std::move(*engine) : nullptr;
}

const char* const kPolicies[] = {"rope_aware", "rope_unaware", "rope_weighted", "lserve_centroid", "quest_mla"};

// One of examples/policies/mla that chooses so many pages of 16 tokens beside the three that are always kept.
vflow::Policy mla_policy(const std::string& name, const model::ModelConfig& config, int pages, int block = 16) {
  return example_policy("mla/" + name, config, {{"vortex_block_size", block}, {"vortex_topk_val", pages}}, kContext);
}

class Pair {
 public:
  explicit Pair(const model::ModelConfig& config) {
    EngineOptions options = options_of(2, kContext);
    options.threads = 4;
    cpu_ = make_cpu_engine(random_model(config, 3), options).value();
    cuda_ = cuda_engine(config, options);
  }

  void expect_near(const std::optional<vflow::Policy>& policy, double kl, double gap) {
    ASSERT_NE(cuda_, nullptr);
    ASSERT_TRUE(cpu_->set_policy(policy).ok());
    const Status set = cuda_->set_policy(policy);
    ASSERT_TRUE(set.ok()) << set.error().message;
    for (const int prompt : {1, 17, 200}) {
      SCOPED_TRACE(prompt);
      Request request;
      request.prompt = tokens_below_vocab(prompt, static_cast<uint64_t>(prompt));
      const auto continuation = tokens_below_vocab(24, 3);
      const auto expected = cpu_->teacher_force(request, continuation, {}, nullptr).value();
      const auto actual = cuda_->teacher_force(request, continuation, {}, nullptr);
      ASSERT_TRUE(actual.ok()) << actual.error().message;
      const Distance d = distance(expected, *actual, kVocab);
      EXPECT_FALSE(std::isnan(d.worst));
      EXPECT_LT(d.mean, kl);
      EXPECT_LT(d.gap, gap) << "another token, and no near tie; mean " << d.mean << ", worst " << d.worst << ", agree "
                            << d.agree;
    }
  }

 private:
  std::unique_ptr<Engine> cpu_;
  std::unique_ptr<Engine> cuda_;
};

using CudaLatent = CudaEngineTest;

TEST_F(CudaLatent, LogitsAreTheCpuEnginesToRounding) {
  for (const Shape& shape : kShapes) {
    SCOPED_TRACE(shape.name);
    Pair(config_of(shape)).expect_near(std::nullopt, 0.01, 0.2);
  }
}

// A row whose experts are chosen by nearly equal scores may get others on another device.
TEST_F(CudaLatent, ModelsWithExpertsStayNear) {
  Pair small(with_experts(config_of(kSmall, 3), 8, 2, 64));
  small.expect_near(std::nullopt, 0.05, 0.5);
  small.expect_near(mla_policy("rope_aware", config_of(kSmall, 3), 8), 0.1, 1.0);
  Pair(with_experts(config_of(kShapes[5]), 16, 4, 128)).expect_near(std::nullopt, 0.05, 0.5);
}

// From the queries and latents that the device has while it decodes it chooses the pages that the CPU chooses. What two
// engines say may be farther apart than that: their queries and latents differ by rounding, so a page with nearly the
// last chosen one's score may take its place.
TEST_F(CudaLatent, PoliciesChooseTheCpusPagesFromTheSameLatents) {
  for (const Shape& shape : {kSmall, kShapes[5]}) {
    const model::ModelConfig config = config_of(shape);
    const auto engine = cuda_engine(config, options_of(2, kContext));
    ASSERT_NE(engine, nullptr);
    for (const char* name : kPolicies) {
      SCOPED_TRACE(std::string(shape.name) + " " + name);
      const vflow::Policy policy = mla_policy(name, config, 4);
      const Status set = engine->set_policy(policy);
      ASSERT_TRUE(set.ok()) << set.error().message;
      SameChoice choices(policy);
      const AttentionObserver observer = [&](const AttentionView& view) {
        SCOPED_TRACE(::testing::Message() << "layer " << view.layer << ", " << view.seq_lens[0] << " tokens");
        if (view.selection != nullptr) { choices.expect(view); }
      };
      Request request;
      request.prompt = tokens_below_vocab(200, 200);
      ASSERT_TRUE(engine->teacher_force(request, tokens_below_vocab(60, 3), observer, nullptr).ok());
      EXPECT_GT(choices.scored(), 50);
      EXPECT_LE(10 * choices.swapped(), choices.scored()) << "near ties are rare";
    }
  }
}

// What a swapped page brings is any token, on flat distributions of random weights: only the mean is held.
TEST_F(CudaLatent, PoliciesStayNear) {
  constexpr double kAnyGap = 10.0;
  for (const Shape& shape : {kSmall, kShapes[5]}) {
    Pair pair(config_of(shape));
    for (const char* name : kPolicies) {
      SCOPED_TRACE(std::string(shape.name) + " " + name);
      pair.expect_near(mla_policy(name, config_of(shape), 8), 0.1, kAnyGap);
    }
  }
}

std::vector<Request> requests_below_vocab(int count, int longest) {
  std::vector<Request> requests = mixed_requests(count, longest);
  for (Request& request : requests) {
    for (int32_t& token : request.prompt) { token = token % (kVocab - 2) + 2; }
  }
  return requests;
}

TEST_F(CudaLatent, ABudgetForAllPagesIsDenseToTheBitAndOneForFewIsNot) {
  for (const Shape& shape : {kSmall, kShapes[5]}) {
    SCOPED_TRACE(shape.name);
    const model::ModelConfig config = config_of(shape);
    const auto engine = cuda_engine(config, options_of(8, kContext));
    ASSERT_NE(engine, nullptr);
    const auto requests = requests_below_vocab(8, 400);
    const auto dense = tokens_of(*engine, requests);
    EXPECT_EQ(tokens_of(*engine, requests), dense) << "a rerun differs";
    const auto log_probs = engine->teacher_force(requests[5], tokens_below_vocab(30, 9), {}, nullptr).value();
    std::set<std::vector<std::vector<int32_t>>> seen;
    for (const char* name : kPolicies) {
      SCOPED_TRACE(name);
      ASSERT_TRUE(engine->set_policy(mla_policy(name, config, 40)).ok());
      RunStats stats;
      EXPECT_EQ(tokens_of(*engine, requests, &stats), dense);
      EXPECT_EQ(stats.pages_attended, stats.pages_visible);
      EXPECT_EQ(stats.dense_layer_calls, 0);
      EXPECT_EQ(engine->teacher_force(requests[5], tokens_below_vocab(30, 9), {}, nullptr).value(), log_probs);
      ASSERT_TRUE(engine->set_policy(mla_policy(name, config, 2)).ok());
      const auto sparse = tokens_of(*engine, requests, &stats);
      EXPECT_LT(stats.pages_attended[1], stats.pages_visible[1]);
      EXPECT_EQ(tokens_of(*engine, requests), sparse) << "a rerun differs";
      EXPECT_NE(engine->teacher_force(requests[5], tokens_below_vocab(30, 9), {}, nullptr).value(), log_probs)
          << "the budget changed nothing";
      seen.insert(sparse);
    }
    EXPECT_GT(seen.size(), 2U) << "policies that choose alike";
  }
}

TEST_F(CudaLatent, TokensDependOnNothingButTheRequest) {
  for (const Shape& shape : {kSmall, kShapes[5]}) {
    SCOPED_TRACE(shape.name);
    const model::ModelConfig config = config_of(shape);
    const auto requests = requests_below_vocab(12, 400);
    const auto wide = cuda_engine(config, options_of(12, kContext));
    const auto narrow = cuda_engine(config, options_of(3, kContext));
    ASSERT_NE(wide, nullptr);
    ASSERT_NE(narrow, nullptr);
    for (const bool sparse : {false, true}) {
      SCOPED_TRACE(sparse);
      std::optional<vflow::Policy> policy;
      if (sparse) { policy = mla_policy("rope_aware", config, 4); }
      ASSERT_TRUE(wide->set_policy(policy).ok());
      ASSERT_TRUE(narrow->set_policy(policy).ok());
      const auto together = tokens_of(*wide, requests);
      EXPECT_EQ(tokens_of(*narrow, requests), together) << "another batch differs";
      for (const size_t alone : {size_t{0}, size_t{7}, size_t{11}}) {
        EXPECT_EQ(tokens_of(*wide, {requests[alone]})[0], together[alone]) << alone;
      }
    }
  }
}

TEST_F(CudaLatent, SnapshotEqualsRecompute) {
  const model::ModelConfig config = config_of(kShapes[4]);
  const auto engine = cuda_engine(config, options_of(4, kContext));
  ASSERT_NE(engine, nullptr);
  Request request;
  request.prompt = tokens_below_vocab(300, 1);
  request.max_new_tokens = 40;
  request.ignore_eos = true;
  const auto fresh = tokens_of(*engine, {request});
  const auto snapshot = engine->snapshot(request.prompt, {});
  ASSERT_TRUE(snapshot.ok()) << snapshot.error().message;
  request.prefix = *snapshot;
  RunStats stats;
  EXPECT_EQ(tokens_of(*engine, {request}, &stats), fresh);
  EXPECT_EQ(stats.prefill_tokens, 0);
}

TEST_F(CudaLatent, NothingUnwrittenIsRead) {
  const model::ModelConfig config = config_of(kShapes[5]);
  auto runner = Runner::make(random_model(config, 3), options_of(1, kContext), {});
  ASSERT_TRUE(runner.ok()) << runner.error().message;
  for (const char* name : {"", "lserve_centroid", "quest_mla"}) {
    SCOPED_TRACE(name);
    std::optional<vflow::Policy> policy;
    if (*name != 0) { policy = mla_policy(name, config, 4); }
    ASSERT_TRUE((*runner)->set_policy(policy).ok());
    const auto clean = logits_after_steps(**runner, tokens_below_vocab(300, 1), false);
    const auto poisoned = logits_after_steps(**runner, tokens_below_vocab(300, 1), true);
    EXPECT_EQ(clean, poisoned);
  }
}

TEST_F(CudaLatent, WaitsWhenThePoolRunsDry) {
  const model::ModelConfig config = config_of(kSmall);
  const auto requests = requests_below_vocab(12, 200);
  const auto roomy = cuda_engine(config, options_of(12, 300));
  ASSERT_NE(roomy, nullptr);
  const auto expected = tokens_of(*roomy, requests);
  const int64_t page = 16LL * 48 * 2 * 2;  // of two layers
  for (const int pages : {19, 40}) {
    SCOPED_TRACE(pages);
    const auto tight = cuda_engine(config, options_of(12, 300, pages * page));
    ASSERT_NE(tight, nullptr);
    EXPECT_EQ(tokens_of(*tight, requests), expected);
  }
}

TEST_F(CudaLatent, CountsLatentsAsTheCpuEngineDoes) {
  const model::ModelConfig config = config_of(kSmall);
  const auto engine = cuda_engine(config, options_of(2, kContext));
  const auto on_cpu = make_cpu_engine(random_model(config, 3), options_of(2, kContext)).value();
  ASSERT_NE(engine, nullptr);
  Request request;
  request.prompt = tokens_below_vocab(100, 4);
  for (const int pages : {40, 2}) {
    const vflow::Policy policy = mla_policy("rope_aware", config, pages);
    RunStats found;
    RunStats expected;
    ASSERT_TRUE(engine->set_policy(policy).ok());
    ASSERT_TRUE(on_cpu->set_policy(policy).ok());
    ASSERT_TRUE(engine->teacher_force(request, tokens_below_vocab(9, 5), {}, &found).ok());
    ASSERT_TRUE(on_cpu->teacher_force(request, tokens_below_vocab(9, 5), {}, &expected).ok());
    EXPECT_EQ(found.kv_bytes_read, expected.kv_bytes_read);
    EXPECT_EQ(found.pages_attended, expected.pages_attended);
  }
}

TEST_F(CudaLatent, ObserversSeeLatentsAndRecallIsTheCpuEngines) {
  const model::ModelConfig config = config_of(kShapes[4]);
  const auto engine = cuda_engine(config, options_of(2, kContext));
  const auto on_cpu = make_cpu_engine(random_model(config, 3), options_of(2, kContext)).value();
  ASSERT_NE(engine, nullptr);
  const vflow::Policy policy = mla_policy("rope_aware", config, 6);
  ASSERT_TRUE(engine->set_policy(policy).ok());
  ASSERT_TRUE(on_cpu->set_policy(policy).ok());
  ForcedRequest request;
  request.request.prompt = tokens_below_vocab(300, 3);
  request.continuation = tokens_below_vocab(12, 4);
  ForcedOptions options;
  options.look_every = 1;
  const auto found = engine->force_decode({&request, 1}, options, nullptr);
  ASSERT_TRUE(found.ok()) << found.error().message;
  const auto expected = on_cpu->force_decode({&request, 1}, options, nullptr).value();
  ASSERT_EQ((*found)[0].recall.size(), expected[0].recall.size());
  for (size_t i = 0; i < expected[0].recall.size(); ++i) {
    EXPECT_NEAR((*found)[0].recall[i].mass, expected[0].recall[i].mass, 0.02) << i;
    EXPECT_EQ((*found)[0].recall[i].looks, expected[0].recall[i].looks);
  }
  std::vector<float> rows[2];
  Engine* const engines[] = {engine.get(), on_cpu.get()};
  for (size_t i = 0; i < 2; ++i) {
    const AttentionObserver observer = [&](const AttentionView& view) {
      const int token = view.seq_lens[0] - 1;
      const auto* latents = static_cast<const cpu::Bf16*>(view.cache->k.data);
      const int64_t at = (int64_t{view.block_table[token / 16]} * 16 + token % 16) * 576;
      for (int d = 0; d < 576; ++d) { rows[i].push_back(cpu::bf16_to_float(latents[at + d])); }
      rows[i].insert(rows[i].end(), view.q, view.q + 576);
    };
    ASSERT_TRUE(engines[i]->teacher_force(request.request, tokens_below_vocab(3, 2), observer, nullptr).ok());
  }
  ASSERT_EQ(rows[0].size(), rows[1].size());
  double error = 0;
  double norm = 0;
  for (size_t i = 0; i < rows[0].size(); ++i) {
    error += std::pow(static_cast<double>(rows[0][i] - rows[1][i]), 2);
    norm += std::pow(static_cast<double>(rows[1][i]), 2);
  }
  EXPECT_LT(std::sqrt(error / norm), 0.03);
}

// The same pages as on the CPU, on random latents, where neither rounding nor a prompt comes between.
TEST_F(CudaLatent, ExamplePoliciesChooseTheCpusPages) {
  for (const Shape& shape : {kSmall, kShapes[5]}) {
    const model::ModelConfig config = config_of(shape);
    const auto engine = cuda_engine(config, options_of(2, kContext));
    ASSERT_NE(engine, nullptr);
    for (const char* name : kPolicies) {
      for (const int block : {16, 64}) {
        SCOPED_TRACE(std::string(shape.name) + " " + name + ", blocks of " + std::to_string(block));
        const vflow::Policy policy = mla_policy(name, config, 4, block);
        const Status set = engine->set_policy(policy);
        ASSERT_TRUE(set.ok()) << set.error().message;
        const auto executable = engine->executable();
        const auto host = compile::compile_cpu(policy).value();
        Rng rng(3);
        const compile::Lengths lengths = compile::draw_lengths(policy, 4, 100, rng);
        compile::RandomBatch on_device(policy, compile::InputKind::kNormal, 1, lengths.tokens, 1, 5);
        compile::RandomBatch on_host = on_device;
        const Status updated = executable->update_pages(on_device.cache(), on_device.full_pages());
        ASSERT_TRUE(updated.ok()) << updated.error().message;
        host->update(on_host.cache(), on_host.full_pages());
        compile::Selection chosen;
        compile::Selection expected;
        std::vector<float> scores;
        const Status selected = executable->select(on_device.cache(), on_device.batch(), chosen, &scores);
        ASSERT_TRUE(selected.ok()) << selected.error().message;
        host->choose(on_host.cache(), on_host.batch(), expected);
        ASSERT_EQ(chosen.counts, expected.counts);
        for (size_t row = 0; row < chosen.counts.size(); ++row) {
          for (int i = 0; i < chosen.counts[row]; ++i) {
            ASSERT_EQ(chosen.blocks[row * static_cast<size_t>(chosen.stride) + static_cast<size_t>(i)],
                      expected.blocks[row * static_cast<size_t>(expected.stride) + static_cast<size_t>(i)])
                << "row " << row << " place " << i;
          }
        }
      }
    }
  }
}

TEST_F(CudaLatent, RefusesOtherTypesAndLargerLatentsByName) {
  CudaOptions cuda;
  cuda.kv_dtype = vflow::Dtype::kFp8E4m3;
  const auto narrow = make_cuda_engine(random_model(config_of(kSmall), 3), options_of(1, kContext), cuda);
  ASSERT_FALSE(narrow.ok());
  EXPECT_EQ(narrow.error().blame, Blame::kCandidate);
  EXPECT_NE(narrow.error().message.find("keeps latents as bfloat16"), std::string::npos);
  const model::ModelConfig wide = config_of({"wide", 64, 2, 0, 1024, 16, 16, 16});
  EXPECT_FALSE(cuda_supports(wide, options_of(1, kContext), nullptr).ok());
}

}  // namespace
}  // namespace vortex::engine
