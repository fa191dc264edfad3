#include "fleet/message.h"

#include <gtest/gtest.h>

#include "base/rng.h"
#include "base/secret.h"
#include "fleet/token.h"
#include "job/frame.h"

namespace vortex::fleet {
namespace {

// The message without the frame around it.
std::string payload_of(const Message& message) {
  const std::string frame = message_frame(message);
  std::string_view bytes = frame;
  job::FrameReader reader;
  auto payload = reader.take(bytes);
  EXPECT_TRUE(payload.ok() && *payload && bytes.empty());
  return **payload;
}

std::vector<Message> one_of_each() {
  Machine machine{"node7", "a card", true, "GPU-1", "580.1", "amx_bf16", 4, int64_t{80} << 30};
  return {Greeting{kProtocolVersion, "nonce"},
          Refusal{"no", "why"},
          Welcome{"proof", R"({"job": {}})"},
          Task{7, "{\"protocol\": 2}"},
          Stop{uint64_t{1} << 60U},
          Piece{3, int64_t{1} << 40, std::string("\0\n\xff bytes", 9)},
          Hello{kProtocolVersion, "n", "p", "b", "i", "name", machine},
          Want{3, 99},
          Ready{},
          Event{7, "{\"event\": \"result\"}"},
          Done{7, true, environment_error("disk full", "make room")},
          Drain{},
          Beat{},
          Bye{"enough"}};
}

TEST(Message, EveryKindComesBackAsItWas) {
  for (const Message& message : one_of_each()) {
    const Result<Message> read = parse_message(payload_of(message));
    ASSERT_TRUE(read.ok()) << read.error().message;
    EXPECT_EQ(read->index(), message.index());
    EXPECT_EQ(message_frame(*read), message_frame(message));
  }
}

TEST(Message, WhatIsNoMessageIsRefused) {
  const std::vector<std::string> payloads = {
      "",
      "\n",
      "beat",
      "[]",
      "{}",
      "null",
      R"({"kind": "dance"})",
      R"({"kind": 7})",
      R"({"kind": "beat", "more": 1})",
      R"({"kind": "event"})",
      R"({"kind": "event", "lease": -1})",
      R"({"kind": "event", "lease": "7"})",
      R"({"kind": "event", "lease": 1.5})",
      R"({"kind": "stop", "lease": 18446744073709551616})",
      R"({"kind": "hello"})",
      "{\"kind\": \"beat\"}\nbody",
      R"({"kind": "want", "file": 99999999999, "offset": 0})",
      R"({"kind": "done", "lease": 1, "error": {"blame": "nobody", "message": "", "hint": ""}})",
      std::string(70'000, '{'),
      "{\"kind\": \"bye\", \"reason\": \"" + std::string(70'000, 'x') + "\"}"};
  for (const std::string& payload : payloads) {
    const Result<Message> read = parse_message(payload);
    EXPECT_FALSE(read.ok()) << payload.substr(0, 100);
  }
}

TEST(Message, GarbageNeverCrashes) {
  Rng rng(7);
  const std::vector<Message> messages = one_of_each();
  int refused = 0;
  for (int i = 0; i < 5000; ++i) {
    std::string payload = payload_of(messages[rng.below(messages.size())]);
    for (uint64_t change = rng.below(4); change > 0 && !payload.empty(); --change) {
      payload[rng.below(payload.size())] = static_cast<char>(rng.below(256));
    }
    payload.resize(rng.below(payload.size() + 1));
    refused += parse_message(payload).ok() ? 0 : 1;
  }
  EXPECT_GT(refused, 2000);
}

TEST(Token, AProofIsAnHmacOfItsWords) {
  // As Python has it: hmac.new(b"Jefe", b"28:what do ya want for nothing?", "sha256").hexdigest()
  EXPECT_EQ(proof_of("Jefe", {"what do ya want for nothing?"}),
            "f9a7f5b9c4118c0f397a50b3a495f455c6666f75f95db0d20b32f7e7c995ee77");
  EXPECT_EQ(proof_of(std::string(100, 'k'), {"a", ""}),
            "922ec5df552c99ec6ca3da235c5d3a0134ad8ffaea72b56c6d79ea96a5680b66")
      << "a key longer than a block is hashed first";
  EXPECT_NE(proof_of("Jefe", {"a", "b"}), proof_of("Jefe", {"ab"})) << "words do not run together";
  EXPECT_NE(proof_of("Jefe", {"a"}), proof_of("jefe", {"a"}));
  EXPECT_TRUE(same_secret("abc", "abc"));
  EXPECT_FALSE(same_secret("abc", "abd"));
  EXPECT_FALSE(same_secret("abc", "abcd"));
  EXPECT_NE(random_hex(kSecretBytes), random_hex(kSecretBytes));
}

}  // namespace
}  // namespace vortex::fleet
