#include "core/engine/prefix_cache.h"

#include <algorithm>

namespace vortex::engine {

PrefixCache::Key PrefixCache::key_of(std::span<const int32_t> tokens, int index, int32_t before) const {
  const auto block = static_cast<size_t>(pool_.block_size());
  const std::span<const int32_t> page = tokens.subspan(static_cast<size_t>(index) * block, block);
  return {before, {page.begin(), page.end()}};
}

void PrefixCache::refer(int32_t page) {
  Node& of = node(page);
  if (of.references++ > 0) { return; }
  --unused_;
  evictable_.erase({of.used, page});
}

// Whoever refers to a page refers to all before it, so pages without references end where the tree does.
void PrefixCache::offer(int32_t page) {
  const Node& of = node(page);
  if (of.references == 0 && of.next == 0) { evictable_.insert({of.used, page}); }
}

std::vector<int32_t> PrefixCache::take(std::span<const int32_t> tokens, int most) {
  most = std::min(most, static_cast<int>(tokens.size()) / pool_.block_size());
  std::vector<int32_t> pages;
  for (int i = 0; i < most; ++i) {
    const auto found = places_.find(key_of(tokens, i, pages.empty() ? kNone : pages.back()));
    if (found == places_.end()) { break; }
    pages.push_back(found->second);
    refer(found->second);
  }
  return pages;
}

int PrefixCache::insert(std::span<const int32_t> tokens, std::span<const int32_t> pages, int known) {
  const int whole = std::min(static_cast<int>(pages.size()), static_cast<int>(tokens.size()) / pool_.block_size());
  for (int i = known; i < whole; ++i) {
    const int32_t before = i == 0 ? kNone : pages[static_cast<size_t>(i) - 1];
    const int32_t page = pages[static_cast<size_t>(i)];
    const auto [place, added] = places_.try_emplace(key_of(tokens, i, before), page);
    if (!added) { return i; }  // somebody read the same meanwhile, whose pages the cache has already
    node(page) = {before, 1, 0, 0, place};
    if (before != kNone) { ++node(before).next; }
  }
  return whole;
}

void PrefixCache::release(std::span<const int32_t> pages) {
  const uint64_t now = ++clock_;
  for (const int32_t page : pages) {
    Node& of = node(page);
    if (--of.references > 0) { continue; }
    ++unused_;
    of.used = now;
    offer(page);
  }
}

void PrefixCache::evict() {
  const int32_t page = evictable_.begin()->second;
  evictable_.erase(evictable_.begin());
  places_.erase(node(page).place);
  const int32_t before = node(page).before;
  --unused_;
  if (before != kNone) {
    --node(before).next;
    offer(before);
  }
  pool_.give_back({&page, 1});
}

int PrefixCache::shared(std::span<const int32_t> pages) const {
  return static_cast<int>(std::count_if(
      pages.begin(), pages.end(), [this](int32_t page) { return nodes_[static_cast<size_t>(page)].references > 1; }));
}

}  // namespace vortex::engine
