// Models with latent attention or experts against decoders written from their definitions; and experts behind
// grouped-query attention, which have no test of their own elsewhere, against themselves.
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "base/files.h"
#include "core/engine/random_model.h"
#include "tests/core/engine/support.h"

namespace vortex::engine {
namespace {

using nlohmann::json;

const std::string kSource = VORTEX_SOURCE_DIR;
const std::string kCases = kSource + "/tests/cases/model/decoder_models.json";

EngineOptions decoder_options(int threads) {
  EngineOptions options;
  options.threads = threads;
  options.max_context = 512;
  options.max_batch = 4;
  return options;
}

// The largest distance between what the engine says and rows of the reference.
double distance(const std::vector<float>& log_probs, const json& rows) {
  double worst = 0;
  size_t at = 0;
  for (const json& row : rows) {
    for (const json& expected : row) {
      worst = std::max(worst, std::abs(static_cast<double>(log_probs.at(at++)) - expected.get<double>()));
    }
  }
  EXPECT_EQ(at, log_probs.size());
  return worst;
}

// A model of tests/cases/model/decoder_models.json with what decoder_reference.py says of it.
struct Referenced {
  testing::TempFolder folder;
  json expected;

  explicit Referenced(const std::string& name) {
    const std::string program = kSource + "/tests/core/engine/decoder_reference.py";
    const std::string command =
        "python3 '" + program + "' '" + kCases + "' " + name + " '" + folder.path().string() + "'";
    EXPECT_EQ(std::system(command.c_str()), 0) << command;
    expected = json::parse(read_file(folder.path() / "expected.json").value());
  }
};

TEST(Decoders, AgreeWithTheirDefinitionsAndNotWithCommonMistakes) {
  // A float32 sum that lands on the other side of a bf16 rounding step of a latent moves a logit by some 1e-3.
  constexpr double kTolerance = 0.01;
  const json cases = json::parse(read_file(kCases).value());
  int mistakes = 0;
  for (const json& one : cases["cases"]) {
    const std::string name = one["name"];
    SCOPED_TRACE(name);
    const Referenced reference(name);
    auto model = model::load_model(reference.folder.path());
    ASSERT_TRUE(model.ok()) << model.error().message;
    auto engine = CpuEngine::make(std::move(*model), decoder_options(1));
    ASSERT_TRUE(engine.ok()) << engine.error().message;
    testing::poison((*engine)->pool(), (*engine)->model().config);
    Request request;
    request.prompt = reference.expected["prompt"].get<std::vector<int32_t>>();
    request.max_new_tokens = one["greedy"];
    request.ignore_eos = true;
    const auto continuation = reference.expected["continuation"].get<std::vector<int32_t>>();
    const auto log_probs = (*engine)->teacher_force(request, continuation, {}, nullptr);
    ASSERT_TRUE(log_probs.ok()) << log_probs.error().message;
    EXPECT_LT(distance(*log_probs, reference.expected["log_probs"]), kTolerance);
    const auto outputs = (*engine)->generate({request}, nullptr);
    ASSERT_TRUE(outputs.ok());
    EXPECT_EQ((*outputs)[0].tokens, reference.expected["greedy"].get<std::vector<int32_t>>());
    for (const auto& [mistake, rows] : reference.expected["mistakes"].items()) {
      EXPECT_GT(distance(*log_probs, rows), 20 * kTolerance) << mistake;
      ++mistakes;
    }
  }
  EXPECT_GE(mistakes, 26);
}

// MiniMax-M2's kind, small.
model::ModelConfig minimax_config() {
  model::ModelConfig config;
  config.architecture = "MiniMaxM2ForCausalLM";
  config.hidden_size = 64;
  config.num_layers = 2;
  config.num_q_heads = 12;
  config.num_kv_heads = 2;
  config.head_dim = 32;
  config.rotated = 16;
  config.qk_norm = model::QkNorm::kAllHeads;
  config.intermediate_size = 24;
  config.vocab_size = 96;
  config.max_position_embeddings = 4096;
  config.experts.emplace();
  config.experts->layers = {true, true};
  config.experts->count = 8;
  config.experts->per_token = 2;
  config.experts->inner = 24;
  config.experts->score = model::ExpertScore::kSigmoid;
  config.experts->bias = true;
  config.experts->normalised = true;
  return config;
}

TEST(Decoders, ExpertsBehindGroupedAttentionRunPoliciesAndNeitherThreadsNorCompanyChangeABit) {
  const model::ModelConfig config = minimax_config();
  auto one = CpuEngine::make(random_model(config, 3), decoder_options(1)).value();
  auto three = CpuEngine::make(random_model(config, 3), decoder_options(3)).value();
  std::vector<Request> requests;
  for (const int length : {300, 17, 256}) {
    Request request;
    request.prompt = testing::random_tokens(length, 96, static_cast<uint64_t>(length));
    request.max_new_tokens = 30;
    request.ignore_eos = true;
    requests.push_back(request);
  }
  const auto tokens_of = [&](CpuEngine& engine) {
    std::vector<std::vector<int32_t>> tokens;
    const std::vector<Output> outputs = engine.generate(requests, nullptr).value();
    for (const Output& output : outputs) { tokens.push_back(output.tokens); }
    return tokens;
  };
  const auto dense = tokens_of(*one);
  EXPECT_EQ(tokens_of(*three), dense);
  for (size_t i = 0; i < requests.size(); ++i) {
    EXPECT_EQ(one->generate({requests[i]}, nullptr).value()[0].tokens, dense[i]) << i;
  }
  const auto quest_of = [&](int pages) {
    return testing::example_policy("quest", config, {{"vortex_block_size", 16}, {"vortex_topk_val", pages}});
  };
  ASSERT_TRUE(one->set_policy(quest_of(30)).ok());
  EXPECT_EQ(tokens_of(*one), dense) << "a budget for all pages";
  ASSERT_TRUE(one->set_policy(quest_of(2)).ok());
  EXPECT_NE(tokens_of(*one), dense) << "the budget changed nothing";
}

}  // namespace
}  // namespace vortex::engine
