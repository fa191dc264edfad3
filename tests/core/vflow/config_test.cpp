#include "core/vflow/config/config.h"

#include <gtest/gtest.h>

namespace vortex::vflow {
namespace {

EngineConfig parse(std::string_view text, std::vector<Diagnostic>& findings) {
  return parse_config(text, "c.json", findings);
}

TEST(Config, DefaultsAreThoseOfGetEngine) {
  std::vector<Diagnostic> findings;
  const EngineConfig config = parse("{}", findings);
  EXPECT_TRUE(findings.empty());
  EXPECT_EQ(config.block_size, 16);
  EXPECT_EQ(config.topk_val, 29);
  EXPECT_EQ(config.reserved_bos, 1);
  EXPECT_EQ(config.reserved_eos, 2);
  EXPECT_EQ(config.layers_skip, std::vector<int>{0});
  EXPECT_EQ(config.model_path, "");
  EXPECT_FALSE(config.disable_radix_cache);
}

TEST(Config, PrintingAndParsingGivesTheSameConfiguration) {
  std::vector<Diagnostic> findings;
  const std::string_view text = R"({"model_path": "m", "vortex_module_name": "a", "vortex_module_path": "a.py",
    "vortex_block_size": 32, "vortex_topk_val": 64, "vortex_topk_ratio": 0.0625, "vortex_layers_skip": [2, 0],
    "vortex_dtype": "float32", "vortex_schedule_policy": "return cached_block_len / 2 + 4;", "disable_radix_cache": true,
    "vortex_attention_backend": "trtllm", "page_size": 32, "vortex_max_seq_lens": -1, "mem_fraction_static": 0.85})";
  const EngineConfig config = parse(text, findings);
  EXPECT_EQ(render(findings), "");
  const std::string printed = print_config(config);
  const EngineConfig again = parse(printed, findings);
  EXPECT_EQ(render(findings), "");
  EXPECT_EQ(print_config(again), printed);
  EXPECT_EQ(again.layers_skip, (std::vector<int>{0, 2}));
  EXPECT_EQ(again.dtype, Dtype::kFp32);
  EXPECT_EQ(again.schedule.canonical(), config.schedule.canonical());
  EXPECT_EQ(again.passthrough, config.passthrough);
  ASSERT_EQ(again.passthrough.size(), 2U);
  EXPECT_EQ(again.passthrough[0], (std::pair<std::string, std::string>("vortex_attention_backend", "\"trtllm\"")));
}

TEST(Config, SelectedBlocks) {
  EngineConfig config;
  EXPECT_EQ(selected_blocks(config, 10), 10);
  EXPECT_EQ(selected_blocks(config, 1000), 32);
  config.topk_ratio = 0.5;
  EXPECT_EQ(selected_blocks(config, 1000), 500);
  EXPECT_TRUE(layer_is_dense(config, 0));
  EXPECT_FALSE(layer_is_dense(config, 1));
}

TEST(Config, VortexConfigsOwnFormHasNoPrefix) {
  const char* kNested =
      R"({"model_path": "m", "vortex_config": {"topk_val": 7, "layers_skip": [], "topk_ratio": null}})";
  const char* kBare = R"({"topk_val": 7, "layers_skip": [], "topk_ratio": null, "model_path": "m"})";
  for (const char* text : {kNested, kBare}) {
    std::vector<Diagnostic> findings;
    const EngineConfig config = parse(text, findings);
    EXPECT_TRUE(findings.empty()) << text << render(findings);
    EXPECT_EQ(config.topk_val, 7);
    EXPECT_TRUE(config.layers_skip.empty());
    EXPECT_EQ(config.model_path, "m");
    EXPECT_NE(print_config(config).find("\"vortex_topk_val\": 7"), std::string::npos) << "exported with it";
  }
  std::vector<Diagnostic> findings;
  EXPECT_EQ(parse(R"({"topk_val": 7, "vortex_block_size": 32})", findings).topk_val, 29);
  ASSERT_EQ(findings.size(), 1U) << "beside keys that have the prefix it is another key";
  EXPECT_EQ(findings[0].code, "engine-key");
}

TEST(Config, EngineKeysAreKeptForExport) {
  std::vector<Diagnostic> findings;
  const EngineConfig config = parse(R"({"vortex_topk_val": 7, "sampling_backend": "x", "random_seed": 3})", findings);
  EXPECT_FALSE(has_errors(findings));
  EXPECT_NE(print_config(config).find("\"random_seed\": 3"), std::string::npos);
  EXPECT_NE(print_config(config).find("\"sampling_backend\": \"x\""), std::string::npos);
}

TEST(Config, SyntaxErrorsHaveAPlace) {
  std::vector<Diagnostic> findings;
  parse("{\n  \"vortex_topk_val\": 3,\n}", findings);
  ASSERT_EQ(findings.size(), 1U);
  EXPECT_EQ(findings[0].code, "config-syntax");
  EXPECT_EQ(findings[0].line, 3);
  EXPECT_EQ(findings[0].column, 1);
}

TEST(Config, TextBehindAZeroByteIsNotLeftOut) {
  using namespace std::string_view_literals;
  std::vector<Diagnostic> findings;
  parse("{\n  \"vortex_topk_val\": 3\n}\0{\"vortex_topk_val\": 4}"sv, findings);
  ASSERT_EQ(findings.size(), 1U);
  EXPECT_EQ(findings[0].code, "config-syntax");
  EXPECT_EQ(findings[0].line, 3);
  EXPECT_EQ(findings[0].column, 2);
}

TEST(Config, TextThatIsNoObject) {
  for (const char* text :
       {"", "3", "[]", "null", "\"x\"", "{", "{\"a\"", "\xff\xfe", "{\"\\u0000\": 1}", "{\"a\": \"\xff\"}"}) {
    std::vector<Diagnostic> findings;
    parse(text, findings);
    EXPECT_TRUE(has_errors(findings)) << text;
  }
}

TEST(Config, HostileTextEnds) {
  std::vector<Diagnostic> findings;
  parse(std::string(60'000, '['), findings);
  ASSERT_EQ(findings.size(), 1U);
  EXPECT_EQ(findings[0].code, "limit");
  findings.clear();
  parse("{\"vortex_topk_val\": 1e999}", findings);
  EXPECT_TRUE(has_errors(findings));
  findings.clear();
  parse("{\"vortex_topk_val\": 99999999999999999999999}", findings);
  EXPECT_TRUE(has_errors(findings));
}

TEST(Config, TheSameKeyTwice) {
  std::vector<Diagnostic> findings;
  parse("{\"tp_size\": 1, \"tp_size\": 1}", findings);
  ASSERT_EQ(findings.size(), 1U);
  EXPECT_EQ(findings[0].code, "duplicate-key");
  EXPECT_EQ(findings[0].column, 16);
}

}  // namespace
}  // namespace vortex::vflow
