// The shipped model solves as many chains on the device as on the CPU.
#include "core/model/tokenizer.h"
#include "evals/tasks/task.h"
#include "tests/core/engine/cuda/support.h"

namespace vortex::engine {
namespace {

constexpr int kDefinitions = 200;  // prompts of about 1000 tokens
constexpr int kProblems = 24;
constexpr int kNewTokens = 192;
constexpr int kContext = 5 * kDefinitions + 64 + kNewTokens;

std::vector<evals::Problem> problems() {
  job::TaskSpec spec;
  spec.definitions = kDefinitions;
  spec.chain = 8;
  spec.problems = kProblems;
  return evals::make_problems(spec).value();
}

int solved(Engine& engine, const std::vector<evals::Problem>& all, RunStats* stats = nullptr) {
  const evals::Task* task = evals::find_task("chain").value();
  const auto tokenizer = model::load_tokenizer(kChainModel).value();
  std::vector<Request> requests;
  for (const evals::Problem& problem : all) {
    Request request;
    request.prompt = tokenizer->encode(problem.prompt).value();
    request.max_new_tokens = kNewTokens;
    requests.push_back(std::move(request));
  }
  const auto outputs = engine.generate(requests, stats);
  EXPECT_TRUE(outputs.ok()) << (outputs.ok() ? "" : outputs.error().message);
  int correct = 0;
  for (size_t i = 0; outputs.ok() && i < all.size(); ++i) {
    correct += task->grade(all[i].answers.front(), tokenizer->decode((*outputs)[i].tokens)).correct ? 1 : 0;
  }
  return correct;
}

TEST_F(CudaEngineTest, SolvesAsManyChainsAsTheCpu) {
  const std::vector<evals::Problem> all = problems();
  const auto on_cpu = chain_engine_on_cpu(options_of(8, kContext));
  const auto on_cuda = chain_engine(options_of(8, kContext));
  const int expected = solved(*on_cpu, all);
  EXPECT_GT(expected, kProblems / 2);
  EXPECT_NEAR(solved(*on_cuda, all), expected, 1);
  const vflow::Policy policy = load_policy("block_topk", budget(16, {0}), kContext);
  ASSERT_TRUE(on_cpu->set_policy(policy).ok());
  ASSERT_TRUE(on_cuda->set_policy(policy).ok());
  const int sparse_expected = solved(*on_cpu, all);
  RunStats stats;
  EXPECT_NEAR(solved(*on_cuda, all, &stats), sparse_expected, 2);
  EXPECT_LT(stats.pages_attended[1], stats.pages_visible[1]);
  EXPECT_EQ(stats.pages_attended[0], stats.pages_visible[0]);
}

}  // namespace
}  // namespace vortex::engine
