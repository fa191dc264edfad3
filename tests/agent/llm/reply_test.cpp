#include "agent/llm/reply.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/files.h"

namespace vortex::agent {
namespace {

using nlohmann::json;

constexpr const char* kMarkdown = R"(Two ideas.

```json
{"name": "one", "parents": [3, 4], "operation": "fewer pages", "rationale": "cheap", "mechanism": "",
 "hypothesis": {"claim": "no loss", "metric": "accuracy", "direction": "same", "by": 0.1, "against": "dense"}}
```

```python
module one
```

```json
{"vortex_module_name": "one", "vortex_topk_val": 8}
```

And the second, which says nothing about itself.

````Python
module two
```
still two
````
```json
{"vortex_module_name": "two"}
```

```json
{"anti_patterns": ["do not"], "questions": ["why?"]}
```
)";

TEST(ReplyTest, ReadsFencedBlocks) {
  const WrittenReply reply = read_reply(kMarkdown);
  ASSERT_EQ(reply.variants.size(), 2u);
  const Variant& one = reply.variants[0];
  EXPECT_EQ(one.name, "one");
  EXPECT_EQ(one.parents, (std::vector<int64_t>{3, 4}));
  EXPECT_EQ(one.module, "module one\n");
  EXPECT_EQ(json::parse(one.config)["vortex_topk_val"], 8);
  ASSERT_TRUE(one.hypothesis.has_value());
  EXPECT_EQ(one.hypothesis->prediction.metric, "accuracy");
  EXPECT_EQ(one.hypothesis->prediction.against, 0);
  EXPECT_EQ(reply.variants[1].module, "module two\n```\nstill two\n");
  EXPECT_FALSE(reply.variants[1].hypothesis.has_value());
  EXPECT_EQ(reply.anti_patterns, std::vector<std::string>{"do not"});
  EXPECT_EQ(reply.questions, std::vector<std::string>{"why?"});
  EXPECT_TRUE(reply.remarks.empty());
}

TEST(ReplyTest, ReadsJsonBareOrFencedWithConfigAsObjectOrText) {
  const json object = {{"variants",
                        {{{"name", "a"}, {"module", "m"}, {"config", {{"vortex_topk_val", 4}}}},
                         {{"name", "b"}, {"module", "n"}, {"config", "{\"vortex_topk_val\": 5}"}}}},
                       {"anti_patterns", json::array()},
                       {"questions", {"q"}}};
  for (const std::string& text : {object.dump(), "Here:\n```json\n" + object.dump(2) + "\n```\n"}) {
    const WrittenReply reply = read_reply(text);
    ASSERT_EQ(reply.variants.size(), 2u) << text;
    EXPECT_EQ(json::parse(reply.variants[0].config)["vortex_topk_val"], 4);
    EXPECT_EQ(json::parse(reply.variants[1].config)["vortex_topk_val"], 5);
    EXPECT_EQ(reply.questions.size(), 1u);
  }
}

TEST(ReplyTest, WhatCannotBeReadIsARemarkAndTheRestCounts) {
  EXPECT_TRUE(read_reply("I cannot help with that.").variants.empty());
  EXPECT_FALSE(read_reply("I cannot help with that.").remarks.empty());
  EXPECT_FALSE(read_reply("").remarks.empty());
  EXPECT_FALSE(read_reply("{\"variants\": 3}").remarks.empty());
  const WrittenReply cut = read_reply("```python\nmodule\n```\n```json\n{\"vortex_module_name\": \"x\", \"vor");
  ASSERT_EQ(cut.variants.size(), 1u) << "the check says what is wrong with its configuration";
  EXPECT_EQ(cut.variants[0].config.substr(0, 10), "{\"vortex_m");
  EXPECT_FALSE(cut.remarks.empty());
  const WrittenReply wrong = read_reply(
      R"({"variants":[{"name":"a","module":"m","hypothesis":{"claim":"c","metric":"beauty","direction":"higher"}},7]})");
  ASSERT_EQ(wrong.variants.size(), 1u);
  EXPECT_FALSE(wrong.variants[0].hypothesis.has_value());
  EXPECT_EQ(wrong.remarks.size(), 2u);
}

TEST(ReplyTest, TooMuchIsLeftOut) {
  json object = {{"variants", json::array()}};
  for (int i = 0; i < 20; ++i) { object["variants"].push_back({{"name", std::to_string(i)}, {"module", "m"}}); }
  EXPECT_EQ(read_reply(object.dump()).variants.size(), 16u);
  object["variants"] = {{{"name", "long"}, {"module", std::string(70000, 'x')}}};
  EXPECT_TRUE(read_reply(object.dump()).variants.empty());
  EXPECT_TRUE(read_reply(std::string(100000, '[')).variants.empty());
  const std::string wide(3000, 'e');
  object["variants"] = {{{"name", std::string(1999, 'e') + "\xc3\xa9"}, {"module", "m"}}};
  EXPECT_EQ(read_reply(object.dump()).variants[0].name.size(), 1999u) << "never half a character";
}

TEST(ReplyTest, ReadsWhatModelsWrite) {
  for (const json& test :
       json::parse(read_file(std::string(VORTEX_SOURCE_DIR) + "/tests/cases/llm/replies.json").value())) {
    SCOPED_TRACE(test["name"].get<std::string>());
    const WrittenReply reply = read_reply(test["text"].get<std::string>());
    std::vector<std::string> modules;
    for (const Variant& variant : reply.variants) { modules.push_back(variant.module); }
    EXPECT_EQ(modules, test["modules"].get<std::vector<std::string>>());
    const std::string remark = test.value("remark", "");
    const std::string said = reply.remarks.empty() ? "" : reply.remarks.front();
    EXPECT_EQ(said.empty(), remark.empty()) << said;
    EXPECT_NE(said.find(remark), std::string::npos) << said;
  }
}

// Endpoints that take a schema want every object closed and every member required.
void expect_strict(const json& schema) {
  if (schema.value("type", "") == "object") {
    EXPECT_EQ(schema["additionalProperties"], false);
    EXPECT_EQ(schema["required"].size(), schema["properties"].size());
    for (const auto& [name, member] : schema["properties"].items()) { expect_strict(member); }
  }
  if (schema.value("type", "") == "array") { expect_strict(schema["items"]); }
}

TEST(ReplyTest, TheSchemaIsStrict) { expect_strict(reply_schema()); }

}  // namespace
}  // namespace vortex::agent
