// From text to text with the model that ships.
#include "core/engine/complete.h"

#include <gtest/gtest.h>

#include "core/engine/engine.h"
#include "core/model/model.h"

namespace vortex::engine {
namespace {

struct Shipped {
  std::unique_ptr<Engine> engine;
  std::unique_ptr<model::Tokenizer> tokenizer;
};

Shipped load_shipped() {
  const std::string folder = std::string(VORTEX_SOURCE_DIR) + "/models/chain-4m";
  EngineOptions options;
  options.max_batch = 1;
  options.max_context = 256;
  return {make_cpu_engine(model::load_model(folder).value(), options).value(), model::load_tokenizer(folder).value()};
}

// v1 = 7; v2 = v1 + 35; v3 = v2 + 10: the solution walks from the queried variable to the literal, then adds up.
TEST(Complete, SolvesASmallChain) {
  const Shipped shipped = load_shipped();
  std::string prompt = "<s>";
  for (int i = 100; i < 120; ++i) { prompt += " v" + std::to_string(i) + " 1 2 # ;"; }
  prompt += " v2 5 3 v1 ; v1 7 0 # ; v3 0 1 v2 ; ? v3 ?";
  Request request;
  request.max_new_tokens = 60;
  RunStats stats;
  const auto text = complete(*shipped.engine, *shipped.tokenizer, prompt, request, &stats);
  ASSERT_TRUE(text.ok()) << text.error().message;
  EXPECT_EQ(*text, "v3 0 1 v2 ; v2 5 3 v1 ; v1 7 0 # ; v1 7 0 0 ; v2 2 4 0 ; v3 2 5 0 ; ? 0 5 2 </s>");
  EXPECT_EQ(stats.decode_tokens, 34);
}

TEST(Complete, RefusesUnknownWords) {
  const Shipped shipped = load_shipped();
  const auto text = complete(*shipped.engine, *shipped.tokenizer, "<s> hello", {}, nullptr);
  ASSERT_FALSE(text.ok());
  EXPECT_NE(text.error().message.find("\"hello\""), std::string::npos);
}

}  // namespace
}  // namespace vortex::engine
