// Sparse decode through real policies.
#include "core/vflow/policy.h"

#include <gtest/gtest-spi.h>

#include <set>

#include "base/files.h"
#include "tests/core/engine/same_choice.h"
#include "tests/core/engine/support.h"

namespace vortex::engine {
namespace {

using nlohmann::json;
using testing::TinyModel;

constexpr int kVocab = 50;
constexpr int kContext = 400;
const TinyModel kShape{.layers = 3};

const char* const kPolicies[] = {"block_topk",   "quest",       "gqa_softmax_centroid", "lserve_subblock",
                                 "masked_quest", "approx_topk", "running_average",      "value_energy_gate"};

EngineOptions options_of(int threads, int max_batch, int64_t kv_memory_bytes = 0) {
  EngineOptions options;
  options.threads = threads;
  options.max_batch = max_batch;
  options.max_context = kContext;
  options.kv_memory_bytes = kv_memory_bytes;
  return options;
}

// An example policy with some of its configuration changed.
vflow::Policy load_policy(const std::string& name, const json& changes) {
  const std::string base = std::string(VORTEX_SOURCE_DIR) + "/examples/policies/" + name;
  json config = json::parse(read_file(base + ".json").value());
  config.merge_patch(changes);
  vflow::PolicySource source{read_file(base + ".py").value(), config.dump()};
  vflow::ModelGeometry geometry;
  geometry.layers = kShape.layers;
  geometry.num_q_heads = kShape.q_heads;
  geometry.num_kv_heads = kShape.kv_heads;
  geometry.head_dim = kShape.head_dim;
  geometry.max_context = kContext;
  vflow::CheckReport report = vflow::check_policy(source, geometry);
  EXPECT_TRUE(report.policy.has_value()) << name << "\n" << vflow::render(report.diagnostics);
  return std::move(*report.policy);
}

json budget(int pages, const json& dense_layers = json::array(), int block_size = 16) {
  return {{"vortex_topk_val", pages},          {"vortex_topk_ratio", 0.0},       {"vortex_schedule_policy", nullptr},
          {"vortex_block_size", block_size},   {"vortex_block_reserved_bos", 1}, {"vortex_block_reserved_eos", 2},
          {"vortex_layers_skip", dense_layers}};
}

void set_policy(CpuEngine& engine, const vflow::Policy& policy) {
  const Status status = engine.set_policy(policy);
  ASSERT_TRUE(status.ok()) << status.error().message;
  testing::poison(engine.pool(), engine.model().config);
}

std::vector<Request> long_requests() {
  std::vector<Request> requests;
  for (int length : {300, 17, 256, 128, 222}) {
    Request request;
    request.prompt = testing::random_tokens(length, kVocab, static_cast<uint64_t>(length));
    request.seed = static_cast<uint64_t>(length);
    request.max_new_tokens = 40;
    request.ignore_eos = true;
    if (length % 2 == 1) { request.sampling = {1.0, 0.95, 0}; }
    requests.push_back(request);
  }
  return requests;
}

std::vector<std::vector<int32_t>> run(CpuEngine& engine, const std::vector<Request>& requests,
                                      RunStats* stats = nullptr) {
  const auto outputs = engine.generate(requests, stats);
  EXPECT_TRUE(outputs.ok()) << (outputs.ok() ? "" : outputs.error().message);
  std::vector<std::vector<int32_t>> tokens;
  for (const Output& output : *outputs) { tokens.push_back(output.tokens); }
  return tokens;
}

std::vector<float> forced(CpuEngine& engine, const Request& request, RunStats* stats = nullptr,
                          const AttentionObserver& observer = {}) {
  const auto continuation = testing::random_tokens(30, kVocab, 9);
  auto log_probs = engine.teacher_force(request, continuation, observer, stats);
  EXPECT_TRUE(log_probs.ok()) << (log_probs.ok() ? "" : log_probs.error().message);
  return std::move(*log_probs);
}

TEST(SparseDecode, BudgetForAllPagesIsDenseToTheBit) {
  auto engine = testing::make_engine(kShape, options_of(1, 5));
  const auto requests = long_requests();
  const auto dense_tokens = run(*engine, requests);
  const auto dense_log_probs = forced(*engine, requests[0]);
  for (const char* name : kPolicies) {
    SCOPED_TRACE(name);
    set_policy(*engine, load_policy(name, budget(25)));
    RunStats stats;
    EXPECT_EQ(run(*engine, requests, &stats), dense_tokens);
    EXPECT_EQ(stats.pages_attended, stats.pages_visible);
    EXPECT_EQ(stats.dense_layer_calls, 0);
    EXPECT_EQ(forced(*engine, requests[0]), dense_log_probs);
  }
}

TEST(SparseDecode, BatchThreadsAndCompanyDoNotChangeABit) {
  auto engine = testing::make_engine(kShape, options_of(1, 5));
  auto threaded = testing::make_engine(kShape, options_of(2, 2));
  const auto requests = long_requests();
  const auto dense = run(*engine, requests);
  for (const char* name : kPolicies) {
    SCOPED_TRACE(name);
    const vflow::Policy policy = load_policy(name, budget(3));
    set_policy(*engine, policy);
    const auto together = run(*engine, requests);
    EXPECT_NE(together, dense) << "the budget changed nothing";
    for (size_t i = 0; i < requests.size(); ++i) { EXPECT_EQ(run(*engine, {requests[i]})[0], together[i]) << i; }
    set_policy(*threaded, policy);
    EXPECT_EQ(run(*threaded, requests), together);
  }
}

TEST(SparseDecode, PoolThatRunsDryChangesNothing) {
  const vflow::Policy policy = load_policy("running_average", budget(3));
  auto roomy = testing::make_engine(kShape, options_of(1, 5));
  const int64_t bytes = page_bytes(roomy->model().config, 16, &policy);
  auto tight = testing::make_engine(kShape, options_of(1, 5, 40 * bytes));
  set_policy(*roomy, policy);
  set_policy(*tight, policy);
  EXPECT_EQ(tight->pool().pages(), 40);
  RunStats roomy_stats;
  RunStats tight_stats;
  const auto expected = run(*roomy, long_requests(), &roomy_stats);
  EXPECT_EQ(run(*tight, long_requests(), &tight_stats), expected);
  EXPECT_GT(tight_stats.decode_steps, roomy_stats.decode_steps);
  EXPECT_EQ(tight_stats.pages_attended, roomy_stats.pages_attended);
}

TEST(SparseDecode, CountsWhatWasSelected) {
  auto engine = testing::make_engine(kShape, options_of(1, 5));
  set_policy(*engine, load_policy("block_topk", budget(4, {1})));
  Request request;
  request.prompt = testing::random_tokens(158, kVocab, 1);
  request.max_new_tokens = 5;  // fed at lengths 159..162: pages 10, 10, 11, 11
  request.ignore_eos = true;
  RunStats stats;
  run(*engine, {request}, &stats);
  EXPECT_EQ(stats.sparse_layer_calls, 2 * 4);
  EXPECT_EQ(stats.dense_layer_calls, 4);
  const int64_t visible = 2 * (10 + 10 + 11 + 11);
  const int64_t attended = 2 * 4 * 7;  // kv heads, steps, 1 + 4 + 2 pages
  EXPECT_EQ(stats.pages_visible, (std::vector<int64_t>{visible, visible, visible}));
  EXPECT_EQ(stats.pages_attended, (std::vector<int64_t>{attended, visible, attended}));
  const int64_t token = 2 * 16 * 2;  // k and v, head_dim, bf16
  const int64_t dense_bytes = 2 * (159 + 160 + 161 + 162) * token;
  const int64_t free_slots = 1 + 0 + 15 + 14;
  const int64_t attended_bytes = (attended * 16 - 2 * free_slots) * token;
  const int64_t scored_bytes = 2 * (8 + 8 + 9 + 9) * 16 * 2;  // one bf16 centroid for each block but the last two
  EXPECT_EQ(stats.kv_bytes_read, dense_bytes + 2 * (attended_bytes + scored_bytes));
}

TEST(SparseDecode, ObserverSeesTheSelection) {
  auto engine = testing::make_engine(kShape, options_of(1, 1));
  set_policy(*engine, load_policy("quest", budget(4, {0})));
  int sparse = 0;
  const AttentionObserver observer = [&](const AttentionView& view) {
    ASSERT_EQ(view.selection == nullptr, view.layer == 0);
    if (view.selection == nullptr) { return; }
    ++sparse;
    const int blocks = (view.seq_lens[0] + 15) / 16;
    for (int row = 0; row < kShape.kv_heads; ++row) {
      const int count = view.selection->counts[static_cast<size_t>(row)];
      const int32_t* chosen = &view.selection->blocks[static_cast<size_t>(row * view.selection->stride)];
      EXPECT_EQ(count, 7);
      EXPECT_TRUE(std::is_sorted(chosen, chosen + count));
      EXPECT_EQ(std::set<int32_t>(chosen, chosen + count).size(), 7U);
      EXPECT_EQ(chosen[0], 0);
      EXPECT_EQ(chosen[count - 2], blocks - 2);
      EXPECT_EQ(chosen[count - 1], blocks - 1);
    }
  };
  forced(*engine, long_requests()[0], nullptr, observer);
  EXPECT_EQ(sparse, 2 * 29);
}

// What the tests of other devices hold their engines to: it passes here, where nothing is rounded otherwise, and a page
// that took the place of a better one does not get by.
TEST(SparseDecode, ChosenPagesAreThoseOfTheQueriesAndKeysThatAnObserverSees) {
  auto engine = testing::make_engine(kShape, options_of(1, 1));
  for (const char* name : {"block_topk", "quest", "gqa_softmax_centroid"}) {
    SCOPED_TRACE(name);
    const vflow::Policy policy = load_policy(name, budget(4, {0}));
    set_policy(*engine, policy);
    SameChoice choices(policy);
    bool tampered = false;
    const AttentionObserver observer = [&](const AttentionView& view) {
      if (view.selection == nullptr) { return; }
      choices.expect(view);
      if (tampered || view.seq_lens[0] < 320) { return; }
      tampered = true;
      compile::Selection wrong =
          *view.selection;  // the competing pages that were left out, as many as there are places
      const std::set<int32_t> taken(wrong.blocks.begin(), wrong.blocks.begin() + wrong.counts[0]);
      std::vector<int32_t> others;
      for (int32_t page = 1; others.size() < 4; ++page) {
        if (!taken.contains(page)) { others.push_back(page); }
      }
      std::copy(others.begin(), others.end(), wrong.blocks.begin() + 1);
      AttentionView changed = view;
      changed.selection = &wrong;
      ::testing::TestPartResultArray failures;
      {
        const ::testing::ScopedFakeTestPartResultReporter reporter(&failures);
        choices.expect(changed);
      }
      EXPECT_GT(failures.size(), 0) << "worse pages got by";
    };
    forced(*engine, long_requests()[0], nullptr, observer);
    EXPECT_TRUE(tampered);
    EXPECT_GT(choices.scored(), 0);
    EXPECT_EQ(choices.swapped(), 4) << "those of the changed selection, and no other";
  }
}

std::vector<ForcedRequest> forced_requests() {
  std::vector<ForcedRequest> requests;
  for (const Request& request : long_requests()) {
    ForcedRequest forced;
    forced.request = request;
    forced.continuation = testing::random_tokens(5 + static_cast<int>(requests.size()) * 7, kVocab, 9);
    for (const int32_t token : forced.continuation) { forced.wanted.push_back({token, (token + 1) % kVocab, 3}); }
    requests.push_back(std::move(forced));
  }
  return requests;
}

TEST(ForcedDecode, TellsWhatTeacherForcingTells) {
  auto engine = testing::make_engine(kShape, options_of(1, 2));
  set_policy(*engine, load_policy("quest", budget(4, {0})));
  const auto requests = forced_requests();
  RunStats stats;
  const auto forced = engine->force_decode(requests, {3, 0}, &stats);
  ASSERT_TRUE(forced.ok()) << forced.error().message;
  ASSERT_EQ(forced->size(), requests.size());
  EXPECT_GT(stats.sparse_layer_calls, 0);
  for (size_t r = 0; r < requests.size(); ++r) {
    SCOPED_TRACE(r);
    const ForcedRequest& request = requests[r];
    const Forced& told = (*forced)[r];
    const auto whole = engine->teacher_force(request.request, request.continuation, {}, nullptr).value();
    ASSERT_EQ(told.top.size(), request.continuation.size());
    for (size_t at = 0; at < request.continuation.size(); ++at) {
      const float* row = &whole[at * kVocab];
      EXPECT_EQ(told.log_probs[at], row[request.continuation[at]]);
      ASSERT_EQ(told.wanted[at].size(), 3U);
      EXPECT_EQ(told.wanted[at][1], row[(request.continuation[at] + 1) % kVocab]);
      EXPECT_EQ(told.wanted[at][2], row[3]);
      ASSERT_EQ(told.top[at].size(), 3U);
      EXPECT_EQ(told.top[at][0], std::max_element(row, row + kVocab) - row);
      EXPECT_EQ(told.top_log_probs[at][0], row[told.top[at][0]]);
      EXPECT_GE(told.top_log_probs[at][0], told.top_log_probs[at][1]);
      EXPECT_GE(told.top_log_probs[at][1], told.top_log_probs[at][2]);
    }
  }
}

TEST(ForcedDecode, LooksAreOfTheRequestAlone) {
  auto engine = testing::make_engine(kShape, options_of(1, 5));
  auto narrow = testing::make_engine(kShape, options_of(1, 1));
  const vflow::Policy policy = load_policy("quest", budget(4, {0}));
  set_policy(*engine, policy);
  set_policy(*narrow, policy);
  const auto requests = forced_requests();
  const auto together = engine->force_decode(requests, {1, 3}, nullptr).value();
  const auto alone = narrow->force_decode(requests, {1, 3}, nullptr).value();
  const auto heads = static_cast<size_t>(kShape.kv_heads);
  for (size_t r = 0; r < requests.size(); ++r) {
    SCOPED_TRACE(r);
    ASSERT_EQ(together[r].recall.size(), 3 * heads);
    const auto looks = static_cast<int64_t>((requests[r].continuation.size() - 1 + 2) / 3);  // steps 0, 3, 6, ...
    for (size_t i = 0; i < together[r].recall.size(); ++i) {
      const AttentionRecall& recall = together[r].recall[i];
      EXPECT_EQ(recall.looks, i < heads ? 0 : looks);
      if (recall.looks == 0) { continue; }
      EXPECT_GT(recall.mass, 0);
      EXPECT_LE(recall.mass, 1 + 1e-12);
      EXPECT_LE(recall.index_chosen, 1);
      EXPECT_EQ(recall.mass, alone[r].recall[i].mass);
      EXPECT_EQ(recall.mass_chosen, alone[r].recall[i].mass_chosen);
      EXPECT_EQ(recall.index, alone[r].recall[i].index);
    }
    EXPECT_EQ(together[r].log_probs, alone[r].log_probs);
  }
  // The longest prompt has many more pages than the policy attends, the shortest none to spare.
  EXPECT_LT(together[0].recall[heads].mass, 1);
  EXPECT_EQ(together[1].recall[heads].mass_chosen, 1);
}

TEST(ForcedDecode, RefusesWhatDoesNotFit) {
  auto engine = testing::make_engine(kShape, options_of(1, 1));
  ForcedRequest request = forced_requests()[1];
  request.wanted.pop_back();
  EXPECT_FALSE(engine->force_decode({&request, 1}, {}, nullptr).ok());
  request.wanted.clear();
  EXPECT_TRUE(engine->force_decode({&request, 1}, {}, nullptr).ok());
  EXPECT_FALSE(engine->force_decode({&request, 1}, {kMaxTopTokens + 1, 0}, nullptr).ok());
  request.continuation.clear();
  EXPECT_FALSE(engine->force_decode({&request, 1}, {}, nullptr).ok());
}

TEST(SparseDecode, OneSnapshotServesEveryBlockSize) {
  testing::TempFolder folder;
  auto engine = testing::make_engine(kShape, options_of(1, 2));
  Request request = long_requests()[0];
  request.prefix = engine->prefix(request.prompt, folder.path()).value();
  const auto dense = run(*engine, {request});
  for (int block_size : {8, 16, 32}) {
    SCOPED_TRACE(block_size);
    set_policy(*engine, load_policy("quest", budget(100, json::array(), block_size)));
    EXPECT_EQ(engine->pool().block_size(), block_size);
    EXPECT_EQ(run(*engine, {request}), dense);
    set_policy(*engine, load_policy("quest", budget(3, json::array(), block_size)));
    Request fresh = request;
    fresh.prefix = nullptr;
    EXPECT_EQ(run(*engine, {request}), run(*engine, {fresh}));
  }
}

TEST(SparseDecode, PoliciesLeaveNothingBehind) {
  auto engine = testing::make_engine(kShape, options_of(1, 5));
  const auto requests = long_requests();
  const auto dense = run(*engine, requests);
  const vflow::Policy policy = load_policy("running_average", budget(3));
  ASSERT_TRUE(engine->set_policy(policy).ok());
  const auto sparse = run(*engine, requests);
  EXPECT_EQ(run(*engine, requests), sparse) << "pages used before";
  ASSERT_TRUE(engine->set_policy(load_policy("quest", budget(3))).ok());
  run(*engine, requests);
  ASSERT_TRUE(engine->set_policy(policy).ok());
  EXPECT_EQ(run(*engine, requests), sparse);
  ASSERT_TRUE(engine->set_policy(std::nullopt).ok());
  EXPECT_EQ(run(*engine, requests), dense);
}

TEST(SetPolicy, RefusesFieldsThatDoNotFit) {
  const vflow::Policy policy = load_policy("quest", budget(3));
  const model::ModelConfig config = testing::make_engine(kShape, options_of(1, 1))->model().config;
  const int64_t dense = page_bytes(config, 16, nullptr);
  const int64_t sparse = page_bytes(config, 16, &policy);
  EXPECT_EQ(dense, 3 * 2 * 2 * 16 * 16 * 2);      // layers, kv heads, k and v, tokens, head_dim, bf16
  EXPECT_EQ(sparse - dense, 3 * 2 * 2 * 16 * 2);  // layers, kv heads, two fields of [1, head_dim]
  auto engine = testing::make_engine(kShape, options_of(1, 1, 25 * dense));
  const Status status = engine->set_policy(policy);
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().blame, Blame::kCandidate);
  EXPECT_NE(status.error().message.find(std::to_string(25 * sparse)), std::string::npos) << status.error().message;
  EXPECT_NE(status.error().message.find(std::to_string(25 * dense)), std::string::npos) << status.error().message;
  Request request;
  request.prompt = {2, 3, 4};
  EXPECT_TRUE(engine->generate({request}, nullptr).ok()) << "the engine is usable after a refusal";
}

TEST(SetPolicy, RefusesAPolicyForAnotherModel) {
  auto engine = testing::make_engine({.layers = 3, .head_dim = 32}, options_of(1, 1));
  const Status status = engine->set_policy(load_policy("quest", budget(3)));
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().blame, Blame::kInternal);
}

TEST(SetPolicy, RefusesKvTypesThatThePoolLacks) {
  auto engine = testing::make_engine(kShape, options_of(1, 1));
  vflow::Policy policy = load_policy("quest", budget(3));
  policy.config.kv_dtype = vflow::Dtype::kFp8E4m3;
  const Status status = engine->set_policy(policy);
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().blame, Blame::kCandidate);
}

}  // namespace
}  // namespace vortex::engine
