#include <filesystem>

#include "base/files.h"
#include "base/sha256.h"
#include "fetch/checksum.h"
#include "fetch/download.h"
#include "fetch/hub.h"
#include "tests/core/model/checkpoint.h"
#include "tests/net/bad_server.h"

namespace vortex::fetch {
namespace {

namespace fs = std::filesystem;

class FetchTest : public ::testing::Test {
 protected:
  void SetUp() override {
    hub_.endpoint = server_.url();
    retries_.attempts = 3;
    retries_.first_pause = 0.01;
    retries_.longest_wait = 5;
  }
  Result<Listing> list(const std::string& repo, const std::string& revision = "main") {
    return list_files(hub_, RepoKind::kModel, repo, revision, retries_, {});
  }
  RemoteFile file(const std::string& path) {
    const auto listing = list("lab/tiny");
    EXPECT_TRUE(listing.ok());
    for (const RemoteFile& one : listing->files) {
      if (one.path == path) { return one; }
    }
    ADD_FAILURE() << path;
    return {};
  }
  std::string url_path(const std::string& path) const { return "/lab/tiny/resolve/" + commit_ + "/" + path; }
  Result<Fetched> get(const RemoteFile& file, DownloadHooks hooks = {}) {
    return download(file_request(hub_, RepoKind::kModel, "lab/tiny", commit_, file.path), file, folder_.path(),
                    retries_, hooks);
  }
  // The weights, with the server behaving as told: the right file must be in place.
  void expect_right(const std::vector<std::string>& script) {
    const RemoteFile weights = file("model.safetensors");
    fs::remove(folder_.path() / weights.path);
    server_.behave(url_path(weights.path), script);
    const auto fetched = get(weights);
    ASSERT_TRUE(fetched.ok()) << script[0] << ": " << fetched.error().message;
    EXPECT_TRUE(is_whole(folder_.path() / weights.path, weights)) << script[0];
    expect_no_parts();
  }
  // There must be an error, nothing in place.
  Error expect_error(const std::vector<std::string>& script) {
    const RemoteFile weights = file("model.safetensors");
    server_.behave(url_path(weights.path), script);
    const auto fetched = get(weights);
    EXPECT_FALSE(fetched.ok()) << script[0];
    EXPECT_FALSE(fs::exists(folder_.path() / weights.path)) << script[0];
    return fetched.ok() ? Error{} : fetched.error();
  }
  void expect_no_parts() {
    for (const auto& entry : fs::recursive_directory_iterator(folder_.path())) {
      EXPECT_NE(entry.path().extension(), ".part") << entry.path();
    }
  }

  vortex::testing::BadServer server_;
  vortex::testing::TempFolder folder_;
  Hub hub_;
  net::RetryPolicy retries_;
  std::string commit_ = "0123456789abcdef0123456789abcdef01234567";
};

TEST_F(FetchTest, ListsAllPages) {
  server_.behave("/api/models/lab/tiny/tree/" + commit_, {"status:503", "drop:0", "ok", "status:429:0"});
  const auto listing = list("lab/tiny");
  ASSERT_TRUE(listing.ok()) << listing.error().message;
  EXPECT_EQ(listing->commit, commit_);
  ASSERT_EQ(listing->files.size(), 5U);
  EXPECT_EQ(listing->files[3].path, "model.safetensors");
  EXPECT_EQ(listing->files[3].size, 300'000);
  EXPECT_EQ(listing->files[3].sha256.size(), 64U);
  EXPECT_TRUE(listing->files[0].sha256.empty());
}

TEST_F(FetchTest, SaysWhoIsToBlameForNoListing) {
  EXPECT_EQ(list("lab/none").error().blame, Blame::kCandidate);
  EXPECT_EQ(list("lab/tiny", "v9").error().blame, Blame::kCandidate);
  EXPECT_NE(list("lab/gated").error().hint.find("HF_TOKEN"), std::string::npos);
  hub_.token = "wrong";
  const Error refused = list("lab/gated").error();
  EXPECT_EQ((refused.message + refused.hint).find("wrong"), std::string::npos) << "the token is never shown";
  hub_.token = "sesame";
  EXPECT_TRUE(list("lab/gated").ok());
  server_.behave("/api/models/lab/tiny/revision/main", {"html"});
  EXPECT_EQ(list("lab/tiny").error().blame, Blame::kEnvironment);
  hub_.endpoint = "http://127.0.0.1:1";
  EXPECT_EQ(list("lab/tiny").error().blame, Blame::kEnvironment);
}

TEST_F(FetchTest, DownloadsEveryFileOnce) {
  const auto listing = list("lab/tiny");
  ASSERT_TRUE(listing.ok());
  for (const RemoteFile& one : listing->files) {
    int64_t last = -1;
    DownloadHooks hooks;
    hooks.on_bytes = [&](int64_t bytes) { last = bytes; };
    const auto fetched = get(one, hooks);
    ASSERT_TRUE(fetched.ok()) << fetched.error().message;
    EXPECT_EQ(*fetched, Fetched::kDownloaded);
    EXPECT_TRUE(is_whole(folder_.path() / one.path, one)) << one.path;
    if (one.size > 0) { EXPECT_EQ(last, one.size); }
    EXPECT_EQ(*get(one), Fetched::kWasThere);
  }
  expect_no_parts();
}

TEST_F(FetchTest, SurvivesABadServer) {
  expect_right({"drop:0", "ok"});
  expect_right({"drop:100000", "ok"});
  expect_right({"drop:1000", "drop:1000", "drop:1000", "drop:1000", "drop:1000", "ok"});  // each brings something
  expect_right({"drop:150000", "whole"});                                                 // no ranges
  expect_right({"drop:150000", "shifted", "ok"});
  expect_right({"status:429:0", "status:503", "ok"});
  expect_right({"slow:10"});
  expect_right({"corrupt", "ok"});
  expect_right({"longer", "ok"});
  expect_right({"html", "ok"});
}

TEST_F(FetchTest, ContinuesWhereItEnded) {
  expect_right({"drop:100000", "ok"});
  const nlohmann::json log = server_.log();
  EXPECT_EQ(log.back().at("headers").at("range"), "bytes=100000-");
}

TEST_F(FetchTest, GivesUpWithNothingBadInPlace) {
  EXPECT_EQ(expect_error({"corrupt", "corrupt"}).blame, Blame::kEnvironment);
  EXPECT_EQ(expect_error({"html", "html"}).blame, Blame::kEnvironment);
  EXPECT_EQ(expect_error(std::vector<std::string>(20, "loop")).blame, Blame::kEnvironment);
  EXPECT_EQ(expect_error({"status:500", "status:502", "status:503"}).blame, Blame::kEnvironment);
  EXPECT_EQ(expect_error({"status:429:3600"}).blame, Blame::kEnvironment);
  EXPECT_EQ(expect_error({"status:403"}).blame, Blame::kCandidate);
  EXPECT_EQ(expect_error({"drop:0", "drop:0", "drop:0"}).blame, Blame::kEnvironment);
}

TEST_F(FetchTest, ReplacesAFileThatIsNotTheOneListed) {
  const RemoteFile weights = file("model.safetensors");
  ASSERT_TRUE(write_file_atomic(folder_.path() / weights.path, std::string(300'000, 'x')).ok());
  EXPECT_EQ(*get(weights), Fetched::kDownloaded);
  EXPECT_TRUE(is_whole(folder_.path() / weights.path, weights));
}

TEST_F(FetchTest, StopsWhenToldAndGoesOnLater) {
  const RemoteFile weights = file("model.safetensors");
  server_.behave(url_path(weights.path), {"slow:50"});
  DownloadHooks hooks;
  int64_t seen = 0;
  hooks.on_bytes = [&](int64_t bytes) { seen = bytes; };
  hooks.should_stop = [&] { return seen > 30'000; };
  const auto stopped = get(weights, hooks);
  ASSERT_FALSE(stopped.ok());
  EXPECT_FALSE(fs::exists(folder_.path() / weights.path));
  EXPECT_TRUE(get(weights).ok());
  EXPECT_TRUE(server_.log().back().at("headers").contains("range"));
}

TEST_F(FetchTest, SendsTheTokenToItsOwnHostAlone) {
  const vortex::testing::BadServer storage;
  hub_.token = "sesame";
  const RemoteFile weights = file("model.safetensors");
  server_.behave(url_path(weights.path), {"redirect:" + storage.url() + url_path(weights.path)});
  ASSERT_TRUE(get(weights).ok());
  EXPECT_EQ(server_.log().back().at("headers").at("authorization"), "Bearer sesame");
  EXPECT_FALSE(storage.log().back().at("headers").contains("authorization"));
  EXPECT_TRUE(file_request(hub_, RepoKind::kData, "a/b", "c", "d e/f?.json")
                  .url.ends_with("/datasets/a/b/resolve/c/d%20e/f%3F.json"));
}

TEST(SafePath, StaysInItsFolder) {
  for (const char* good : {"a", "a/b.json", "..a/b..", ".gitattributes"}) { EXPECT_TRUE(is_safe_path(good)) << good; }
  for (const char* bad : {"", "/a", "../a", "a/../b", "a/..", "a//b", "a/", ".", "a\\b", "a\nb"}) {
    EXPECT_FALSE(is_safe_path(bad)) << bad;
  }
}

TEST(Checksum, KnownValues) {
  const vortex::testing::TempFolder folder;
  vortex::testing::write_text(folder.path() / "a", "hello\n");
  EXPECT_EQ(file_sha256(folder.path() / "a"), sha256_hex("hello\n"));
  EXPECT_EQ(file_git_oid(folder.path() / "a"), "ce013625030ba8dba906f756967f9e9ca394464a");  // git hash-object
  EXPECT_FALSE(file_sha256(folder.path() / "b").has_value());
}

TEST(NamedRepo, IsANameOrThePagesAddress) {
  struct Case {
    const char* text;
    const char* repo;
    const char* revision;
    bool data;
  };
  for (const Case& each : {Case{"lab/tiny", "lab/tiny", "", false}, Case{"tiny", "tiny", "", false},
                           Case{"https://hub.example/lab/tiny", "lab/tiny", "", false},
                           Case{"https://hub.example/lab/tiny/", "lab/tiny", "", false},
                           Case{"https://hub.example/lab/tiny/tree/dev", "lab/tiny", "dev", false},
                           Case{"https://hub.example/lab/tiny?library=x#files", "lab/tiny", "", false},
                           Case{"https://hub.example/datasets/lab/sums/tree/refs/pr/3", "lab/sums", "refs/pr/3", true},
                           Case{"datasets/lab/sums", "lab/sums", "", true},
                           Case{"https://other.example/lab/tiny", "https://other.example/lab/tiny", "", false}}) {
    const NamedRepo named = named_repo("https://hub.example", each.text);
    EXPECT_EQ(named.repo, each.repo) << each.text;
    EXPECT_EQ(named.revision, each.revision) << each.text;
    EXPECT_EQ(named.data, each.data) << each.text;
  }
  EXPECT_FALSE(is_safe_path(named_repo("https://hub.example", "https://other.example/lab/tiny").repo));
}

}  // namespace
}  // namespace vortex::fetch
