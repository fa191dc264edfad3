// Byte-level BPE: golden ids of an independent implementation, and properties.
#include <gtest/gtest.h>

#include <cstdlib>

#include "base/files.h"
#include "core/model/tokenizer.h"
#include "core/model/unicode.h"
#include "tests/core/model/checkpoint.h"

namespace vortex::model {
namespace {

using nlohmann::json;
using testing::TempFolder;

const std::string kFolder = std::string(VORTEX_SOURCE_DIR) + "/tests/cases/model/tiny_bpe";

json tiny_json() { return json::parse(read_file(kFolder + "/tokenizer.json").value()); }
json golden() { return json::parse(read_file(kFolder + "/golden.json").value()); }

Result<std::unique_ptr<Tokenizer>> load(const json& object) {
  TempFolder folder;
  testing::write_text(folder.path() / "tokenizer.json", object.dump());
  return load_tokenizer(folder.path());
}

std::vector<int32_t> ids_of(const Tokenizer& tokenizer, std::string_view text) {
  auto ids = tokenizer.encode(text);
  EXPECT_TRUE(ids.ok()) << (ids.ok() ? "" : ids.error().message);
  if (!ids.ok()) { return {}; }
  return *std::move(ids);
}

void expect_golden(const Tokenizer& tokenizer) {
  for (const json& test : golden()) {
    EXPECT_EQ(ids_of(tokenizer, test["text"].get<std::string>()), test["ids"].get<std::vector<int32_t>>())
        << test["text"];
  }
}

// Characters of one to four bytes, combining marks, white space, and pieces of the added tokens.
std::string random_text(Rng& rng) {
  const std::vector<std::string> parts = {"a", "the ", "\xcc\x81", "\xe6\x97\xa5", "\xf0\x9f\x98\x80", " ", "\n", "\t",
                                          "7", "'ll",  "<|end|>",  "<|end",        "\xc3\xa9",         "."};
  std::string text;
  for (int length = rng.between(0, 30); length > 0; --length) { text += parts[rng.below(parts.size())]; }
  return text;
}

class Bpe : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto tiny = load_tokenizer(kFolder);
    const bool left_out = !tiny.ok() && tiny.error().message.find("model BPE is not supported") != std::string::npos;
    if (left_out) { GTEST_SKIP() << "this build is without BPE tokenizers: PCRE2 or utf8proc is missing"; }
  }
};

TEST_F(Bpe, GivesGoldenIds) { expect_golden(*load_tokenizer(kFolder).value()); }

TEST_F(Bpe, ReadsMergesAsStrings) {
  json object = tiny_json();
  for (json& merge : object["model"]["merges"]) {
    merge = merge[0].get<std::string>() + " " + merge[1].get<std::string>();
  }
  expect_golden(*load(object).value());
}

TEST_F(Bpe, LeavesOutWhatIsForTraining) {
  json object = tiny_json();
  object["truncation"] = {{"max_length", 2}, {"strategy", "LongestFirst"}, {"stride", 0}, {"direction", "Right"}};
  object["padding"] = {{"strategy", {{"Fixed", 64}}}, {"pad_id", 0}, {"pad_token", "a"}, {"direction", "Left"}};
  object["decoder"] = {{"type", "Sequence"}, {"decoders", {object["decoder"]}}};
  expect_golden(*load(object).value());
}

TEST_F(Bpe, AddsWhatTheTemplateSays) {
  const auto tokenizer = load_tokenizer(kFolder).value();
  const int32_t begin = ids_of(*tokenizer, "<|begin|>").at(0);
  EXPECT_EQ(tokenizer->add_special_tokens({5, 6}), (std::vector<int32_t>{begin, 5, 6}));
  EXPECT_TRUE(tokenizer->is_special(begin));
  EXPECT_FALSE(tokenizer->is_special(5));
}

TEST_F(Bpe, IgnoresMergesForWholeWords) {
  json object = tiny_json();
  object["model"]["vocab"]["xqz"] = 900;  // no merge makes it
  EXPECT_GT(ids_of(*load(object).value(), "xqz").size(), 1U);
  object["model"]["ignore_merges"] = true;
  EXPECT_EQ(ids_of(*load(object).value(), "xqz"), std::vector<int32_t>{900});
}

TEST_F(Bpe, FallsBackToBytes) {
  json object = tiny_json();
  json& model = object["model"];
  const auto q = model["vocab"]["Q"].get<int32_t>();
  model["vocab"].erase("Q");
  model["vocab"]["<0x51>"] = 901;
  model["unk_token"] = "a";
  const auto a = model["vocab"]["a"].get<int32_t>();
  const std::vector<int32_t> before = ids_of(*load(object).value(), "7Q7");
  EXPECT_EQ(before, (std::vector<int32_t>{before[0], a, before[2]})) << "without it the unknown token stands there";
  model["byte_fallback"] = true;
  EXPECT_EQ(ids_of(*load(object).value(), "7Q7"), (std::vector<int32_t>{before[0], 901, before[2]}));
  model["vocab"]["Q"] = q;
  EXPECT_EQ(ids_of(*load(object).value(), "7Q7"), (std::vector<int32_t>{before[0], q, before[2]}));
  // A byte that the alphabet writes as a letter of two bytes: all of its tokens or none.
  const std::string letter = "\xc4\xbd";  // U+013D stands for 0x9b
  model["vocab"].erase(letter);
  model["vocab"]["<0xC4>"] = 902;
  const std::string text = "\xc3\x9b";  // a character whose second byte it is
  EXPECT_EQ(ids_of(*load(object).value(), text).back(), a);
  model["vocab"]["<0xBD>"] = 903;
  const std::vector<int32_t> ids = ids_of(*load(object).value(), text);
  EXPECT_EQ(std::vector<int32_t>(ids.end() - 2, ids.end()), (std::vector<int32_t>{902, 903}));
}

// What counts as a letter beside a token of one word: \w of Unicode, with Alphabetic and Join_Control.
TEST_F(Bpe, AWordStandsAloneOrNot) {
  const auto tokenizer = load_tokenizer(kFolder).value();
  const int32_t word = 562;
  const auto has_word = [&](const std::string& text) {
    const std::vector<int32_t> ids = ids_of(*tokenizer, text);
    return std::find(ids.begin(), ids.end(), word) != ids.end();
  };
  for (const char* letter : {"a", "7", "_", "\u2167", "\u24d0", "\u200d", "\u200c", "\u0301", "\u65e5", "\u203f"}) {
    EXPECT_FALSE(has_word(std::string("maelstrom") + letter)) << letter;
    EXPECT_FALSE(has_word(letter + std::string("maelstrom"))) << letter;
  }
  for (const char* other : {"", " ", ".", "-", "\u00bd", "\u00b2", "\u2028", "\U0001f600", "\u20ac"}) {
    EXPECT_TRUE(has_word(std::string("maelstrom") + other)) << other;
    EXPECT_TRUE(has_word(other + std::string("maelstrom"))) << other;
  }
}

TEST_F(Bpe, GivesUpOnAPatternThatBacktracksWithoutEnd) {
  json object = tiny_json();
  object["pre_tokenizer"]["pretokenizers"][0]["pattern"] = {{"Regex", "(a|aa)+$"}};
  const auto ids = load(object).value()->encode(std::string(80, 'a') + "b");
  ASSERT_FALSE(ids.ok());
  EXPECT_NE(ids.error().message.find("gave up on the text"), std::string::npos) << ids.error().message;
}

TEST_F(Bpe, SplitsDigits) {
  json object = tiny_json();
  object["pre_tokenizer"] = {{"type", "Sequence"},
                             {"pretokenizers",
                              {{{"type", "Digits"}, {"individual_digits", true}},
                               {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", true}}}}};
  const auto tokenizer = load(object).value();
  EXPECT_EQ(ids_of(*tokenizer, "2024").size(), 4U);
  EXPECT_EQ(tokenizer->decode(ids_of(*tokenizer, "in 2024, 7")), "in 2024, 7");
}

TEST_F(Bpe, PutsASpaceInFront) {
  json object = tiny_json();
  object["pre_tokenizer"] = {{"type", "ByteLevel"}, {"add_prefix_space", true}, {"use_regex", true}};
  const auto tokenizer = load(object).value();
  EXPECT_EQ(ids_of(*tokenizer, "model"), ids_of(*load_tokenizer(kFolder).value(), " model"));
}

TEST_F(Bpe, DecodesWhatItEncoded) {
  const auto tokenizer = load_tokenizer(kFolder).value();
  Rng rng(11);
  for (int round = 0; round < 500; ++round) {
    // Composed already, because NFC is not undone by decoding.
    std::string text = random_text(rng);
    for (size_t at; (at = text.find("\xcc\x81")) != std::string::npos;) { text.erase(at, 2); }
    EXPECT_EQ(tokenizer->decode(ids_of(*tokenizer, text)), text);
  }
}

TEST_F(Bpe, StreamsWholeCharactersOnly) {
  const auto tokenizer = load_tokenizer(kFolder).value();
  Rng rng(12);
  for (int round = 0; round < 500; ++round) {
    std::vector<int32_t> ids;  // any ids, so that characters break anywhere
    for (int length = rng.between(0, 40); length > 0; --length) { ids.push_back(rng.between(0, 580)); }
    TextStream stream(*tokenizer, true);
    std::string streamed;
    for (int32_t id : ids) {
      const std::string part = stream.push(id);
      EXPECT_FALSE(find_invalid_utf8(part).has_value());
      streamed += part;
    }
    streamed += stream.finish();
    std::string bytes;
    for (int32_t id : ids) { bytes += tokenizer->piece(id, false); }
    EXPECT_EQ(streamed, repair_utf8(bytes));
    EXPECT_EQ(streamed, tokenizer->decode(ids));
  }
}

TEST_F(Bpe, StreamsWithoutSpecialTokens) {
  const auto tokenizer = load_tokenizer(kFolder).value();
  TextStream stream(*tokenizer, false);
  std::string text;
  for (int32_t id : ids_of(*tokenizer, "<|begin|>a<think>b<|end|>")) { text += stream.push(id); }
  EXPECT_EQ(text + stream.finish(), "a<think>b");
}

TEST_F(Bpe, LongRunsEnd) {
  const auto tokenizer = load_tokenizer(kFolder).value();
  for (const char* unit : {"a", " ", "\n", "7", "ab", "\xe6\x97\xa5"}) {
    std::string text;
    while (text.size() < (1 << 20)) { text += unit; }
    EXPECT_EQ(tokenizer->decode(ids_of(*tokenizer, text)), text);
  }
}

TEST_F(Bpe, RefusesWhatIsNotUtf8) {
  const auto tokenizer = load_tokenizer(kFolder).value();
  for (const char* text : {"ab\xff", "ab\xc3", "ab\xed\xa0\x80", "ab\xc0\x80", "ab\xf4\x90\x80\x80"}) {
    const auto ids = tokenizer->encode(text);
    ASSERT_FALSE(ids.ok());
    EXPECT_EQ(ids.error().message, "the text is not UTF-8 at byte 2");
  }
}

TEST_F(Bpe, RefusesComponentsByName) {
  const json cases =
      json::parse(read_file(std::string(VORTEX_SOURCE_DIR) + "/tests/cases/model/bpe_refusals.json").value());
  for (const json& test : cases) {
    SCOPED_TRACE(test["name"].get<std::string>());
    json object = tiny_json();
    object.merge_patch(test["patch"]);
    const auto tokenizer = load(object);
    ASSERT_FALSE(tokenizer.ok());
    EXPECT_EQ(tokenizer.error().blame, Blame::kCandidate);
    EXPECT_NE(tokenizer.error().message.find(test["error"].get<std::string>()), std::string::npos)
        << tokenizer.error().message;
  }
}

// Any damage to the file ends in a tokenizer or an error, never in a crash.
TEST_F(Bpe, SurvivesCorruption) {
  const std::string original = read_file(kFolder + "/tokenizer.json").value();
  TempFolder folder;
  Rng rng(5);
  int refused = 0;
  for (int round = 0; round < 300; ++round) {
    std::string text = original;
    for (int flips = rng.between(1, 4); flips > 0; --flips) {
      text[rng.below(text.size())] = static_cast<char>(rng.between(32, 126));
    }
    testing::write_text(folder.path() / "tokenizer.json", text);
    const auto tokenizer = load_tokenizer(folder.path());
    if (!tokenizer.ok()) {
      ++refused;
      continue;
    }
    const auto ids = (*tokenizer)->encode("a model, <|end|> 12\n");
    if (ids.ok()) { (*tokenizer)->decode(*ids); }
  }
  EXPECT_GT(refused, 50);
}

// VORTEX_TOKENIZER names a folder with a real tokenizer.json, VORTEX_TOKENIZER_STRINGS and _IDS the files that
// scripts/compare_tokenizer.py makes and the reference's ids: a JSON string, a JSON list a line.
TEST_F(Bpe, AgreesOnARealTokenizer) {
  const char* folder = std::getenv("VORTEX_TOKENIZER");
  const char* strings = std::getenv("VORTEX_TOKENIZER_STRINGS");
  const char* ids = std::getenv("VORTEX_TOKENIZER_IDS");
  if (folder == nullptr || strings == nullptr || ids == nullptr) { GTEST_SKIP() << "VORTEX_TOKENIZER... are not set"; }
  const auto tokenizer = load_tokenizer(folder).value();
  std::ifstream texts(strings);
  std::ifstream lists(ids);
  int compared = 0;
  for (std::string text, list; std::getline(texts, text) && std::getline(lists, list); ++compared) {
    EXPECT_EQ(ids_of(*tokenizer, json::parse(text).get<std::string>()), json::parse(list).get<std::vector<int32_t>>())
        << text;
  }
  EXPECT_GT(compared, 0);
}

TEST(Unicode, RepairsMaximalSequences) {
  const std::string bad = "\xef\xbf\xbd";
  EXPECT_EQ(repair_utf8("a\xe6\x97z"), "a" + bad + "z");    // one for the start of a character
  EXPECT_EQ(repair_utf8("\xf0\x9f\x98"), bad);              // and at the end
  EXPECT_EQ(repair_utf8("\xed\xa0\x80"), bad + bad + bad);  // surrogates have no valid start
  EXPECT_EQ(repair_utf8("\xff\xc0\xaf"), bad + bad + bad);
  EXPECT_EQ(repair_utf8("\xc3\xa9\xf0\x9f\x98\x80"), "\xc3\xa9\xf0\x9f\x98\x80");
  std::string tail;
  EXPECT_EQ(repair_utf8("ab\xf0\x9f", &tail), "ab");
  EXPECT_EQ(tail, "\xf0\x9f");
}

}  // namespace
}  // namespace vortex::model
