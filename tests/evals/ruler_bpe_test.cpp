// RULER tasks for a byte-level BPE tokenizer, whose token counts depend on neighbours: lengths stay exact.
#include <gtest/gtest.h>

#include <filesystem>

#include "core/model/tokenizer.h"
#include "evals/tasks/task.h"
#include "evals/tasks/task_file.h"

namespace vortex::evals {
namespace {

namespace fs = std::filesystem;

const fs::path kSource = VORTEX_SOURCE_DIR;

TEST(RulerBpe, HitsEveryLengthExactly) {
  const auto tokenizer = model::load_tokenizer(kSource / "tests/cases/model/tiny_bpe");
  if (!tokenizer.ok() && tokenizer.error().message.find("model BPE is not supported") != std::string::npos) {
    GTEST_SKIP() << "this build is without BPE tokenizers: PCRE2 or utf8proc is missing";
  }
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.error().message;
  const CountTokens count = [&](const Problem& problem) -> Result<size_t> {
    VORTEX_ASSIGN(std::vector<int32_t> ids, (*tokenizer)->encode(problem.prompt + problem.answer_start));
    return (*tokenizer)->add_special_tokens(std::move(ids)).size();
  };
  int tasks = 0;
  for (const auto& entry : fs::directory_iterator(kSource / "examples/tasks")) {
    if (!entry.path().stem().string().starts_with("ruler_")) { continue; }
    ++tasks;
    for (const int length : {8192, 9001}) {
      auto spec = read_task_file(entry.path());
      ASSERT_TRUE(spec.ok()) << spec.error().message;
      spec->length = length;
      spec->problems = 1;
      const auto problems = make_problems(*spec, count);
      ASSERT_TRUE(problems.ok()) << entry.path() << ": " << problems.error().message;
      for (const Problem& problem : *problems) {
        EXPECT_EQ(static_cast<int>(*count(problem)) + spec->max_new_tokens, length) << problem.id;
      }
    }
  }
  EXPECT_EQ(tasks, 11);
}

}  // namespace
}  // namespace vortex::evals
