#include "fleet/depot.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <atomic>
#include <filesystem>
#include <thread>

#include "base/files.h"
#include "fleet/token.h"

namespace vortex::fleet {
namespace {

namespace fs = std::filesystem;

class DepotTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string path = (fs::temp_directory_path() / "vortex-depot-XXXXXX").string();
    ASSERT_NE(::mkdtemp(path.data()), nullptr);
    folder_ = path;
    model_ = path + "/model";
    for (const auto& [name, bytes] : {std::pair{"config.json", std::string("{}")},
                                      {"model.safetensors", std::string(100'000, 'w')},
                                      {"notes.md", std::string("no part of the model")}}) {
      ASSERT_TRUE(write_file_atomic(model_ + "/" + name, bytes).ok());
    }
    manifest_ = *manifest_of(model_, "");
  }
  void TearDown() override { fs::remove_all(folder_); }

  // From the model's own folder, 30,000 bytes at a time.
  FetchPiece fetch() {
    return [this](int file, int64_t offset) -> Result<std::string> {
      ++fetched_;
      const std::string bytes = *read_file(model_ + "/" + manifest_.files[static_cast<size_t>(file)].name);
      return bytes.substr(static_cast<size_t>(offset), 30'000);
    };
  }
  Result<std::string> find(const std::string& origin, const FetchPiece& from) {
    return find_model(manifest_, origin, folder_ + "/node", from, [] { return false; });
  }

  std::string folder_;
  std::string model_;
  Manifest manifest_;
  std::atomic<int> fetched_ = 0;
};

TEST_F(DepotTest, AFolderThatIsTheSameIsUsedWhereItLies) {
  const auto found = find(model_, fetch());
  ASSERT_TRUE(found.ok()) << found.error().message;
  EXPECT_EQ(*found, model_);
  EXPECT_EQ(fetched_, 0);
}

TEST_F(DepotTest, WhatIsNotThereIsCopiedOnceForAllThatAsk) {
  std::vector<std::thread> threads;
  std::atomic<int> good = 0;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      const auto found = find("/nowhere", fetch());
      if (found.ok() && *read_file(*found + "/model.safetensors") == std::string(100'000, 'w')) { ++good; }
    });
  }
  for (std::thread& thread : threads) { thread.join(); }
  EXPECT_EQ(good, 4);
  EXPECT_EQ(fetched_, 1 + 4) << "config.json in one piece, the weights in four";
}

TEST_F(DepotTest, ACopyThatWasCutOffGoesOnWhereItStopped) {
  int left = 3;
  const auto cut = find("/nowhere", [&](int file, int64_t offset) -> Result<std::string> {
    if (left-- == 0) { return environment_error("the connection to the search is lost"); }
    return fetch()(file, offset);
  });
  ASSERT_FALSE(cut.ok());
  fetched_ = 0;
  ASSERT_TRUE(find("/nowhere", fetch()).ok());
  EXPECT_EQ(fetched_, 2) << "of five pieces three had come";
}

TEST_F(DepotTest, OtherBytesThanTheSearchHasAreNotUsed) {
  const auto wrong = find("/nowhere", [&](int file, int64_t offset) -> Result<std::string> {
    std::string bytes = *fetch()(file, offset);
    if (file == 1 && offset == 30'000) { bytes[5] = 'x'; }
    return bytes;
  });
  ASSERT_FALSE(wrong.ok());
  EXPECT_EQ(wrong.error().blame, Blame::kEnvironment);
  EXPECT_NE(wrong.error().message.find("other contents"), std::string::npos);
  EXPECT_TRUE(find("/nowhere", fetch()).ok()) << "the next try begins anew";
}

TEST_F(DepotTest, ACopyThatSomebodyChangedIsMadeAnew) {
  const std::string copy = *find("/nowhere", fetch());
  ASSERT_TRUE(write_file_atomic(copy + "/model.safetensors", std::string(100'000, 'x')).ok());
  const auto again = find("/nowhere", fetch());
  ASSERT_TRUE(again.ok()) << again.error().message;
  EXPECT_EQ(*read_file(*again + "/model.safetensors"), std::string(100'000, 'w'));
}

TEST_F(DepotTest, AManifestThatLeadsOutOfItsFolderIsRefused) {
  for (const char* name : {"../config.json", "/etc/passwd.json", "", ".hidden.json", "a/b.json"}) {
    nlohmann::json manifest = to_json(manifest_);
    manifest[0]["name"] = name;
    EXPECT_FALSE(manifest_from_json(manifest).ok()) << name;
  }
  EXPECT_EQ(manifest_from_json(to_json(manifest_))->hash(), manifest_.hash());
}

TEST_F(DepotTest, ATokenIsForItsOwnerAlone) {
  const std::string path = folder_ + "/workers/token";
  const auto made = token_in(path);
  ASSERT_TRUE(made.ok()) << made.error().message;
  struct stat about {};
  ASSERT_EQ(::stat(path.c_str(), &about), 0);
  EXPECT_EQ(about.st_mode & 0777U, 0600U);
  EXPECT_EQ(*token_in(path), *made) << "a later sitting has the same";
  EXPECT_EQ(*read_token(path), *made);
  ASSERT_EQ(::chmod(path.c_str(), 0644), 0);
  EXPECT_FALSE(read_token(path).ok());
}

}  // namespace
}  // namespace vortex::fleet
