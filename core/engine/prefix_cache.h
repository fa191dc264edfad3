#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <set>
#include <span>
#include <utility>
#include <vector>

#include "core/engine/kv_pool.h"

namespace vortex::engine {

// Whole pages of prompts that were read, for later ones that begin alike: each is known by its tokens and by the page
// before it. Pages are shared by reference, with the policy's summaries in them; those that nobody refers to stay until
// the pool needs them, those used longest ago going first. K, V and summaries of a prompt's page follow from the tokens
// up to its end alone, so a hit has the bits that reading them again would give. A cache belongs to one pool, and so to
// one model and one policy.
class PrefixCache {
 public:
  // All pages of `pool`, which outlives it, are free or others'.
  explicit PrefixCache(KvPool& pool) : pool_(pool), nodes_(static_cast<size_t>(pool.pages())) {}

  // The pages that `tokens` begin with, as many as are known, at most `most`. The caller refers to each from now on.
  std::vector<int32_t> take(std::span<const int32_t> tokens, int most);

  // Keeps the pages of a prompt that were just filled: `pages` are those of its first tokens, the first `known` of them
  // from take(). Gives how many of them the cache has now; the caller refers to these, the others are its own.
  int insert(std::span<const int32_t> tokens, std::span<const int32_t> pages, int known);

  // The caller no longer refers to these pages, which are the cache's.
  void release(std::span<const int32_t> pages);

  // Gives the pool the page back that nobody refers to and that was used longest ago; there must be one.
  void evict();

  int unused() const { return unused_; }  // pages that nobody refers to
  // How many of these pages, which are the cache's, somebody else refers to as well.
  int shared(std::span<const int32_t> pages) const;

 private:
  static constexpr int32_t kNone = -1;  // before a prompt's first page
  struct Key {
    int32_t before = kNone;
    std::vector<int32_t> tokens;
    auto operator<=>(const Key&) const = default;
  };
  using Places = std::map<Key, int32_t>;  // the page
  struct Node {
    int32_t before = kNone;
    int references = 0;
    int next = 0;       // pages that go on from this one
    uint64_t used = 0;  // when it was released last
    Places::iterator place;
  };

  Key key_of(std::span<const int32_t> tokens, int index, int32_t before) const;
  Node& node(int32_t page) { return nodes_[static_cast<size_t>(page)]; }
  void refer(int32_t page);
  void offer(int32_t page);

  KvPool& pool_;
  std::vector<Node> nodes_;  // [page]
  Places places_;
  std::set<std::pair<uint64_t, int32_t>> evictable_;  // (used, page) of those without references and without a next one
  int unused_ = 0;
  uint64_t clock_ = 0;
};

}  // namespace vortex::engine
