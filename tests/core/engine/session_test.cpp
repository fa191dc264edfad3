// A live batch: chunks of prompts, kept prompts, company and hanging up change no bit of what a request is told, and
// every page comes back.
#include "core/engine/session.h"

#include <filesystem>
#include <functional>

#include "base/files.h"
#include "core/engine/random_model.h"
#include "core/vflow/policy.h"
#include "tests/core/engine/support.h"

namespace vortex::engine {
namespace {

constexpr int kContext = 400;
constexpr int kBlock = 16;

using MakeEngine = std::function<std::unique_ptr<CpuEngine>(int max_batch, int pages)>;  // 0 pages: enough

EngineOptions session_options(int max_batch, int64_t kv_memory_bytes, cpu::Unit unit) {
  EngineOptions options;
  options.threads = 1;  // others change no bit, and wait for each other on a busy machine
  options.max_batch = max_batch;
  options.max_context = kContext;
  options.kv_memory_bytes = kv_memory_bytes;
  options.unit = unit;
  return options;
}

std::unique_ptr<CpuEngine> grouped_engine(int max_batch, int64_t kv_memory_bytes = 0,
                                          cpu::Unit unit = cpu::Unit::kFloat32) {
  return testing::make_engine({}, session_options(max_batch, kv_memory_bytes, unit));
}

std::unique_ptr<CpuEngine> latent_engine(int max_batch, int64_t kv_memory_bytes = 0,
                                         cpu::Unit unit = cpu::Unit::kFloat32) {
  model::ModelConfig config;
  config.architecture = "DeepseekV3ForCausalLM";
  config.hidden_size = 48;
  config.num_layers = 2;
  config.num_q_heads = 4;
  config.num_kv_heads = 1;
  config.head_dim = 32 + 16;
  config.intermediate_size = 48;
  config.vocab_size = 50;
  config.max_position_embeddings = 512;
  config.latent = model::LatentAttention{24, 32, 16, 16, 16};
  auto engine = CpuEngine::make(random_model(config, 3), session_options(max_batch, kv_memory_bytes, unit));
  EXPECT_TRUE(engine.ok()) << (engine.ok() ? "" : engine.error().message);
  return std::move(*engine);
}

// An example policy that attends few pages, in every layer.
vflow::Policy few_pages(const CpuEngine& engine, const std::string& name) {
  return testing::example_policy(name, engine.model().config,
                                 {{"vortex_topk_val", 3},
                                  {"vortex_topk_ratio", 0.0},
                                  {"vortex_schedule_policy", nullptr},
                                  {"vortex_block_size", kBlock},
                                  {"vortex_layers_skip", nlohmann::json::array()}},
                                 kContext);
}

std::vector<std::string> policies_in(const std::string& folder) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(VORTEX_SOURCE_DIR "/examples/policies/" + folder)) {
    if (entry.path().extension() == ".py") { names.push_back(folder + entry.path().stem().string()); }
  }
  std::sort(names.begin(), names.end());
  return names;
}

// Everything that a request is told, to the bit.
struct Told {
  std::vector<int32_t> tokens;
  std::vector<float> log_probs;  // of each token, and of the most probable ones
  std::vector<float> prompt;     // of the prompt's tokens likewise
  int64_t cached = 0;
  bool ended = false;
  bool operator==(const Told& other) const {
    return tokens == other.tokens && log_probs == other.log_probs && prompt == other.prompt;
  }
};

LiveRequest live_request(int64_t id, const Request& request, Told& told) {
  LiveRequest live;
  live.id = id;
  live.request = request;
  live.top_log_probs = 3;
  live.prompt_probs = id % 5 == 4;
  live.on_start = [&told](const LiveStart& start) { told.cached = start.cached_tokens; };
  live.on_prompt = [&told](std::vector<PromptProb> probs) {
    for (const PromptProb& prob : probs) {
      told.prompt.push_back(prob.log_prob);
      for (const TokenProb& one : prob.top) { told.prompt.push_back(one.log_prob); }
    }
  };
  live.on_token = [&told](const LiveToken& token) {
    told.tokens.push_back(token.token);
    told.log_probs.push_back(token.log_prob);
    for (const TokenProb& one : token.top) { told.log_probs.push_back(one.log_prob); }
    told.ended = token.last;
  };
  return live;
}

// Requests whose prompts begin alike in part, some of them the same, sampled and greedy.
std::vector<Request> random_requests(Rng& rng, int count) {
  const std::vector<int32_t> trunk = testing::random_tokens(300, 50, rng.below(1000));
  std::vector<Request> requests;
  for (int i = 0; i < count; ++i) {
    Request request;
    const int same = rng.between(0, 250);
    request.prompt.assign(trunk.begin(), trunk.begin() + same);
    for (const int32_t token : testing::random_tokens(rng.between(same == 0 ? 1 : 0, 80), 50, rng.below(1000))) {
      request.prompt.push_back(token);
    }
    if (i > 0 && rng.below(4) == 0) { request.prompt = requests[rng.below(requests.size())].prompt; }
    request.seed = rng.below(1000);
    request.max_new_tokens = rng.between(1, 40);
    request.ignore_eos = rng.below(2) == 0;
    if (rng.below(2) == 0) { request.sampling.temperature = 1.0; }
    requests.push_back(std::move(request));
  }
  return requests;
}

// Each request by itself, its prompt read whole and nothing kept.
std::vector<Told> alone(CpuEngine& engine, const std::vector<Request>& requests) {
  std::vector<Told> told(requests.size());
  for (size_t i = 0; i < requests.size(); ++i) {
    const std::unique_ptr<Session> session = engine.session();
    EXPECT_TRUE(session->submit(live_request(static_cast<int64_t>(i), requests[i], told[i])).ok());
    while (session->round().value()) {}
    EXPECT_TRUE(told[i].ended);
  }
  return told;
}

// All of them, submitted here and there, so that prompts come while others decode; with `aborts` some are given up at
// some moment. Every page is free afterwards.
std::vector<Told> together(CpuEngine& engine, const std::vector<Request>& requests, const SessionOptions& options,
                           Rng rng, bool aborts = false) {
  testing::poison(engine.pool(), engine.model().config);
  const std::unique_ptr<Session> session = engine.session(options);
  std::vector<Told> told(requests.size());
  size_t next = 0;
  for (bool more = true; more || next < requests.size();) {
    while (next < requests.size() && rng.below(3) != 0) {
      EXPECT_TRUE(session->submit(live_request(static_cast<int64_t>(next), requests[next], told[next])).ok());
      ++next;
    }
    more = session->round().value();
    if (aborts && rng.below(4) == 0) { session->cancel(static_cast<int64_t>(rng.below(requests.size()) / 2 * 2)); }
  }
  EXPECT_EQ(session->use().free_pages, session->use().pages) << "pages leaked";
  EXPECT_EQ(session->use().running + session->use().waiting, 0);
  return told;
}

int64_t cached_tokens(const std::vector<Told>& told) {
  int64_t total = 0;
  for (const Told& one : told) { total += one.cached; }
  return total;
}

// What was told of a request until it was given up.
void expect_beginning(const Told& told, const Told& whole) {
  ASSERT_LE(told.tokens.size(), whole.tokens.size());
  EXPECT_TRUE(std::equal(told.tokens.begin(), told.tokens.end(), whole.tokens.begin()));
  EXPECT_TRUE(std::equal(told.log_probs.begin(), told.log_probs.end(), whole.log_probs.begin()));
}

SessionOptions random_options(Rng& rng) {
  constexpr int kChunks[] = {1, 5, 16, 40, 64, 100, 256, 0};
  SessionOptions options;
  options.chunk_tokens = kChunks[rng.below(std::size(kChunks))];
  options.chunk_seconds = rng.below(3) == 0 ? 1e-9 : 0;
  options.keep_prefixes = rng.below(4) != 0;
  return options;
}

// Random requests, chunks, batches and pools against each request by itself.
void expect_same_bits(const MakeEngine& make, const std::string& policy, uint64_t seed) {
  SCOPED_TRACE((policy.empty() ? "dense" : policy) + ", seed " + std::to_string(seed));
  Rng rng(stream_key(seed, std::hash<std::string>()(policy)));
  const std::vector<Request> requests = random_requests(rng, 10);
  const auto single = make(1, 0);
  const auto engine = make(rng.between(2, 5), rng.below(2) == 0 ? 0 : rng.between(2 * kContext / kBlock, 80));
  for (CpuEngine* one : {single.get(), engine.get()}) {
    if (!policy.empty()) { ASSERT_TRUE(one->set_policy(few_pages(*one, policy)).ok()); }
  }
  const std::vector<Told> expected = alone(*single, requests);
  const SessionOptions options = random_options(rng);
  EXPECT_EQ(together(*engine, requests, options, rng), expected);
  const std::vector<Told> some = together(*engine, requests, options, rng, true);
  for (size_t i = 0; i < requests.size(); ++i) {
    if (some[i].ended || i % 2 == 1) { EXPECT_EQ(some[i], expected[i]) << i; }
    expect_beginning(some[i], expected[i]);
  }
}

template <typename Plain>
MakeEngine sized(const Plain& plain, cpu::Unit unit = cpu::Unit::kFloat32) {
  return [plain, unit](int max_batch, int pages) {
    const int64_t bytes = page_bytes(plain(1, 0, unit)->model().config, kBlock, nullptr);
    return plain(max_batch, pages * bytes, unit);
  };
}

TEST(Session, NeitherChunksNorKeptPromptsNorCompanyChangeABitOfGroupedQueries) {
  std::vector<std::string> policies = policies_in("");
  ASSERT_GE(policies.size(), 12U);
  policies.emplace_back();
  for (const std::string& policy : policies) {
    for (uint64_t seed = 1; seed <= 2; ++seed) { expect_same_bits(sized(grouped_engine), policy, seed); }
  }
}

TEST(Session, NeitherChunksNorKeptPromptsNorCompanyChangeABitOfLatents) {
  std::vector<std::string> policies = policies_in("mla/");
  ASSERT_GE(policies.size(), 5U);
  policies.emplace_back();
  for (const std::string& policy : policies) {
    for (uint64_t seed = 1; seed <= 2; ++seed) { expect_same_bits(sized(latent_engine), policy, seed); }
  }
}

TEST(Session, NorOnBfloat16Units) {
  int units = 0;
  for (const cpu::Unit unit : {cpu::Unit::kAvx512Bf16, cpu::Unit::kAmxBf16}) {
    if (!cpu::unit_supported(unit)) { continue; }
    ++units;
    for (uint64_t seed = 1; seed <= 3; ++seed) {
      expect_same_bits(sized(grouped_engine, unit), "block_topk", seed);
      expect_same_bits(sized(latent_engine, unit), "", seed);
    }
  }
  if (units == 0) { GTEST_SKIP() << "this processor has no bfloat16 unit"; }
}

TEST(Session, NobodyWaitsForAPromptLongerThanAChunkTakes) {
  const auto engine = grouped_engine(2);
  const std::unique_ptr<Session> session = engine->session({32, 0, false});
  Told first;
  Told second;
  Request request;
  request.prompt = testing::random_tokens(20, 50, 1);
  request.max_new_tokens = 30;
  request.ignore_eos = true;
  ASSERT_TRUE(session->submit(live_request(0, request, first)).ok());
  ASSERT_TRUE(session->round().value());
  ASSERT_EQ(first.tokens.size(), 2U) << "behind its prompt, and by the round's step";
  request.prompt = testing::random_tokens(320, 50, 2);
  ASSERT_TRUE(session->submit(live_request(1, request, second)).ok());
  for (size_t round = 1; round <= 10; ++round) {
    EXPECT_TRUE(second.tokens.empty()) << round;
    ASSERT_TRUE(session->round().value());
    EXPECT_EQ(first.tokens.size(), 2 + round) << "a step between every two chunks";
  }
  EXPECT_EQ(second.tokens.size(), 2U) << "ten chunks of 32 are 320";
}

TEST(Session, TheSamePromptAgainIsReadFromItsLastPageOn) {
  const auto engine = grouped_engine(2);
  Request request;
  request.prompt = testing::random_tokens(64, 50, 3);
  std::vector<Told> told = together(*engine, {request, request, request}, {0, 0, true}, Rng(1));
  EXPECT_EQ(told[0].cached, 0);
  EXPECT_EQ(told[1].cached, 48) << "the last token is read: its logits are wanted";
  EXPECT_EQ(told[2].cached, 48);
  request.prompt.push_back(5);
  told = together(*engine, {request, request}, {0, 0, true}, Rng(1));
  EXPECT_EQ(told[1].cached, 64);
  told = together(*engine, {request, request}, {0, 0, false}, Rng(1));
  EXPECT_EQ(told[1].cached, 0) << "nothing is kept where nobody asked for it";
}

TEST(Session, PoliciesThatKeepStateHavePagesOfTheirOwn) {
  const auto engine = grouped_engine(2);
  Rng rng(4);
  const std::vector<Request> requests = random_requests(rng, 8);
  ASSERT_TRUE(engine->set_policy(few_pages(*engine, "block_topk")).ok());
  EXPECT_GT(cached_tokens(together(*engine, requests, {0, 0, true}, rng)), 0);
  ASSERT_TRUE(engine->set_policy(few_pages(*engine, "running_average")).ok());
  EXPECT_EQ(cached_tokens(together(*engine, requests, {0, 0, true}, rng)), 0);
}

TEST(Session, KeptPromptsMakeRoomWhenThePoolIsShort) {
  Rng rng(5);
  const std::vector<Request> requests = random_requests(rng, 30);
  const std::vector<Told> expected = alone(*grouped_engine(1), requests);
  for (const int pages : {kContext / kBlock, 30, 50}) {
    const auto engine = sized(grouped_engine)(4, pages);
    ASSERT_EQ(engine->pool().pages(), pages);
    const std::vector<Told> told = together(*engine, requests, {64, 0, true}, rng);
    EXPECT_EQ(told, expected) << pages;
    EXPECT_GT(cached_tokens(told), 0) << pages;
  }
}

}  // namespace
}  // namespace vortex::engine
