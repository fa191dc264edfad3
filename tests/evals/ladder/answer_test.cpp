// What the recall stage makes of right answers.
#include <gtest/gtest.h>

#include <cmath>

#include "evals/ladder/answer_pages.h"
#include "evals/ladder/head_looks.h"
#include "kernels/cpu/bf16.h"

namespace vortex::evals {
namespace {

// A token is two letters.
class PairTokenizer : public model::Tokenizer {
 public:
  explicit PairTokenizer(std::string text) : text_(std::move(text)) {}
  Result<std::vector<int32_t>> encode(std::string_view) const override { return candidate_error("not needed"); }
  std::string piece(int32_t id, bool) const override { return text_.substr(static_cast<size_t>(id) * 2, 2); }
  bool is_special(int32_t) const override { return false; }

 private:
  std::string text_;
};

std::vector<int> blocks_of(const std::string& text, const std::vector<std::string>& answers) {
  PreparedProblem prepared;
  prepared.problem.answers = answers;
  for (size_t i = 0; i < text.size() / 2; ++i) { prepared.prompt.push_back(static_cast<int32_t>(i)); }
  return answer_blocks(PairTokenizer(text), prepared, 2);
}

TEST(AnswerBlocks, AreWhereTheAnswersStand) {
  //                           block 0   1   2   3   4
  const std::string text = "aaaabbbbcc12345ddd12";
  EXPECT_EQ(blocks_of(text, {"345"}), (std::vector<int>{3})) << "tokens 6 and 7";
  EXPECT_EQ(blocks_of(text, {"c12"}), (std::vector<int>{2})) << "tokens 4 and 5";
  EXPECT_EQ(blocks_of(text, {"12"}), (std::vector<int>{2, 4})) << "wherever it stands";
  EXPECT_EQ(blocks_of(text, {"bbbb", "d1"}), (std::vector<int>{1, 4})) << "a token that holds a part counts";
  EXPECT_EQ(blocks_of(text, {"xyz", ""}), std::vector<int>()) << "not written there";
}

// Eight pages of one token, one head: page 4 has most of the attention, page 2 some.
TEST(HeadLooks, CompareAPolicyWithTheOracle) {
  const float logits[8] = {0, 0, 2, 0, 5, 0, 0, 0};
  std::vector<cpu::Bf16> keys;
  for (const float logit : logits) { keys.push_back(cpu::float_to_bf16(logit)); }
  const float q = 1;
  const int32_t table[8] = {0, 1, 2, 3, 4, 5, 6, 7};
  const int32_t length = 8;
  compile::LayerCache cache;
  cache.k = {keys.data(), vflow::Dtype::kBf16, 1, 1, 1};
  compile::Selection selection{5, {0, 2, 3, 6, 7}, {5}};
  vflow::EngineConfig budget;
  budget.block_size = 1;
  budget.topk_val = 2;
  HeadLooks looks(1, 1, 1.0F, budget);
  const engine::AttentionView view{0, 1, &q, &cache, table, 8, &length, &selection, 1};
  looks.look(view, 0, {4});
  looks.look(view, 0, {2, 4});
  looks.look(view, 0, {7});  // a reserved page: nothing to find
  const nlohmann::json json = looks.to_json();
  const double all = 6 + std::exp(2.0) + std::exp(5.0);
  EXPECT_NEAR(json["like_oracle"][0][0].get<double>(), 0.5, 1e-3) << "2 of {2, 4}";
  EXPECT_NEAR(json["mass"][0][0].get<double>(), (4 + std::exp(2.0)) / all, 1e-3);
  EXPECT_NEAR(json["answer"][0][0].get<double>(), (std::exp(5.0) + (std::exp(5.0) + std::exp(2.0))) / 2 / all, 1e-3);
  EXPECT_NEAR(json["took_answer"][0][0].get<double>(), (0 + 0.5) / 2, 1e-3);
  EXPECT_NEAR(json["oracle_answer"][0][0].get<double>(), 1.0, 1e-3);
}

}  // namespace
}  // namespace vortex::evals
