#include "sandbox/keeper_socket.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <thread>

#include "base/shared_memory.h"

namespace vortex::sandbox {
namespace {

class KeeperSocket : public testing::Test {
 protected:
  void SetUp() override {
    int ends[2];
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    ours_ = Descriptor(ends[0]);
    theirs_ = Descriptor(ends[1]);
  }
  void say(std::string_view text) {
    ASSERT_EQ(::send(theirs_.get(), text.data(), text.size(), 0), static_cast<ssize_t>(text.size()));
  }
  Result<KeeperAnswer> receive(double seconds = 20) { return receive_keeper_answer(ours_.get(), seconds, {}); }

  Descriptor ours_;
  Descriptor theirs_;
};

Descriptor filled(char value) {
  SharedMemory memory = std::move(SharedMemory::make(1)).value();
  memory.data()[0] = value;
  return std::move(std::move(memory).seal()).value();
}

job::Job some_job() {
  job::Job job;
  job.id = "keeper";
  job.dense = true;
  job.model_path = "/models/some";
  job.stages = {job::Stage::kRace};
  return job;
}

TEST_F(KeeperSocket, CarriesAJob) {
  ASSERT_TRUE(send_keeper_request(ours_.get(), {some_job(), {some_job().task}}).ok());
  const auto received = receive_keeper_request(theirs_.get());
  ASSERT_TRUE(received.ok()) << received.error().message;
  EXPECT_EQ(job::to_json(received->job), job::to_json(some_job()));
  ASSERT_EQ(received->ahead.size(), 1U);
  EXPECT_EQ(job::task_hash(received->ahead[0]), job::task_hash(some_job().task));
}

TEST_F(KeeperSocket, CarriesDescriptorsInOrder) {
  // Larger than a socket holds, so that it comes in pieces.
  const nlohmann::json label = {{"device", "cpu"}, {"padding", std::string(3 << 20, 'x')}};
  std::thread keeper([&] {
    KeeperAnswer answer{label, {}, 77};
    answer.descriptors.push_back(filled('a'));
    answer.descriptors.push_back(filled('b'));
    EXPECT_TRUE(send_keeper_answer(theirs_.get(), std::move(answer)).ok());
  });
  const auto received = receive();
  keeper.join();
  ASSERT_TRUE(received.ok()) << received.error().message;
  EXPECT_EQ(received->label, label);
  EXPECT_EQ(received->process, 77);
  ASSERT_EQ(received->descriptors.size(), 2U);
  EXPECT_EQ(**map_descriptor(received->descriptors[0].get(), 1), 'a');
  EXPECT_EQ(**map_descriptor(received->descriptors[1].get(), 1), 'b');
  EXPECT_NE(::fcntl(received->descriptors[0].get(), F_GETFD) & FD_CLOEXEC, 0);
}

TEST_F(KeeperSocket, CarriesARefusalWithItsBlame) {
  ASSERT_TRUE(send_keeper_answer(theirs_.get(), candidate_error("no such model", "name another")).ok());
  const auto received = receive();
  ASSERT_FALSE(received.ok());
  EXPECT_EQ(received.error().blame, Blame::kCandidate);
  EXPECT_EQ(received.error().message, "no such model");
  EXPECT_EQ(received.error().hint, "name another");
}

TEST_F(KeeperSocket, AnEndIsTheEnvironments) {
  say("{\"kept\":");
  theirs_.close();
  const auto received = receive();
  ASSERT_FALSE(received.ok());
  EXPECT_EQ(received.error().blame, Blame::kEnvironment);
}

TEST_F(KeeperSocket, SilenceEndsAtTheDeadlineAndOnRequest) {
  const auto late = receive(0.01);
  ASSERT_FALSE(late.ok());
  EXPECT_NE(late.error().message.find("in time"), std::string::npos);
  const auto stopped = receive_keeper_answer(ours_.get(), 600, [] { return true; });
  ASSERT_FALSE(stopped.ok());
  EXPECT_NE(stopped.error().message.find("on request"), std::string::npos);
}

TEST_F(KeeperSocket, WhatIsNoAnswerIsRefused) {
  for (const char* line :
       {"\n", "[]\n", "{}\n", "{\"kept\":{}}\n", "{\"kept\":{},\"process\":1}\n",
        "{\"kept\":{},\"process\":1,\"x\":2}\n",
        "{\"refused\":{\"blame\":\"nobody\",\"message\":\"\",\"hint\":\"\"}}\n", "{\"refused\":3}\n", "\xff\n"}) {
    say(line);
    EXPECT_FALSE(receive().ok()) << line;
  }
}

TEST_F(KeeperSocket, AJobOfAnotherProtocolIsRefused) {
  ASSERT_EQ(::send(ours_.get(), "{\"protocol\":0,\"keep\":{}}\n", 25, 0), 25);
  EXPECT_FALSE(receive_keeper_request(theirs_.get()).ok());
}

}  // namespace
}  // namespace vortex::sandbox
