// Snapshots of prefilled prompts on disk.
#include "core/engine/prefix.h"

#include "base/files.h"
#include "tests/core/engine/support.h"

namespace vortex::engine {
namespace {

using testing::TempFolder;

EngineOptions small_options() {
  EngineOptions options;
  options.max_context = 256;
  options.max_batch = 4;
  return options;
}

std::vector<std::filesystem::path> files_in(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) { files.push_back(entry.path()); }
  return files;
}

std::vector<int32_t> continue_from(CpuEngine& engine, const std::vector<int32_t>& prompt, PrefixPtr prefix,
                                   RunStats& stats) {
  Request request;
  request.prompt = prompt;
  request.prefix = std::move(prefix);
  request.max_new_tokens = 30;
  request.ignore_eos = true;
  return engine.generate({request}, &stats).value()[0].tokens;
}

TEST(Prefix, ReuseEqualsRecompute) {
  TempFolder folder;
  auto engine = testing::make_engine({}, small_options());
  const auto prompt = testing::random_tokens(100, 50, 1);
  RunStats fresh;
  RunStats computed;
  RunStats mapped;
  const auto expected = continue_from(*engine, prompt, nullptr, fresh);
  EXPECT_EQ(continue_from(*engine, prompt, engine->prefix(prompt, folder.path()).value(), computed), expected);
  ASSERT_EQ(files_in(folder.path()).size(), 1U);
  const PrefixPtr loaded = engine->prefix(prompt, folder.path()).value();
  EXPECT_TRUE(loaded->file.has_value());
  EXPECT_EQ(continue_from(*engine, prompt, loaded, mapped), expected);
  EXPECT_EQ(fresh.prefill_tokens, 100);
  EXPECT_EQ(computed.prefill_tokens, 0);
  EXPECT_EQ(mapped.prefill_tokens, 0);
}

TEST(Prefix, DamagedFilesAreRecomputed) {
  TempFolder folder;
  auto engine = testing::make_engine({}, small_options());
  const auto prompt = testing::random_tokens(40, 50, 1);
  ASSERT_TRUE(engine->prefix(prompt, folder.path()).ok());
  const std::filesystem::path path = files_in(folder.path()).at(0);
  const std::string good = read_file(path).value();
  std::vector<std::string> damaged = {"", "x", good.substr(0, 100), good.substr(0, good.size() - 1), good + "x"};
  for (size_t at :
       {size_t{0}, size_t{20}, size_t{100}, size_t{170}, size_t{210}, size_t{255}, size_t{300}, good.size() - 1}) {
    damaged.push_back(good);
    damaged.back()[at] = static_cast<char>(damaged.back()[at] ^ 0x10);
  }
  for (const std::string& bytes : damaged) {
    testing::write_text(path, bytes);
    const auto prefix = engine->prefix(prompt, folder.path());
    ASSERT_TRUE(prefix.ok());
    EXPECT_FALSE((*prefix)->file.has_value());
    EXPECT_EQ(read_file(path).value(), good);
  }
}

TEST(Prefix, BelongsToOneModelAndPrompt) {
  TempFolder folder;
  auto engine = testing::make_engine({}, small_options());
  auto other = testing::make_engine({.seed = 2}, small_options());
  const auto prompt = testing::random_tokens(40, 50, 1);
  const PrefixPtr prefix = engine->prefix(prompt, folder.path()).value();
  ASSERT_TRUE(other->prefix(prompt, folder.path()).ok());
  ASSERT_TRUE(engine->prefix(testing::random_tokens(40, 50, 2), folder.path()).ok());
  EXPECT_EQ(files_in(folder.path()).size(), 3U);
  Request request;
  request.prompt = prompt;
  request.prefix = prefix;
  EXPECT_TRUE(engine->generate({request}, nullptr).ok());
  EXPECT_FALSE(other->generate({request}, nullptr).ok());
  request.prompt[3] = request.prompt[3] == 5 ? 6 : 5;
  const auto outputs = engine->generate({request}, nullptr);
  ASSERT_FALSE(outputs.ok());
  EXPECT_EQ(outputs.error().blame, Blame::kInternal);
}

TEST(Prefix, TheOnesUsedLongestAgoGoFirst) {
  testing::TempFolder folder;
  const auto now = std::filesystem::file_time_type::clock::now();
  const auto put = [&](const std::string& name, int hours_ago) {
    ASSERT_TRUE(write_file_atomic(folder.path() / name, std::string(100, 'x')).ok());
    std::filesystem::last_write_time(folder.path() / name, now - std::chrono::hours(hours_ago));
  };
  put("own.kv", 9);
  put("older.kv", 8);
  put("old.kv", 7);
  put("new.kv", 1);
  put("trace.json", 10);  // no snapshot
  const auto there = [&](const char* name) { return std::filesystem::exists(folder.path() / name); };
  ASSERT_TRUE(trim_prefixes(folder.path(), 400, {"own.kv"}).ok());
  EXPECT_TRUE(there("old.kv")) << "all fit";
  ASSERT_TRUE(trim_prefixes(folder.path(), 250, {"own.kv"}).ok());
  EXPECT_TRUE(there("own.kv") && there("new.kv") && there("trace.json"));
  EXPECT_FALSE(there("old.kv") || there("older.kv"));
  ASSERT_TRUE(trim_prefixes(folder.path(), 0, {"own.kv"}).ok());
  EXPECT_TRUE(there("own.kv"));
  EXPECT_FALSE(there("new.kv"));
  EXPECT_TRUE(trim_prefixes(folder.path() / "nowhere", 0, {}).ok());
}

TEST(Prefix, UnwritableFolderIsTheEnvironmentsFault) {
  TempFolder folder;
  testing::write_text(folder.path() / "file", "x");
  auto engine = testing::make_engine({}, small_options());
  const auto prefix = engine->prefix({2, 3, 4}, folder.path() / "file" / "below");
  ASSERT_FALSE(prefix.ok());
  EXPECT_EQ(prefix.error().blame, Blame::kEnvironment);
}

}  // namespace
}  // namespace vortex::engine
