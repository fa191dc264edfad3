// Forced decoding on the device: what teacher forcing tells, and the CPU engine's recall.
#include <cmath>

#include "core/engine/packed_model.h"
#include "core/engine/recall.h"
#include "tests/core/engine/cuda/support.h"
#include "tests/core/engine/same_choice.h"

namespace vortex::engine {
namespace {

constexpr int kContext = 1024;
constexpr size_t kVocab = 1024;
constexpr size_t kHeads = 4;

std::vector<ForcedRequest> forced_requests() {
  std::vector<ForcedRequest> requests;
  for (const int prompt : {700, 30, 256, 511, 1}) {
    ForcedRequest forced;
    forced.request.prompt = random_tokens(prompt, static_cast<uint64_t>(prompt));
    forced.continuation = random_tokens(8 + static_cast<int>(requests.size()) * 9, 3);
    for (const int32_t token : forced.continuation) { forced.wanted.push_back({token, 17, 900}); }
    requests.push_back(std::move(forced));
  }
  return requests;
}

std::vector<Forced> force(Engine& engine, const std::vector<ForcedRequest>& requests, const ForcedOptions& options,
                          RunStats* stats = nullptr) {
  auto forced = engine.force_decode(requests, options, stats);
  EXPECT_TRUE(forced.ok()) << (forced.ok() ? "" : forced.error().message);
  return forced.ok() ? std::move(*forced) : std::vector<Forced>();
}

TEST_F(CudaEngineTest, ForcedDecodingTellsWhatTeacherForcingTells) {
  const auto engine = chain_engine(options_of(3, kContext));
  ASSERT_TRUE(engine->set_policy(load_policy("block_topk", budget(6, {0}), kContext)).ok());
  const std::vector<ForcedRequest> requests = forced_requests();
  RunStats stats;
  const std::vector<Forced> forced = force(*engine, requests, {4, 0}, &stats);
  ASSERT_EQ(forced.size(), requests.size());
  EXPECT_GT(stats.sparse_layer_calls, 0);
  for (size_t r = 0; r < requests.size(); ++r) {
    SCOPED_TRACE(r);
    const ForcedRequest& request = requests[r];
    const auto whole = engine->teacher_force(request.request, request.continuation, {}, nullptr).value();
    for (size_t at = 0; at < request.continuation.size(); ++at) {
      const float* row = &whole[at * kVocab];
      EXPECT_NEAR(forced[r].log_probs[at], row[request.continuation[at]], 2e-5);
      ASSERT_EQ(forced[r].wanted[at].size(), 3U);
      EXPECT_NEAR(forced[r].wanted[at][2], row[900], 2e-5);
      ASSERT_EQ(forced[r].top[at].size(), 4U);
      EXPECT_EQ(forced[r].top[at][0], std::max_element(row, row + kVocab) - row);
      EXPECT_NEAR(forced[r].top_log_probs[at][3], row[forced[r].top[at][3]], 2e-5);
      for (const AttentionRecall& recall : forced[r].recall) { EXPECT_EQ(recall.looks, 0); }
    }
  }
}

TEST_F(CudaEngineTest, ForcedDecodingDependsOnTheRequestAlone) {
  const auto wide = chain_engine(options_of(8, kContext));
  const auto narrow = chain_engine(options_of(1, kContext));
  const vflow::Policy policy = load_policy("quest", budget(6, {0}), kContext);
  ASSERT_TRUE(wide->set_policy(policy).ok());
  ASSERT_TRUE(narrow->set_policy(policy).ok());
  const std::vector<Forced> together = force(*wide, forced_requests(), {2, 4});
  const std::vector<Forced> alone = force(*narrow, forced_requests(), {2, 4});
  ASSERT_EQ(together.size(), alone.size());
  for (size_t r = 0; r < together.size(); ++r) {
    EXPECT_EQ(together[r].log_probs, alone[r].log_probs);
    EXPECT_EQ(together[r].top, alone[r].top);
    for (size_t i = 0; i < together[r].recall.size(); ++i) {
      EXPECT_EQ(together[r].recall[i].mass, alone[r].recall[i].mass);
      EXPECT_EQ(together[r].recall[i].index_chosen, alone[r].recall[i].index_chosen);
      EXPECT_EQ(together[r].recall[i].looks, alone[r].recall[i].looks);
    }
  }
}

// Recall on the device is held to the CPU engine's in three parts, none of which a near tie can upset. Queries and keys
// differ between the devices by bf16 rounding, so a page with nearly the last chosen one's score may be chosen in its
// place, and on the prompts below a single page may hold most of what a head looks at: two engines' recall may differ
// by as much as that page holds, and no bound tells that from a fault.

// Requests long enough to leave pages out, and continuations that fill some.
std::vector<ForcedRequest> long_requests() {
  std::vector<ForcedRequest> requests;
  for (const int prompt : {700, 511, 256, 1}) {
    ForcedRequest forced;
    forced.request.prompt = random_tokens(prompt, static_cast<uint64_t>(prompt));
    forced.continuation = random_tokens(70, 3 + requests.size());
    requests.push_back(std::move(forced));
  }
  return requests;
}

// One: from the queries and keys that the device has, it chooses what the policy's CPU backend chooses, and adds up
// what the host adds up.
TEST_F(CudaEngineTest, RecallIsOfThePagesThatTheCpuWouldChooseAndAddedUpAsThere) {
  const auto engine = chain_engine(options_of(4, kContext));
  ASSERT_NE(engine, nullptr);
  const model::ModelConfig& config = engine->model().config;
  const auto scale = static_cast<double>(attention_scale(config));
  const std::vector<ForcedRequest> requests = long_requests();
  constexpr int kEvery = 2;
  for (const char* name : {"block_topk", "quest"}) {
    SCOPED_TRACE(name);
    const vflow::Policy policy = load_policy(name, budget(6, {0}), kContext);
    ASSERT_TRUE(engine->set_policy(policy).ok());
    const std::vector<Forced> device = force(*engine, requests, {1, kEvery});
    ASSERT_EQ(device.size(), requests.size());
    SameChoice choices(policy);
    for (size_t r = 0; r < requests.size(); ++r) {
      SCOPED_TRACE(::testing::Message() << "request " << r);
      const Request& request = requests[r].request;
      std::vector<AttentionRecall> host(device[r].recall.size());
      const AttentionObserver observer = [&](const AttentionView& view) {
        if (view.selection == nullptr) { return; }
        SCOPED_TRACE(::testing::Message() << "layer " << view.layer << ", " << view.seq_lens[0] << " tokens");
        choices.expect(view);
        if ((view.seq_lens[0] - static_cast<int>(request.prompt.size()) - 1) % kEvery != 0) { return; }
        AttentionRecall* const sums[] = {&host[static_cast<size_t>(view.layer) * kHeads]};
        add_look(view, {policy.config.reserved_bos, policy.config.reserved_eos}, scale, sums);
      };
      ASSERT_TRUE(engine->teacher_force(request, requests[r].continuation, observer, nullptr).ok());
      finish_looks(host);
      for (size_t i = 0; i < host.size(); ++i) {
        SCOPED_TRACE(::testing::Message() << "layer " << i / kHeads << " head " << i % kHeads);
        const AttentionRecall& a = device[r].recall[i];
        const AttentionRecall& b = host[i];
        EXPECT_EQ(a.looks, b.looks);
        EXPECT_EQ(a.looks == 0, i < kHeads) << "layer 0 is dense";
        if (a.looks == 0) { continue; }
        EXPECT_NEAR(a.mass, b.mass, 1e-3);
        EXPECT_NEAR(a.mass_chosen, b.mass_chosen, 1e-3);
        // At one look one page may hold as much as the next one, to rounding.
        const double one = 1.0 / (6.0 * static_cast<double>(a.looks)) + 1e-6;
        EXPECT_NEAR(a.index, b.index, one);
        EXPECT_NEAR(a.index_chosen, b.index_chosen, one);
      }
    }
    EXPECT_GT(choices.scored(), 1000);
    EXPECT_LE(20 * choices.swapped(), choices.scored()) << "near ties are rare";
    RecordProperty(std::string(name) + "_swapped", choices.swapped());
  }
}

// What one engine has at the last step of a forced request, with dense attention: queries of all steps, keys and values
// of all tokens, by layer.
struct Inputs {
  std::vector<std::vector<float>> queries;
  std::vector<std::vector<float>> keys;
  std::vector<std::vector<float>> values;
};

std::vector<float> tokens_in_order(const AttentionView& view, const compile::PagedTensor& tensor) {
  const auto* from = static_cast<const cpu::Bf16*>(tensor.data);
  std::vector<float> out;
  for (int head = 0; head < tensor.kv_heads; ++head) {
    for (int token = 0; token < view.seq_lens[0]; ++token) {
      const int64_t page = view.block_table[token / tensor.rows];
      const int64_t at = ((page * tensor.kv_heads + head) * tensor.rows + token % tensor.rows) * tensor.cols;
      for (int i = 0; i < tensor.cols; ++i) { out.push_back(cpu::bf16_to_float(from[at + i])); }
    }
  }
  return out;
}

Inputs inputs_of(Engine& engine, const ForcedRequest& forced) {
  const auto layers = static_cast<size_t>(engine.model().config.num_layers);
  Inputs inputs{std::vector<std::vector<float>>(layers), std::vector<std::vector<float>>(layers),
                std::vector<std::vector<float>>(layers)};
  const auto size = static_cast<size_t>(engine.model().config.num_q_heads * engine.model().config.head_dim);
  const AttentionObserver observer = [&](const AttentionView& view) {
    const auto layer = static_cast<size_t>(view.layer);
    inputs.queries[layer].insert(inputs.queries[layer].end(), view.q, view.q + size);
    inputs.keys[layer] = tokens_in_order(view, view.cache->k);
    inputs.values[layer] = tokens_in_order(view, view.cache->v);
  };
  EXPECT_TRUE(engine.teacher_force(forced.request, forced.continuation, observer, nullptr).ok());
  return inputs;
}

void expect_near(const std::vector<std::vector<float>>& actual, const std::vector<std::vector<float>>& expected) {
  ASSERT_EQ(actual.size(), expected.size());
  for (size_t layer = 0; layer < actual.size(); ++layer) {
    SCOPED_TRACE(::testing::Message() << "layer " << layer);
    ASSERT_EQ(actual[layer].size(), expected[layer].size());
    ASSERT_FALSE(expected[layer].empty());
    double error = 0;
    double norm = 0;
    for (size_t i = 0; i < actual[layer].size(); ++i) {
      error += std::pow(static_cast<double>(actual[layer][i] - expected[layer][i]), 2);
      norm += std::pow(static_cast<double>(expected[layer][i]), 2);
    }
    EXPECT_LT(std::sqrt(error / norm), 0.03);
  }
}

// Two: those queries and keys are the CPU engine's to rounding, where no choice of pages has come between: a prompt's K
// and V are those of dense attention under every policy.
TEST_F(CudaEngineTest, RecallIsOfTheCpuEnginesQueriesAndKeys) {
  const auto engine = chain_engine(options_of(1, kContext));
  ASSERT_NE(engine, nullptr);
  const auto cpu_engine = chain_engine_on_cpu(options_of(1, kContext));
  for (const ForcedRequest& forced : long_requests()) {
    SCOPED_TRACE(forced.request.prompt.size());
    const Inputs device = inputs_of(*engine, forced);
    const Inputs host = inputs_of(*cpu_engine, forced);
    expect_near(device.queries, host.queries);
    expect_near(device.keys, host.keys);
    expect_near(device.values, host.values);
  }
}

// Three: over all heads, where one swapped page counts little, the engines' recall is the same.
TEST_F(CudaEngineTest, RecallIsTheCpuEnginesOnTheMean) {
  const auto engine = chain_engine(options_of(5, kContext));
  ASSERT_NE(engine, nullptr);
  const auto cpu_engine = chain_engine_on_cpu(options_of(5, kContext));
  for (const char* name : {"block_topk", "quest"}) {
    SCOPED_TRACE(name);
    const vflow::Policy policy = load_policy(name, budget(6, {0}), kContext);
    ASSERT_TRUE(engine->set_policy(policy).ok());
    ASSERT_TRUE(cpu_engine->set_policy(policy).ok());
    const std::vector<Forced> device = force(*engine, forced_requests(), {1, 2});
    const std::vector<Forced> host = force(*cpu_engine, forced_requests(), {1, 2});
    ASSERT_EQ(device.size(), host.size());
    AttentionRecall apart;
    int rows = 0;
    for (size_t r = 0; r < device.size(); ++r) {
      ASSERT_EQ(device[r].recall.size(), host[r].recall.size());
      for (size_t i = 0; i < device[r].recall.size(); ++i) {
        const AttentionRecall& a = device[r].recall[i];
        const AttentionRecall& b = host[r].recall[i];
        EXPECT_EQ(a.looks, b.looks);
        if (a.looks == 0) { continue; }
        apart.mass += a.mass - b.mass;
        apart.mass_chosen += a.mass_chosen - b.mass_chosen;
        apart.index += a.index - b.index;
        apart.index_chosen += a.index_chosen - b.index_chosen;
        ++rows;
      }
    }
    ASSERT_GT(rows, 0);
    EXPECT_NEAR(apart.mass / rows, 0, 0.01);
    EXPECT_NEAR(apart.mass_chosen / rows, 0, 0.01);
    EXPECT_NEAR(apart.index / rows, 0, 0.01);
    EXPECT_NEAR(apart.index_chosen / rows, 0, 0.01);
  }
}

TEST_F(CudaEngineTest, EverythingAttendedIsRecalled) {
  const auto engine = chain_engine(options_of(5, kContext));
  ASSERT_TRUE(engine->set_policy(load_policy("block_topk", budget(64), kContext)).ok());
  for (const Forced& forced : force(*engine, forced_requests(), {1, 1})) {
    for (const AttentionRecall& recall : forced.recall) {
      EXPECT_GT(recall.looks, 0);
      EXPECT_NEAR(recall.mass, 1, 1e-6);
      EXPECT_NEAR(recall.mass_chosen, 1, 1e-6);
      EXPECT_EQ(recall.index, 1);
      EXPECT_EQ(recall.index_chosen, 1);
    }
  }
}

}  // namespace
}  // namespace vortex::engine
