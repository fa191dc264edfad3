// A model on several ranks says what it says on one: tokens, chosen pages, log-probabilities; ranks are threads here.
#include "core/engine/tensor_parallel.h"

#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <thread>

#include "core/engine/cpu_ranks.h"
#include "core/engine/random_model.h"
#include "core/engine/shard.h"
#include "core/model/rows.h"
#include "kernels/cpu/bf16.h"
#include "tests/core/engine/support.h"

namespace vortex::engine {
namespace {

constexpr int kVocab = 512;

model::ModelConfig small_qwen3() {
  model::ModelConfig config;
  config.architecture = "Qwen3ForCausalLM";
  config.hidden_size = 64;
  config.num_layers = 3;
  config.num_q_heads = 16;
  config.num_kv_heads = 8;
  config.head_dim = 16;
  config.qk_norm = model::QkNorm::kEachHead;
  config.intermediate_size = 96;
  config.vocab_size = kVocab;
  config.max_position_embeddings = 4096;
  config.tie_word_embeddings = true;
  return config;
}

// MiniMax-M2's kind: a norm over all heads, groups of six, experts in every layer.
model::ModelConfig small_minimax() {
  model::ModelConfig config = small_qwen3();
  config.architecture = "MiniMaxM2ForCausalLM";
  config.num_layers = 2;
  config.num_q_heads = 48;
  config.rotated = 8;
  config.qk_norm = model::QkNorm::kAllHeads;
  config.intermediate_size = 32;
  config.tie_word_embeddings = false;
  config.experts.emplace();
  config.experts->layers = {true, true};
  config.experts->count = 8;
  config.experts->per_token = 2;
  config.experts->inner = 32;
  config.experts->score = model::ExpertScore::kSigmoid;
  config.experts->bias = true;
  config.experts->normalised = true;
  return config;
}

EngineOptions small_options() {
  EngineOptions options;
  options.threads = 1;
  options.max_batch = 4;
  options.max_context = 512;
  return options;
}

std::vector<Request> requests_of(int new_tokens) {
  std::vector<Request> requests;
  for (const int length : {90, 5, 200}) {
    Request request;
    request.prompt = testing::random_tokens(length, kVocab, static_cast<uint64_t>(length));
    request.max_new_tokens = new_tokens;
    request.ignore_eos = true;
    requests.push_back(request);
  }
  return requests;
}

std::vector<std::vector<int32_t>> tokens_of(Engine& engine, const std::vector<Request>& requests, RunStats* stats) {
  const auto outputs = engine.generate(requests, stats);
  EXPECT_TRUE(outputs.ok()) << (outputs.ok() ? "" : outputs.error().message);
  std::vector<std::vector<int32_t>> tokens;
  if (!outputs.ok()) { return tokens; }
  for (const Output& output : *outputs) { tokens.push_back(output.tokens); }
  return tokens;
}

vflow::Policy policy_of(const model::ModelConfig& config) {
  return testing::example_policy("block_topk", config,
                                 {{"vortex_block_size", 16}, {"vortex_topk_val", 3}, {"vortex_layers_skip", {0}}});
}

struct ParallelCase {
  const char* name;
  model::ModelConfig config;
};

std::vector<ParallelCase> cases() { return {{"qwen3", small_qwen3()}, {"minimax_m2", small_minimax()}}; }

TEST(TensorParallel, GivesTheTokensAndCountersOfOneRank) {
  for (const ParallelCase& c : cases()) {
    const model::Model model = random_model(c.config, 12);
    const auto requests = requests_of(24);
    auto one = make_cpu_engine(model, small_options()).value();
    const std::optional<vflow::Policy> policies[] = {std::nullopt, policy_of(c.config)};
    for (const auto& policy : policies) {
      ASSERT_TRUE(one->set_policy(policy).ok());
      RunStats expected;
      const auto tokens = tokens_of(*one, requests, &expected);
      for (const int ranks : {1, 2, 4, 8}) {
        SCOPED_TRACE(::testing::Message() << c.name << " on " << ranks << " ranks, sparse " << policy.has_value());
        auto engine = make_tensor_parallel_cpu_engine(model, small_options(), ranks);
        ASSERT_TRUE(engine.ok()) << engine.error().message;
        ASSERT_TRUE((*engine)->set_policy(policy).ok());
        int told = 0;
        auto telling = requests;
        telling[1].on_token = [&](int32_t, bool) { ++told; };
        RunStats stats;
        EXPECT_EQ(tokens_of(**engine, telling, &stats), tokens);
        EXPECT_EQ(told, 24);
        EXPECT_EQ(stats.pages_visible, expected.pages_visible);
        EXPECT_EQ(stats.pages_attended, expected.pages_attended);
        EXPECT_EQ(stats.kv_bytes_read, expected.kv_bytes_read);
        EXPECT_EQ(stats.decode_tokens, expected.decode_tokens);
        EXPECT_EQ(stats.sparse_layer_calls, expected.sparse_layer_calls);
      }
    }
  }
}

// [layer, step, kv head] -> pages, seen from the first kv head of the engine on.
using Chosen = std::map<std::tuple<int, int, int>, std::vector<int32_t>>;

AttentionObserver recorder(Chosen& chosen, int first_head) {
  return [&chosen, first_head](const AttentionView& view) {
    if (view.selection == nullptr) { return; }
    const int heads = view.cache->k.kv_heads;
    for (int head = 0; head < heads; ++head) {
      const auto row = static_cast<size_t>(head);
      const auto begin = view.selection->blocks.begin() + static_cast<int64_t>(row) * view.selection->stride;
      chosen[{view.layer, view.seq_lens[0], first_head + head}] = {begin, begin + view.selection->counts[row]};
    }
  };
}

TEST(TensorParallel, ChoosesThePagesOfOneRank) {
  for (const ParallelCase& c : cases()) {
    const model::Model model = random_model(c.config, 8);
    const vflow::Policy policy = policy_of(c.config);
    Request request;
    request.prompt = testing::random_tokens(200, kVocab, 1);
    const std::vector<int32_t> continuation = testing::random_tokens(12, kVocab, 2);
    Chosen expected;
    auto one = CpuEngine::make(model, small_options()).value();
    ASSERT_TRUE(one->set_policy(policy).ok());
    const auto log_probs = one->teacher_force(request, continuation, recorder(expected, 0), nullptr).value();
    ASSERT_FALSE(expected.empty());
    for (const int ranks : {2, 8}) {
      SCOPED_TRACE(::testing::Message() << c.name << " on " << ranks << " ranks");
      const auto all = std::make_shared<CpuRanks>(ranks);
      std::vector<Chosen> chosen(static_cast<size_t>(ranks));
      std::vector<std::vector<float>> said(static_cast<size_t>(ranks));
      const auto work = [&](int rank) -> Status {
        VORTEX_ASSIGN(const ShardPlan plan, plan_shard(c.config, rank, ranks));
        const auto end = std::make_shared<const CpuRank>(CpuRank{all, plan});
        VORTEX_ASSIGN(const auto engine, CpuEngine::make(shard_model(model, plan), small_options(), end));
        VORTEX_TRY(engine->set_policy(policy));
        const auto at = static_cast<size_t>(rank);
        VORTEX_ASSIGN(said[at],
                      engine->teacher_force(request, continuation, recorder(chosen[at], plan.kv_heads.first), nullptr));
        return ok_status();
      };
      const Status done = on_ranks(*all, work);
      ASSERT_TRUE(done.ok()) << done.error().message;
      Chosen together;
      for (const Chosen& part : chosen) { together.insert(part.begin(), part.end()); }
      EXPECT_EQ(together, expected);
      for (const auto& of_rank : said) { EXPECT_EQ(of_rank, said[0]) << "ranks differ"; }
      for (size_t i = 0; i < log_probs.size(); ++i) { ASSERT_NEAR(said[0][i], log_probs[i], 2e-3F) << i; }
    }
  }
}

TEST(TensorParallel, ForcesAndStepsAsOneEngine) {
  const model::ModelConfig config = small_minimax();
  const model::Model model = random_model(config, 9);
  auto one = make_cpu_engine(model, small_options()).value();
  auto two = make_tensor_parallel_cpu_engine(model, small_options(), 2).value();
  ForcedRequest forced;
  forced.request.prompt = testing::random_tokens(100, kVocab, 3);
  forced.continuation = testing::random_tokens(20, kVocab, 4);
  ForcedOptions options;
  options.look_every = 5;
  for (Engine* engine : {one.get(), two.get()}) { ASSERT_TRUE(engine->set_policy(policy_of(config)).ok()); }
  const Forced expected = one->force_decode({&forced, 1}, options, nullptr).value()[0];
  const Forced got = two->force_decode({&forced, 1}, options, nullptr).value()[0];
  ASSERT_EQ(got.recall.size(), expected.recall.size());
  for (size_t i = 0; i < got.recall.size(); ++i) {
    EXPECT_EQ(got.recall[i].looks, expected.recall[i].looks);
    EXPECT_NEAR(got.recall[i].mass, expected.recall[i].mass, 1e-3);
  }
  EXPECT_EQ(got.top, expected.top);

  const auto stepper = two->stepper();
  const std::vector<int> lengths = {100, 50};
  ASSERT_TRUE(stepper->place(lengths, {}).ok());
  const auto seconds = stepper->run(3);
  ASSERT_TRUE(seconds.ok()) << seconds.error().message;
  EXPECT_GT(*seconds, 0.0);
  EXPECT_EQ(stepper->stats().value().decode_tokens, 6);
}

// Ranks of which the last one does `last` instead of what the others wait for. No such wait has to reach its limit.
Status others_wait_for_the_last(CpuRanks& all, const std::function<Status()>& last) {
  return on_ranks(all, [&](int rank) -> Status {
    if (rank + 1 == all.ranks()) { return last(); }
    std::vector<float> x(4, 1.0F);
    return all.all_reduce(rank, x);
  });
}

TEST(TensorParallel, NobodyWaitsForARankThatHasEnded) {
  struct Ending {
    Status last;
    Blame blame;
    std::string says;
  };
  const Ending endings[] = {{environment_error("lost"), Blame::kEnvironment, "lost"},
                            {candidate_error("refused"), Blame::kCandidate, "refused"},
                            {ok_status(), Blame::kInternal, "rank 2 of the model ended while rank"}};
  for (const Ending& ending : endings) {
    SCOPED_TRACE(ending.says);
    CpuRanks all(3);
    const Status done = others_wait_for_the_last(all, [&] { return ending.last; });
    ASSERT_FALSE(done.ok());
    EXPECT_EQ(done.error().blame, ending.blame);
    EXPECT_NE(done.error().message.find(ending.says), std::string::npos) << done.error().message;
    // What they hold is no longer alike: whoever asks again hears why, and nobody starts.
    bool started = false;
    const Status again = on_ranks(all, [&](int) -> Status {
      started = true;
      return ok_status();
    });
    ASSERT_FALSE(again.ok());
    EXPECT_NE(again.error().message.find(ending.says), std::string::npos) << again.error().message;
    EXPECT_FALSE(started);
  }
}

TEST(TensorParallel, WhatAllRefuseEndsNobody) {
  CpuRanks all(2);
  const Status refused = on_ranks(all, [](int) -> Status { return candidate_error("too long"); });
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().message, "too long");
  const Status next = others_wait_for_the_last(all, [&] {
    std::vector<float> x(4, 1.0F);
    return all.all_reduce(1, x);
  });
  EXPECT_TRUE(next.ok());
}

TEST(TensorParallel, AMissingRankIsNotWaitedForForEver) {
  CpuRanks all(2, 0.01);
  std::vector<float> x(4, 1.0F);
  const Status waited = all.all_reduce(0, x);
  ASSERT_FALSE(waited.ok());
  EXPECT_EQ(waited.error().blame, Blame::kEnvironment);
  EXPECT_NE(waited.error().message.find("rank 1 of the model has not come to exchange 1"), std::string::npos);
  EXPECT_FALSE(all.status().ok());
}

// A rank's engine that has nobody to exchange with leaves its computation with the reason, and does not go on with
// numbers that are none.
TEST(TensorParallel, AnEngineWhoseRanksHaveEndedSaysWhy) {
  const model::ModelConfig config = small_qwen3();
  const ShardPlan plan = plan_shard(config, 0, 2).value();
  const auto all = std::make_shared<CpuRanks>(2);
  const auto engine = CpuEngine::make(shard_model(random_model(config, 3), plan), small_options(),
                                      std::make_shared<const CpuRank>(CpuRank{all, plan}))
                          .value();
  all->end(environment_error("the other card is gone"));
  const auto generated = engine->generate(requests_of(2), nullptr);
  ASSERT_FALSE(generated.ok());
  EXPECT_EQ(generated.error().message, "the other card is gone");
  const auto stepped = engine->stepper()->admit(8);
  ASSERT_FALSE(stepped.ok());
  EXPECT_EQ(stepped.error().message, "the other card is gone");
}

// Prompts are computed once: by later calls, and by engines that find the file, they are only read.
TEST(TensorParallel, KeepsPrompts) {
  const testing::TempFolder folder;
  const model::ModelConfig config = small_qwen3();
  const model::Model model = random_model(config, 14);
  std::vector<Request> requests = requests_of(12);
  auto first = make_tensor_parallel_cpu_engine(model, small_options(), 2).value();
  const auto expected = tokens_of(*first, requests, nullptr);
  const auto with_prompts_of = [&](Engine& engine) {
    std::vector<Request> kept = requests;
    for (Request& request : kept) { request.prefix = engine.prefix(request.prompt, folder.path()).value(); }
    return kept;
  };
  requests = with_prompts_of(*first);
  auto second = make_tensor_parallel_cpu_engine(model, small_options(), 2).value();
  for (Engine* engine : {first.get(), second.get()}) {
    const std::vector<Request> kept = with_prompts_of(*engine);
    ASSERT_NE(kept[0].prefix, nullptr);
    ASSERT_TRUE(engine->set_policy(std::nullopt).ok());
    RunStats stats;
    EXPECT_EQ(tokens_of(*engine, kept, &stats), expected);
    EXPECT_EQ(stats.prefill_tokens, 0);
    ForcedRequest forced;
    forced.request = kept[2];
    forced.continuation = expected[2];
    const auto told = engine->force_decode({&forced, 1}, {}, &stats);
    ASSERT_TRUE(told.ok()) << told.error().message;
    EXPECT_EQ(stats.prefill_tokens, 0);
    for (size_t i = 0; i < expected[2].size(); ++i) { EXPECT_EQ((*told)[0].top[i][0], expected[2][i]) << i; }
    const auto stepper = engine->stepper();
    const std::vector<int> lengths = {210, 300};
    const std::vector<PrefixPtr> donors = {kept[2].prefix};
    ASSERT_TRUE(stepper->place(lengths, donors).ok());
    EXPECT_EQ(stepper->placed().real, 400);
  }
  EXPECT_TRUE(second->prefix(requests[0].prompt, folder.path()).value()->file) << "the second engine computed it again";
  requests[1].prefix = requests[0].prefix;
  const auto refused = second->generate(requests, nullptr);
  ASSERT_FALSE(refused.ok()) << "of another prompt";
  EXPECT_EQ(refused.error().blame, Blame::kInternal);
  EXPECT_TRUE(second->generate(with_prompts_of(*second), nullptr).ok()) << "nobody waited for anybody";
}

TEST(TensorParallel, SumsAreInTheOrderOfTheRanks) {
  constexpr int kRanks = 4;
  CpuRanks all(kRanks);
  const float values[kRanks] = {1e8F, 3.0F, -1e8F, 5.0F};
  std::vector<std::vector<float>> got(kRanks);
  const auto work = [&](int rank) -> Status {
    for (int call = 0; call < 100; ++call) {
      std::vector<float> x(static_cast<size_t>(1 + call % 7), values[rank]);
      VORTEX_TRY(all.all_reduce(rank, x));
      got[static_cast<size_t>(rank)].insert(got[static_cast<size_t>(rank)].end(), x.begin(), x.end());
    }
    return ok_status();
  };
  ASSERT_TRUE(on_ranks(all, work).ok());
  const float expected = ((1e8F + 3.0F) + -1e8F) + 5.0F;
  for (const auto& of_rank : got) {
    for (const float v : of_rank) { ASSERT_EQ(v, expected); }
  }
}

TEST(Shard, RanksCoverAModelOnce) {
  const model::ModelConfig config = small_minimax();
  const model::Model whole = random_model(config, 10);
  for (const int ranks : {1, 2, 8}) {
    int heads = 0;
    int vocab = 0;
    for (int rank = 0; rank < ranks; ++rank) {
      const ShardPlan plan = plan_shard(config, rank, ranks).value();
      const model::Model part = shard_model(whole, plan);
      EXPECT_EQ(plan.kv_heads.first, heads);
      EXPECT_EQ(plan.q_heads.first, heads * 6);
      EXPECT_EQ(plan.vocab.first, vocab);
      heads += plan.kv_heads.count;
      vocab += plan.vocab.count;
      const model::LayerWeights& layer = part.weights->layers[1];
      EXPECT_EQ(layer.k.shape, (std::vector<int64_t>{plan.kv_heads.count * 16, 64}));
      EXPECT_EQ(model::rows_of(layer.o), 64);
      EXPECT_EQ(model::cols_of(layer.o), plan.q_heads.count * 16);
      EXPECT_EQ(model::cols_of(layer.experts[3].down), 32 / ranks);
      std::vector<float> all(768);
      std::vector<float> own(768);
      model::read_row(whole.weights->layers[1].o, 5, all.data());
      model::read_row(layer.o, 5, own.data());
      for (int i = 0; i < plan.q_heads.count * 16; ++i) {
        ASSERT_EQ(own[static_cast<size_t>(i)], all[static_cast<size_t>(plan.q_heads.first * 16 + i)]);
      }
    }
    EXPECT_EQ(heads, 8);
    EXPECT_EQ(vocab, kVocab);
  }
}

// Blocks of 2 x 4 that share a scale go with their numbers.
TEST(Shard, ScalesGoWithTheirBlocks) {
  model::ModelConfig config = small_minimax();
  config.scale_block = {4, 4};
  std::vector<char> numbers(size_t{32} * 64);
  std::vector<float> factors(size_t{8} * 16);
  for (size_t i = 0; i < numbers.size(); ++i) { numbers[i] = static_cast<char>(0x30 + i % 16); }
  for (size_t i = 0; i < factors.size(); ++i) { factors[i] = static_cast<float>(i + 1); }
  const auto tensor = [&](int64_t rows, int64_t cols) {
    model::Tensor made{numbers.data(), vflow::Dtype::kFp8E4m3, {rows, cols}};
    made.scales = std::make_shared<model::Tensor>(
        model::Tensor{reinterpret_cast<const char*>(factors.data()), vflow::Dtype::kFp32, {rows / 4, cols / 4}});
    made.scale_block = {4, 4};
    return made;
  };
  const model::Model random = random_model(config, 11);
  model::Model whole = random;
  auto weights = std::make_shared<model::Weights>();
  weights->embedding = random.weights->embedding;
  weights->final_norm = random.weights->final_norm;
  weights->head = random.weights->head;
  weights->layers = random.weights->layers;
  weights->layers[0].experts[2] = {tensor(32, 64), tensor(32, 64), tensor(64, 32)};
  whole.weights = weights;
  const ShardPlan plan = plan_shard(config, 1, 4).value();
  const model::MlpWeights part = shard_model(whole, plan).weights->layers[0].experts[2];
  std::vector<float> all(64);
  std::vector<float> own(64);
  model::read_row(weights->layers[0].experts[2].up, 8 + 3, all.data());
  model::read_row(part.up, 3, own.data());
  EXPECT_EQ(own, all);
  model::read_row(weights->layers[0].experts[2].down, 21, all.data());
  model::read_row(part.down, 21, own.data());
  for (size_t i = 0; i < 8; ++i) { EXPECT_EQ(own[i], all[8 + i]); }
}

// Bytes of this process's own memory that are in use: not those of mapped files.
int64_t own_memory() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("RssAnon:")) { return std::stoll(line.substr(8)) * 1024; }
  }
  ADD_FAILURE() << "no RssAnon";
  return 0;
}

// A layer of MiniMax-M2's experts in fp8, 3.6 GB, as a file of holes.
struct Checkpoint {
  static constexpr int64_t kHidden = 3072;
  static constexpr int64_t kInner = 1536;
  static constexpr int64_t kBlock = 128;
  static constexpr int kExperts = 256;
  static constexpr int64_t kMatrix = kHidden * kInner;

  explicit Checkpoint(const std::filesystem::path& path) {
    std::ofstream(path).put('\0');
    std::filesystem::resize_file(path, static_cast<uintmax_t>(kExperts * 3 * kMatrix));
    // 1 in row 5 of the eighth expert's down projection, in the second half of its columns.
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(7 * 3 * kMatrix + 2 * kMatrix + 5 * kInner + kInner / 2 + 3);
    file.put(0x38);
    file.close();
    config = small_minimax();
    config.num_layers = 1;
    config.hidden_size = kHidden;
    config.scale_block = {kBlock, kBlock};
    config.experts->layers = {true};
    config.experts->count = kExperts;
    config.experts->inner = kInner;
    auto weights = std::make_shared<model::Weights>();
    weights->files.push_back(MappedFile::open(path).value());
    const char* at = weights->files[0].bytes().data();
    weights->layers.emplace_back();
    for (int i = 0; i < kExperts; ++i, at += 3 * kMatrix) {
      weights->layers[0].experts.push_back({matrix(at, kInner, kHidden), matrix(at + kMatrix, kInner, kHidden),
                                            matrix(at + 2 * kMatrix, kHidden, kInner)});
    }
    whole.config = config;
    whole.weights = std::move(weights);
  }

  model::Tensor matrix(const char* data, int64_t rows, int64_t cols) const {
    model::Tensor made{data, vflow::Dtype::kFp8E4m3, {rows, cols}};
    made.scales = std::make_shared<model::Tensor>(model::Tensor{
        reinterpret_cast<const char*>(factors.data()), vflow::Dtype::kFp32, {rows / kBlock, cols / kBlock}});
    made.scale_block = {kBlock, kBlock};
    return made;
  }

  std::vector<float> factors = std::vector<float>(kMatrix / kBlock / kBlock, 2.0F);
  model::ModelConfig config;
  model::Model whole;
};

// A rank reads its part from the file, a bounded piece at a time, in each form that engines keep: nobody holds a copy.
TEST(Shard, TakesNoMemoryOfItsOwn) {
  constexpr int64_t kAllowed = int64_t{16} << 20;  // of 1.2 GB that the columns of both ranks are
  constexpr size_t kPiece = size_t{1} << 20;
  const testing::TempFolder folder;
  const Checkpoint checkpoint(folder.path() / "experts");
  const int64_t before = own_memory();
  std::vector<model::Model> parts;
  for (int rank = 0; rank < 2; ++rank) {
    parts.push_back(shard_model(checkpoint.whole, plan_shard(checkpoint.config, rank, 2).value()));
  }
  EXPECT_LT(own_memory() - before, kAllowed);
  const model::Tensor& down = parts[1].weights->layers[0].experts[7].down;
  std::vector<char> buffer(kPiece);
  for (const model::RowForm form : {model::RowForm::kAsStored, model::RowForm::kBf16, model::RowForm::kFloat32}) {
    const size_t row = model::row_bytes(down, form);
    std::vector<char> sent;
    const auto send = [&](int64_t first, int64_t count) -> Status {
      EXPECT_EQ(sent.size(), static_cast<size_t>(first) * row);
      EXPECT_LE(static_cast<size_t>(count) * row, kPiece);
      model::copy_rows(down, first, count, form, buffer.data());
      sent.insert(sent.end(), buffer.begin(),
                  buffer.begin() + static_cast<std::ptrdiff_t>(static_cast<size_t>(count) * row));
      return ok_status();
    };
    ASSERT_TRUE(model::for_pieces(down, form, kPiece, send).ok());
    ASSERT_EQ(sent.size(), static_cast<size_t>(Checkpoint::kHidden) * row);
    std::vector<char> expected(row / (Checkpoint::kInner / 2));
    const float one = 2.0F;  // times its scale
    const cpu::Bf16 narrow = cpu::float_to_bf16(one);
    if (form == model::RowForm::kAsStored) { expected[0] = 0x38; }
    if (form == model::RowForm::kBf16) { std::memcpy(expected.data(), &narrow, sizeof(narrow)); }
    if (form == model::RowForm::kFloat32) { std::memcpy(expected.data(), &one, sizeof(one)); }
    const auto at = sent.begin() + static_cast<std::ptrdiff_t>(5 * row + 3 * expected.size());
    EXPECT_TRUE(std::equal(expected.begin(), expected.end(), at));
    EXPECT_EQ(std::count_if(sent.begin(), sent.end(), [](char c) { return c != 0; }),
              std::count_if(expected.begin(), expected.end(), [](char c) { return c != 0; }));
  }
  EXPECT_LT(own_memory() - before, 2 * kAllowed);
}

TEST(Shard, WhatCannotBeSplitIsTheCandidatesFault) {
  const auto refused = [](const model::ModelConfig& config, int ranks) {
    const auto plan = plan_shard(config, 0, ranks);
    return !plan.ok() && plan.error().blame == Blame::kCandidate;
  };
  EXPECT_TRUE(refused(small_qwen3(), 3));
  EXPECT_TRUE(refused(small_qwen3(), 0));
  EXPECT_TRUE(refused(small_qwen3(), 16));
  model::ModelConfig fp8 = small_minimax();
  fp8.scale_block = {16, 16};
  EXPECT_FALSE(refused(fp8, 2));
  EXPECT_TRUE(refused(fp8, 4));
  model::ModelConfig latent = small_qwen3();
  latent.latent.emplace();
  EXPECT_TRUE(refused(latent, 2));
  model::ModelConfig odd = small_qwen3();
  odd.vocab_size = 500;
  EXPECT_EQ(plan_shard(odd, 1, 2).value().vocab.count, 500) << "the head is whole where it cannot be split";
}

}  // namespace
}  // namespace vortex::engine
