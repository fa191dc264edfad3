#include "agent/session/notify.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace vortex::agent {
namespace {

class NotifyTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (std::filesystem::temp_directory_path() / "vortex-notify-XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
    options_.run = "night";
    options_.command = "echo \"$VORTEX_EVENT\" >> " + (folder_ / "log").string();
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::vector<nlohmann::json> told() const {
    std::vector<nlohmann::json> notices;
    std::ifstream log(folder_ / "log");
    for (std::string line; std::getline(log, line);) { notices.push_back(nlohmann::json::parse(line)); }
    return notices;
  }

  std::filesystem::path folder_;
  NotifyOptions options_;
  double now_ = 0;
};

TEST_F(NotifyTest, GivesTheEventToTheCommand) {
  {
    Notifier notifier(options_, [&] { return now_; }, {});
    notifier.event("front", {{"candidate", 7}, {"note", "it's \"new\""}});
    notifier.event("environment", {});  // nothing to wake anybody for
    notifier.event("finished", {{"end", "budget"}});
  }
  const auto notices = told();
  ASSERT_EQ(notices.size(), 2u);
  EXPECT_EQ(notices[0]["event"], "front");
  EXPECT_EQ(notices[0]["run"], "night");
  EXPECT_EQ(notices[0]["detail"]["note"], "it's \"new\"");
  EXPECT_EQ(notices[1]["event"], "finished");
}

TEST_F(NotifyTest, CountsWhatComesTooOften) {
  {
    Notifier notifier(options_, [&] { return now_; }, {});
    for (int i = 0; i < 5; ++i) { notifier.event("front", {{"candidate", i}}); }
    now_ += 61;
    notifier.event("front", {{"candidate", 9}});
    notifier.event("finished", {});
  }
  const auto notices = told();
  ASSERT_EQ(notices.size(), 3u);
  EXPECT_EQ(notices[0]["detail"]["candidate"], 0);
  EXPECT_EQ(notices[1]["detail"]["candidate"], 9);
  EXPECT_EQ(notices[1]["suppressed"], 4);
}

TEST_F(NotifyTest, SaysWhatCouldNotBeDelivered) {
  std::string message;
  options_.command = "exit 3";
  options_.webhook = "not a url";
  {
    Notifier notifier(
        options_, [&] { return now_; }, [&](const std::string& text) { message += text + "\n"; });
    notifier.event("failed", {{"message", "the disk is full"}});
  }
  EXPECT_NE(message.find("--notify"), std::string::npos);
  EXPECT_NE(message.find("webhook"), std::string::npos);
}

}  // namespace
}  // namespace vortex::agent
