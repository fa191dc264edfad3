// Latent attention and experts, against themselves in the other form (decoders_test.cpp has them against their
// definitions).
#include <nlohmann/json.hpp>
#include <set>

#include "base/files.h"
#include "core/engine/limit.h"
#include "core/engine/prefix.h"
#include "core/engine/random_model.h"
#include "tests/core/engine/support.h"

namespace vortex::engine {
namespace {

using nlohmann::json;

const std::string kSource = VORTEX_SOURCE_DIR;

EngineOptions options_of(int threads, int max_context = 256) {
  EngineOptions options;
  options.threads = threads;
  options.max_context = max_context;
  options.max_batch = 4;
  return options;
}

struct Shape {
  int heads, kv_rank, rope, nope, value;
};

model::ModelConfig config_of(const Shape& shape, int layers, bool experts = false) {
  model::ModelConfig config;
  config.architecture = "DeepseekV3ForCausalLM";
  config.hidden_size = 64;
  config.num_layers = layers;
  config.num_q_heads = shape.heads;
  config.num_kv_heads = 1;
  config.head_dim = shape.kv_rank + shape.rope;
  config.intermediate_size = 48;
  config.vocab_size = 96;
  config.max_position_embeddings = 4096;
  config.latent = model::LatentAttention{24, shape.kv_rank, shape.nope, shape.rope, shape.value};
  if (!experts) { return config; }
  config.experts.emplace();
  config.experts->layers.assign(static_cast<size_t>(layers), true);
  config.experts->layers[0] = layers == 1;
  config.experts->count = 8;
  config.experts->per_token = 2;
  config.experts->inner = 16;
  config.experts->shared_inner = 16;
  config.experts->score = model::ExpertScore::kSigmoid;
  config.experts->bias = true;
  config.experts->normalised = true;
  config.experts->scale = 1.8;
  return config;
}

std::unique_ptr<CpuEngine> engine_of(const model::ModelConfig& config, int threads = 1,
                                     cpu::Unit unit = cpu::Unit::kFloat32) {
  EngineOptions options = options_of(threads, 512);
  options.unit = unit;
  auto engine = CpuEngine::make(random_model(config, 3), options);
  EXPECT_TRUE(engine.ok()) << (engine.ok() ? "" : engine.error().message);
  return std::move(*engine);
}

// Log-probabilities at the positions of `text` behind the first `prompt` tokens of it.
std::vector<float> forced_from(CpuEngine& engine, const std::vector<int32_t>& text, size_t prompt) {
  Request request;
  request.prompt.assign(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(prompt));
  const std::vector<int32_t> rest(text.begin() + static_cast<std::ptrdiff_t>(prompt), text.end());
  return engine.teacher_force(request, rest, {}, nullptr).value();
}

// Prompts are attended with keys and values made of the latents, decode steps on the latents themselves.
TEST(Latent, BothFormsOfAttentionAgree) {
  for (const Shape& shape : {Shape{4, 16, 4, 8, 8}, Shape{16, 256, 32, 64, 64}, Shape{20, 512, 64, 192, 256},
                             Shape{40, 32, 8, 24, 12}, Shape{3, 512, 64, 128, 128}}) {
    SCOPED_TRACE(shape.heads);
    auto engine = engine_of(config_of(shape, 1));  // one layer: both see the same latents, to the bit
    const auto text = testing::random_tokens(80, 96, 5);
    const std::vector<float> decoded = forced_from(*engine, text, 1);
    const std::vector<float> prompted = forced_from(*engine, text, 70);
    ASSERT_EQ(prompted.size(), size_t{10} * 96);
    const size_t skipped = decoded.size() - prompted.size();
    double worst = 0;
    for (size_t i = 0; i < prompted.size(); ++i) {
      worst = std::max(worst, static_cast<double>(std::abs(prompted[i] - decoded[skipped + i])));
    }
    EXPECT_LT(worst, 1e-5);
  }
}

TEST(Latent, NeitherThreadsNorCompanyChangeABit) {
  const model::ModelConfig config = config_of({16, 48, 16, 32, 16}, 3, true);
  std::vector<Request> requests;
  for (uint64_t i = 0; i < 4; ++i) {
    Request request;
    request.prompt = testing::random_tokens(20 + 9 * static_cast<int>(i), 96, i);
    request.max_new_tokens = 30;
    request.ignore_eos = true;
    requests.push_back(request);
  }
  auto one = engine_of(config, 1);
  auto three = engine_of(config, 3);
  const auto together = one->generate(requests, nullptr).value();
  const auto threaded = three->generate(requests, nullptr).value();
  for (size_t i = 0; i < requests.size(); ++i) {
    const auto alone = one->generate({requests[i]}, nullptr).value();
    EXPECT_EQ(alone[0].tokens, together[i].tokens) << i;
    EXPECT_EQ(threaded[i].tokens, together[i].tokens) << i;
  }
  const auto text = testing::random_tokens(150, 96, 9);
  EXPECT_EQ(forced_from(*one, text, 140), forced_from(*three, text, 140));
}

TEST(Latent, SnapshotsHoldLatentsAndGiveTheSameTokens) {
  const model::ModelConfig config = config_of({4, 16, 4, 8, 8}, 2, true);
  auto engine = engine_of(config);
  const testing::TempFolder folder;
  Request request;
  request.prompt = testing::random_tokens(37, 96, 4);
  request.max_new_tokens = 20;
  const auto fresh = engine->generate({request}, nullptr).value();
  for (int round = 0; round < 2; ++round) {  // made, then loaded
    request.prefix = engine->prefix(request.prompt, folder.path()).value();
    EXPECT_EQ(request.prefix->bytes().size(), size_t{256} + 96 * 4 + size_t{2} * 37 * 20 * 2);
    EXPECT_EQ(engine->generate({request}, nullptr).value()[0].tokens, fresh[0].tokens);
  }
}

TEST(Latent, CountsLatentsAndTouchedExperts) {
  const model::ModelConfig config = config_of({4, 16, 4, 8, 8}, 2, true);
  auto engine = engine_of(config);
  Request request;
  request.prompt = testing::random_tokens(16, 96, 4);
  RunStats first;
  ASSERT_TRUE(engine->teacher_force(request, testing::random_tokens(2, 96, 5), {}, &first).ok());
  EXPECT_EQ(first.decode_steps, 1);
  EXPECT_EQ(first.kv_bytes_read, int64_t{2} * 17 * 20 * 2) << "two layers, 17 latents of 20 bf16 numbers";
  RunStats more;
  ASSERT_TRUE(engine->teacher_force(request, testing::random_tokens(5, 96, 5), {}, &more).ok());
  EXPECT_EQ(more.weight_bytes_read, 4 * first.weight_bytes_read) << "one request touches two experts a step";
  const std::vector<int> one(1, 17);
  const std::vector<int> many(64, 17);
  const int64_t alone = step_bytes(config, nullptr, vflow::Dtype::kBf16, one).weights;
  const int64_t crowd = step_bytes(config, nullptr, vflow::Dtype::kBf16, many).weights;
  const int64_t expert = int64_t{3} * 64 * 16 * 2;
  EXPECT_NEAR(static_cast<double>(crowd - alone), static_cast<double>(6 * expert), 2.0);
  const auto narrow = [&](const std::vector<int>& lengths) {
    return step_bytes(config, nullptr, vflow::Dtype::kBf16, lengths, vflow::Dtype::kFp8E4m3).weights;
  };
  EXPECT_NEAR(static_cast<double>(narrow(many) - narrow(one)), static_cast<double>(3 * expert), 2.0);
  EXPECT_EQ(step_bytes(config, nullptr, vflow::Dtype::kBf16, many).kv, int64_t{2} * 64 * 17 * 20 * 2);
}

const char* const kPolicies[] = {"rope_aware", "rope_unaware", "rope_weighted", "lserve_centroid", "quest_mla"};

// One of examples/policies/mla that chooses so many pages of 16 tokens beside the three that are always kept.
vflow::Policy policy_of(const std::string& name, const model::ModelConfig& config, int pages) {
  return testing::example_policy("mla/" + name, config, {{"vortex_block_size", 16}, {"vortex_topk_val", pages}});
}

TEST(Latent, PoliciesChooseAndABudgetForAllPagesIsDenseToTheBit) {
  const model::ModelConfig config = config_of({4, 32, 8, 16, 16}, 3, true);
  auto engine = engine_of(config);
  std::vector<Request> requests;
  for (const int length : {300, 17, 256}) {
    Request request;
    request.prompt = testing::random_tokens(length, 96, static_cast<uint64_t>(length));
    request.max_new_tokens = 30;
    request.ignore_eos = true;
    requests.push_back(request);
  }
  const auto tokens_of = [&](RunStats* stats) {
    std::vector<std::vector<int32_t>> tokens;
    const std::vector<Output> outputs = engine->generate(requests, stats).value();
    for (const Output& output : outputs) { tokens.push_back(output.tokens); }
    return tokens;
  };
  const auto dense = tokens_of(nullptr);
  const auto text = testing::random_tokens(330, 96, 7);
  const auto dense_log_probs = forced_from(*engine, text, 300);
  std::set<std::vector<std::vector<int32_t>>> seen;
  for (const char* name : kPolicies) {
    SCOPED_TRACE(name);
    ASSERT_TRUE(engine->set_policy(policy_of(name, config, 30)).ok());
    testing::poison(engine->pool(), config);
    RunStats stats;
    EXPECT_EQ(tokens_of(&stats), dense);
    EXPECT_EQ(stats.pages_attended, stats.pages_visible);
    EXPECT_EQ(stats.dense_layer_calls, 0);
    ASSERT_TRUE(engine->set_policy(policy_of(name, config, 2)).ok());
    testing::poison(engine->pool(), config);
    const auto sparse = tokens_of(&stats);
    EXPECT_LT(stats.pages_attended[2] * 2, stats.pages_visible[2]);
    EXPECT_EQ(tokens_of(nullptr), sparse) << "a second run";
    seen.insert(sparse);
    EXPECT_NE(forced_from(*engine, text, 300), dense_log_probs) << "the budget changed nothing";
  }
  EXPECT_GT(seen.size(), 2U) << "policies that choose alike";
}

TEST(Latent, RecallOfAllPagesIsWholeAndTheOracleBeatsAPolicy) {
  const model::ModelConfig config = config_of({4, 32, 8, 16, 16}, 2);
  auto engine = engine_of(config);
  ForcedRequest request;
  request.request.prompt = testing::random_tokens(300, 96, 3);
  request.continuation = testing::random_tokens(12, 96, 4);
  ForcedOptions options;
  options.look_every = 1;
  const auto mass = [&] {
    const std::vector<Forced> forced = engine->force_decode({&request, 1}, options, nullptr).value();
    EXPECT_EQ(forced[0].recall.size(), 2U) << "a layer has one head of the cache";
    return forced[0].recall[1].mass;
  };
  const vflow::Policy policy = policy_of("rope_aware", config, 3);
  ASSERT_TRUE(engine->set_policy(policy).ok());
  const double chosen = mass();
  ASSERT_TRUE(engine->set_oracle(policy.config).ok());
  const double best = mass();
  EXPECT_LT(chosen, best);
  EXPECT_LT(best, 1.0);
  ASSERT_TRUE(engine->set_policy(policy_of("rope_aware", config, 30)).ok());
  EXPECT_EQ(mass(), 1.0);
}

TEST(Latent, TakesNoPolicyForAnotherKindOfAttention) {
  auto grouped = testing::make_engine({}, options_of(1));
  const Status refused = grouped->set_policy(policy_of("rope_aware", config_of({4, 32, 8, 16, 16}, 1), 3));
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().blame, Blame::kCandidate);
  EXPECT_NE(refused.error().message.find("written for MLA attention"), std::string::npos);
}

TEST(Latent, ABfloat16UnitComesClose) {
  const auto unit = cpu::best_bf16_unit();
  if (!unit) { GTEST_SKIP() << "this processor has no bfloat16 unit"; }
  const model::ModelConfig config = config_of({8, 32, 8, 16, 16}, 1);
  auto exact = engine_of(config);
  auto rounded = engine_of(config, 2, *unit);
  const auto text = testing::random_tokens(90, 96, 5);
  const std::vector<float> expected = forced_from(*exact, text, 70);
  const std::vector<float> found = forced_from(*rounded, text, 70);
  double worst = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    worst = std::max(worst, static_cast<double>(std::abs(expected[i] - found[i])));
  }
  EXPECT_LT(worst, 0.1);
  EXPECT_GT(worst, 0.0);
}

TEST(Latent, RefusesHeadsThatTheKernelsDoNotCover) {
  const auto engine = make_cpu_engine(random_model(config_of({2, 16, 64, 200, 16}, 1), 1), options_of(1));
  ASSERT_FALSE(engine.ok());
  EXPECT_EQ(engine.error().blame, Blame::kCandidate);
  EXPECT_NE(engine.error().message.find("at most 256 elements, not 264 of keys"), std::string::npos);
}

}  // namespace
}  // namespace vortex::engine
