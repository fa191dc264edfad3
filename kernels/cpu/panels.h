// Where panels of a PackedMatrix lie. Internal to the file that includes it.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cpu/gemm.h"

namespace vortex::cpu {
namespace {

// Neighbouring panels of one group. Pairs of one k are kPairs apart from panel to panel, and pair_stride from k to k.
struct PanelRun {
  std::int64_t offset = 0;  // of the first one, in elements
  std::int64_t pair_stride = 0;
  int count = 0;
};
constexpr int kPairs = 32;  // elements that a panel has of one pair of k
constexpr std::uintptr_t kGroupPairs = sizeof(Bf16) * kPairs * kGroupPanels;  // bytes of those of a whole group

// The panels from `panel` on that are in its group and before `end`, of an [n][k] matrix.
inline PanelRun panel_run(int n, int k, std::int64_t panel, std::int64_t end) {
  const std::int64_t panels = (n + 15) / 16;
  const std::int64_t group = panel / kGroupPanels * kGroupPanels;
  const std::int64_t width = panels - group < kGroupPanels ? panels - group : kGroupPanels;
  const std::int64_t last = group + width < end ? group + width : end;
  PanelRun run;
  run.offset = group * panel_size(k) + (panel - group) * kPairs;
  run.pair_stride = width * kPairs;
  run.count = static_cast<int>(last - panel);
  return run;
}

// Where one stream of pairs is read, `step` bytes at a time: in the middle of a page of memory asks for the first lines
// of the next one; never where step is 0. The hardware follows a stream to the end of a small page and then starts
// anew, a whole latency later. How many lines pay was measured (docs/benchmarks/cpu.md). Inlined by force, as GCC 12
// drops calls of functions that only prefetch.
template <int lines>
__attribute__((always_inline)) inline void ask_for_next_page(const Bf16* pairs, std::uintptr_t step) {
  constexpr std::uintptr_t kPage = 4096;
  const std::uintptr_t place = reinterpret_cast<std::uintptr_t>(pairs) % kPage;
  if (place - kPage / 2 >= step) { return; }
  const char* next = reinterpret_cast<const char*>(pairs) - place + kPage;
#pragma GCC unroll 8
  for (int line = 0; line < lines; ++line) { __builtin_prefetch(next + std::ptrdiff_t{64} * line); }
}

}  // namespace
}  // namespace vortex::cpu
