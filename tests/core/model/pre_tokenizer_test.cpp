// Patterns of tokenizer.json. What they cut is what the reference library cuts; scripts/compare_patterns.py --cases
// asks it anew.
#ifdef VORTEX_BPE
#include "core/model/bpe/pre_tokenizer.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/files.h"

namespace vortex::model {
namespace {

using nlohmann::json;

Result<PreTokenizer> splits_by(const json& pattern) {
  const json split = {
      {"type", "Split"}, {"pattern", {{"Regex", pattern}}}, {"behavior", "Isolated"}, {"invert", false}};
  const json level = {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}};
  return read_pre_tokenizer({{"type", "Sequence"}, {"pretokenizers", {split, level}}});
}

TEST(PreTokenizer, PatternsMeanWhatOnigurumaReads) {
  int cut = 0;
  for (const json& test :
       json::parse(read_file(std::string(VORTEX_SOURCE_DIR) + "/tests/cases/model/patterns.json").value())) {
    SCOPED_TRACE(test["pattern"].get<std::string>());
    const auto pre_tokenizer = splits_by(test["pattern"]);
    if (test.contains("error")) {
      ASSERT_FALSE(pre_tokenizer.ok());
      EXPECT_EQ(pre_tokenizer.error().blame, Blame::kCandidate);
      EXPECT_NE(pre_tokenizer.error().message.find(test["error"].get<std::string>()), std::string::npos)
          << pre_tokenizer.error().message;
      continue;
    }
    ASSERT_TRUE(pre_tokenizer.ok()) << pre_tokenizer.error().message;
    const auto text = test["text"].get<std::string>();
    std::deque<std::string> owned;
    const auto words = pre_tokenizer->split(text, owned);
    ASSERT_TRUE(words.ok()) << words.error().message;
    EXPECT_EQ(json(*words), test["pieces"]);
    ++cut;
  }
  EXPECT_GT(cut, 100);
}

}  // namespace
}  // namespace vortex::model
#endif
