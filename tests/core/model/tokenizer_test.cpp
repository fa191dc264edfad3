#include "core/model/tokenizer.h"

#include <gtest/gtest.h>

#include "base/files.h"
#include "tests/core/model/checkpoint.h"

namespace vortex::model {
namespace {

using testing::TempFolder;

constexpr const char* kWords = R"({
  "added_tokens": [{"id": 0, "content": "<s>", "special": true}, {"id": 5, "content": "<late>", "special": true}],
  "normalizer": null, "pre_tokenizer": {"type": "WhitespaceSplit"}, "post_processor": null, "decoder": null,
  "model": {"type": "WordLevel", "unk_token": "<s>", "vocab": {"<s>": 0, "one": 1, "two": 2, ";": 3, "é": 4}}
})";

std::unique_ptr<Tokenizer> word_level() {
  TempFolder folder;
  testing::write_text(folder.path() / "tokenizer.json", kWords);
  auto tokenizer = load_tokenizer(folder.path());
  EXPECT_TRUE(tokenizer.ok()) << (tokenizer.ok() ? "" : tokenizer.error().message);
  return std::move(*tokenizer);
}

TEST(WordLevel, SplitsAtAnyWhitespace) {
  const auto tokenizer = word_level();
  EXPECT_EQ(tokenizer->encode("<s> one\ttwo\n ;  é <late> ").value(), (std::vector<int32_t>{0, 1, 2, 3, 4, 5}));
  EXPECT_EQ(tokenizer->encode("").value(), std::vector<int32_t>{});
  EXPECT_EQ(tokenizer->encode(" \n").value(), std::vector<int32_t>{});
}

TEST(WordLevel, RoundTrips) {
  const auto tokenizer = word_level();
  Rng rng(3);
  for (int round = 0; round < 100; ++round) {
    std::vector<int32_t> ids;
    for (int length = rng.between(0, 20); length > 0; --length) { ids.push_back(rng.between(0, 5)); }
    EXPECT_EQ(tokenizer->encode(tokenizer->decode(ids)).value(), ids);
  }
}

TEST(WordLevel, NamesTheUnknownWord) {
  const auto ids = word_level()->encode("one three");
  ASSERT_FALSE(ids.ok());
  EXPECT_EQ(ids.error().blame, Blame::kCandidate);
  EXPECT_EQ(ids.error().message, "the word \"three\" at byte 4 is not in the vocabulary");
}

TEST(WordLevel, DecodesIdsOutsideTheVocabulary) { EXPECT_EQ(word_level()->decode({1, 99, -1}), "one <99> <-1>"); }

TEST(Tokenizer, Refusals) {
  const auto cases = nlohmann::json::parse(
      read_file(std::string(VORTEX_SOURCE_DIR) + "/tests/cases/model/tokenizer_refusals.json").value());
  for (const auto& test : cases) {
    SCOPED_TRACE(test["name"].get<std::string>());
    TempFolder folder;
    testing::write_text(folder.path() / "tokenizer.json", test["text"].get<std::string>());
    const auto tokenizer = load_tokenizer(folder.path());
    ASSERT_FALSE(tokenizer.ok());
    EXPECT_EQ(tokenizer.error().blame, Blame::kCandidate);
    EXPECT_NE(tokenizer.error().message.find(test["error"].get<std::string>()), std::string::npos)
        << tokenizer.error().message;
  }
}

}  // namespace
}  // namespace vortex::model
