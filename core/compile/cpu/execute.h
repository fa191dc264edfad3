#pragma once

#include <cstdint>
#include <vector>

#include "base/aligned.h"
#include "core/compile/cpu/lower.h"
#include "core/compile/executable.h"
#include "kernels/cpu/pages.h"

namespace vortex::compile {

// Literal data of a program, ready for the kernels: rounded to bfloat16 (stages.h).
struct PreparedConstant {
  std::vector<int> dims;
  std::vector<float> data;
  std::vector<int> layer_lookup;
};
std::vector<PreparedConstant> prepare_constants(const vflow::Program& program);

// The buffers of one worker; they only grow, so a decode step allocates nothing once warm.
struct Scratch {
  AlignedVector<float> tile;
  AlignedVector<float> row;
  AlignedVector<float> batched;
  AlignedVector<float> pages;
  std::vector<int32_t> chosen;
};

// One row (indexer side) or one kv head of a list of pages (cache side), on its way through a lowered graph.
struct RowTask {
  const Lowered* lowered = nullptr;
  const std::vector<PreparedConstant>* constants = nullptr;
  const cpu::VectorKernels* kernels = nullptr;
  std::vector<cpu::PagedView> fields;  // of this kv head, indexed as Program::fields
  const int32_t* pages = nullptr;      // physical pages
  int64_t computed = 0;                // pages that fused steps compute: [0, computed)
  int64_t bos = 0;                     // the middle is [bos, computed)
  bool copy_over_rows = false;         // Softmax, Normalize, Conv1d only copy: too few pages
  int layer = 0;
  const float* q = nullptr;
  Scratch* scratch = nullptr;
};

// Runs the stages of the indexer side; scores and values to save stay in the scratch's row buffer.
void run_row(RowTask& task);
// Stores what the program saves, at pages [0, computed).
void save_row(const RowTask& task);
// Runs the cache side for all `computed` pages, tile by tile, and stores its fields.
void run_pages(RowTask& task);

// The values of a kRow place, all pages.
const float* row_values(const RowTask& task, const Place& place);

}  // namespace vortex::compile
