// Pages that prompts share: found by their tokens, counted by reference, given back in the order of their use.
#include "core/engine/prefix_cache.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "base/rng.h"

namespace vortex::engine {
namespace {

using Tokens = std::vector<int32_t>;

class PrefixCacheTest : public ::testing::Test {
 protected:
  void SetUp() override {
    model::ModelConfig config;
    config.num_layers = 1;
    config.num_q_heads = config.num_kv_heads = 1;
    config.head_dim = 16;
    ASSERT_TRUE(pool_.configure(config, 4, nullptr, 8).ok());
    cache_.emplace(pool_);
  }

  // A prompt that is read: its pages, those of the cache first.
  struct Reader {
    Tokens tokens;
    Tokens pages;
    int known = 0;
    int cached = 0;
  };

  Reader begin(const Tokens& tokens) {
    Reader reader;
    reader.tokens = tokens;
    reader.pages = cache_->take(tokens, 100);
    reader.known = static_cast<int>(reader.pages.size());
    while (static_cast<int>(reader.pages.size()) < pool_.blocks_for(static_cast<int64_t>(tokens.size()))) {
      if (pool_.free_pages() == 0) { cache_->evict(); }
      reader.pages.push_back(pool_.take());
    }
    return reader;
  }
  void end(Reader& reader) { reader.cached = cache_->insert(reader.tokens, reader.pages, reader.known); }
  void leave(const Reader& reader) {
    const std::span<const int32_t> pages = reader.pages;
    cache_->release(pages.first(static_cast<size_t>(reader.cached)));
    pool_.give_back(pages.subspan(static_cast<size_t>(reader.cached)));
  }
  Reader read(const Tokens& tokens) {
    Reader reader = begin(tokens);
    end(reader);
    return reader;
  }
  // How many pages of it are known.
  int known(const Tokens& tokens) {
    const Tokens pages = cache_->take(tokens, 100);
    cache_->release(pages);
    return static_cast<int>(pages.size());
  }

  KvPool pool_;
  std::optional<PrefixCache> cache_;
};

const Tokens kFirst = {1, 2, 3, 4, 5, 6, 7, 8, 9};
const Tokens kSecond = {1, 2, 3, 4, 5, 6, 7, 80};

TEST_F(PrefixCacheTest, WholePagesAreSharedAsFarAsPromptsBeginAlike) {
  const Reader first = read(kFirst);
  EXPECT_EQ(first.cached, 2) << "the third page is not full";
  const Reader second = begin(kSecond);
  EXPECT_EQ(second.known, 1);
  EXPECT_EQ(second.pages[0], first.pages[0]);
  EXPECT_EQ(cache_->take(kFirst, 1).size(), 1U) << "no more than were asked for";
  EXPECT_EQ(known({5, 6, 7, 8, 1, 2, 3, 4}), 0) << "not at the beginning";
}

TEST_F(PrefixCacheTest, PagesAreCountedByWhoRefersToThem) {
  const Reader first = read(kFirst);
  const Reader second = read(kSecond);
  EXPECT_EQ(cache_->shared(std::span(first.pages).first(2)), 1);
  EXPECT_EQ(cache_->unused(), 0);
  leave(first);
  EXPECT_EQ(cache_->shared(std::span(second.pages).first(2)), 0);
  EXPECT_EQ(cache_->unused(), 1) << "the first page is still referred to";
  leave(second);
  EXPECT_EQ(cache_->unused(), 3);
  EXPECT_EQ(pool_.free_pages() + cache_->unused(), 8);
}

TEST_F(PrefixCacheTest, OfTwoWhoReadTheSameAtOnceOneKeepsPagesOfItsOwn) {
  Reader first = begin(kFirst);
  Reader second = begin(kFirst);
  end(first);
  end(second);
  EXPECT_EQ(first.cached, 2);
  EXPECT_EQ(second.cached, 0);
  leave(second);
  EXPECT_EQ(known(kFirst), 2);
  leave(first);
  EXPECT_EQ(pool_.free_pages() + cache_->unused(), 8);
}

TEST_F(PrefixCacheTest, TheEndOfWhatWasUsedLongestAgoGoesFirst) {
  leave(read(kFirst));          // two pages
  leave(read(kSecond));         // and one more
  EXPECT_EQ(known(kFirst), 2);  // which uses the first prompt once more
  cache_->evict();
  EXPECT_EQ(known(kSecond), 1);
  EXPECT_EQ(known(kFirst), 2);
  cache_->evict();
  EXPECT_EQ(known(kFirst), 1) << "the end, not the beginning";
  cache_->evict();
  EXPECT_EQ(known(kFirst), 0);
  EXPECT_EQ(pool_.free_pages(), 8);
  EXPECT_EQ(cache_->unused(), 0);
}

// Against a cache that looks at everything: a page is right if it is the one that was kept for these very tokens.
TEST_F(PrefixCacheTest, RandomReadersFindTheirOwnPagesAndLeaveNone) {
  Rng rng(7);
  std::map<int32_t, Tokens> kept;  // page -> the tokens up to its end
  std::vector<Reader> readers;
  int hits = 0;
  for (int step = 0; step < 3000; ++step) {
    if (readers.size() < 2 && rng.below(2) == 0) {
      Tokens tokens;
      for (int i = rng.between(1, 15); i > 0; --i) { tokens.push_back(rng.between(0, 1)); }
      Reader reader = begin(tokens);
      for (int i = 0; i < reader.known; ++i) {
        EXPECT_EQ(kept.at(reader.pages[static_cast<size_t>(i)]), Tokens(tokens.begin(), tokens.begin() + 4 * (i + 1)));
        ++hits;
      }
      end(reader);
      for (int i = reader.known; i < reader.cached; ++i) {
        kept[reader.pages[static_cast<size_t>(i)]] = Tokens(tokens.begin(), tokens.begin() + 4 * (i + 1));
      }
      readers.push_back(std::move(reader));
    } else if (!readers.empty()) {
      const size_t who = rng.below(readers.size());
      leave(readers[who]);
      readers.erase(readers.begin() + static_cast<std::ptrdiff_t>(who));
    }
    int held = 0;
    std::set<int32_t> distinct;
    for (const Reader& reader : readers) { distinct.insert(reader.pages.begin(), reader.pages.end()); }
    held = static_cast<int>(distinct.size());
    ASSERT_EQ(held + cache_->unused() + pool_.free_pages(), 8) << step;
  }
  EXPECT_GT(hits, 100);
}

}  // namespace
}  // namespace vortex::engine
