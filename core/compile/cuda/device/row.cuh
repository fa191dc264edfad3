// A row, its budget, its tiles of pages and its selection: what every compiled policy shares. The generated source
// defines kThreads, kTeam, kTilePages, kRecordBytes, kTeamBytes and the budget's constants before it includes this.
//
// A row = (request, kv head) belongs to one thread block, or to a cluster of them where rows are few. Operations inside
// pages run tile by tile: a team of threads takes kTilePages pages at a time into its records in shared memory.
// Operations over pages, and the choice, are the work of the cluster's first block.
#pragma once

#include "core/compile/cuda/device/over_pages.cuh"
#include "core/compile/cuda/device/params.h"
#include "kernels/cuda/select_keys.cuh"

namespace vortex::compile::device {

extern __shared__ __align__(16) unsigned char shared_memory[];  // [kOnceFloats], then the records of every team

// One page of a row (of any row: its shared parts have no page).
struct Page {
  const Params& params;
  const unsigned short* q;  // [group][head_dim] of the row
  float* once;              // values computed once a row, in shared memory
  float* work;              // the row's workspace
  int position;             // logical block
  long long slot;           // physical page * kv heads + kv head
  unsigned char* record;    // in shared memory
  __device__ __forceinline__ float* local() const { return reinterpret_cast<float*>(record); }
};

// This page's share of a field, `bytes` long.
template <int bytes>
__device__ __forceinline__ void* field_of(const Page& p, int field) {
  return static_cast<char*>(p.params.fields[field]) + p.slot * bytes;
}
// Where the workspace keeps a page's value of `size` elements, and a value of the whole row.
template <int size>
__device__ __forceinline__ float* row_value(const Page& p, long long offset) {
  return p.work + offset * p.params.max_blocks + static_cast<long long>(p.position) * size;
}
template <int row_floats>
__device__ __forceinline__ float* once_value(const Page& p, int offset) {
  return p.work + static_cast<long long>(row_floats) * p.params.max_blocks + offset;
}

template <int team>
__device__ __forceinline__ void team_barrier() {
  if (team == 32) {
    __syncwarp();
  } else {
    __syncthreads();
  }
}

__device__ __forceinline__ int cluster_rank() {
  int rank;
  asm("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
  return rank;
}
__device__ __forceinline__ int cluster_size() {
  int size;
  asm("mov.u32 %0, %%cluster_nctarank;" : "=r"(size));
  return size;
}

// Waits for every thread of the row; what they wrote before is visible after.
__device__ __forceinline__ void row_barrier() {
  if (cluster_size() == 1) {
    __syncthreads();
    return;
  }
  __threadfence();
  asm volatile("barrier.cluster.arrive.release.aligned;\nbarrier.cluster.wait.acquire.aligned;" ::: "memory");
}

// Starts copying `bytes` bytes, a multiple of 16, of each of a tile's pages to `at` in their records.
template <int team, int bytes, int at>
__device__ __forceinline__ void stage_field(const void* field, const int* pages, int count, int kv_head, int kv_heads,
                                            unsigned char* records) {
  constexpr int kChunks = bytes / 16;
#pragma unroll 4
  for (int i = static_cast<int>(threadIdx.x) % team; i < count * kChunks; i += team) {
    const int page = i / kChunks;
    const int chunk = i % kChunks;
    const long long slot = static_cast<long long>(pages[page]) * kv_heads + kv_head;
    const auto to = static_cast<unsigned>(__cvta_generic_to_shared(records + page * kRecordBytes + at + chunk * 16));
    const char* from = static_cast<const char*>(field) + slot * bytes + chunk * 16;
    asm volatile("cp.async.cg.shared.global.L2::128B [%0], [%1], 16;" ::"r"(to), "l"(from) : "memory");
  }
}
template <int team>
__device__ __forceinline__ void wait_for_fields() {
  asm volatile("cp.async.wait_all;" ::: "memory");
  team_barrier<team>();
}

// How many pages a row chooses, and from where (stages.h).
struct RowBudget {
  bool everything_fits;
  int bos, eos, middle;
};

__device__ __forceinline__ RowBudget row_budget(int budget, int blocks) {
  RowBudget out{true, 0, 0, 0};
  const int selected = max(1, min(budget, blocks));
  if (selected >= blocks) { return out; }
  out.everything_fits = false;
  out.eos = min(kReservedEos, selected);
  out.bos = min(kReservedBos, selected - out.eos);
  const int middle = max(0, blocks - kReservedBos - kReservedEos);
  out.middle = min(max(selected - kReservedBos - kReservedEos, 0), middle);
  return out;
}

struct Row {
  int index;  // request * kv heads + kv head
  int request;
  int kv_head;
  int blocks;    // n
  int computed;  // operations inside pages see [0, computed)
  int middle;    // operations over pages change [middle, computed)
  int topk_val;
  RowBudget budget;
  const int* pages;
};

// This block's row. An idle row, or one that needs no scores, is dealt with here; false where that was all.
template <class Budget>
__device__ __forceinline__ bool open_row(const Params& a, Row& row, Budget budget) {
  row.index = static_cast<int>(blockIdx.x) / cluster_size();
  row.request = row.index / a.num_kv_heads;
  row.kv_head = row.index % a.num_kv_heads;
  row.pages = a.pages + static_cast<long long>(row.request) * a.max_blocks;
  const bool idle = a.active != nullptr && a.active[row.request] == 0;
  row.blocks = idle ? 0 : min((a.lengths[row.request] + kBlock - 1) / kBlock, a.max_blocks);
  row.topk_val = a.topk_val;
  row.budget = row_budget(budget(row.blocks, a.topk_val), row.blocks);
  row.computed = max(0, row.blocks - kReservedEos);
  row.middle = min(kReservedBos, row.computed);
  if (!row.budget.everything_fits) { return true; }
  if (cluster_rank() == 0) {
    int* out = a.blocks + static_cast<long long>(row.index) * a.max_selected;
    for (int i = static_cast<int>(threadIdx.x); i < row.blocks; i += kThreads) { out[i] = i; }
    if (threadIdx.x == 0) { a.counts[row.index] = row.blocks; }
  }
  return false;
}

// Where operations over pages begin to change what they copy otherwise: nowhere when a row has too few pages.
__device__ __forceinline__ int first_changed(const Row& row) {
  return row.blocks <= kReservedBos + kReservedEos + row.topk_val ? row.computed : row.middle;
}

// Calls body(element) for the `size` elements of a value, spread over the block.
template <int size, class Body>
__device__ __forceinline__ void for_elements_of_block(Body body) {
  for (int e = static_cast<int>(threadIdx.x); e < size; e += kThreads) { body(e); }
}

// Calls body(page, element) for the `size` elements of the `count` pages of a tile, spread over the team.
template <int size, class Body>
__device__ __forceinline__ void for_elements_of_tile(int count, Body body) {
  const int lane = static_cast<int>(threadIdx.x) % kTeam;
  if (size >= 8) {
    for (int i = lane; i < count * size; i += kTeam) { body(i / size, i % size); }
  } else {
    for (int i = lane; i < kTilePages * size; i += kTeam) {
      if (i % kTilePages < count) { body(i % kTilePages, i / kTilePages); }
    }
  }
}

// Calls body(position, count, records, pages) for the tiles of this team: `count` pages from block `position` on.
template <class Body>
__device__ __forceinline__ void for_tiles(const Row& row, unsigned char* teams, Body body) {
  constexpr int kTeams = kThreads / kTeam;

  const int lane = static_cast<int>(threadIdx.x) % kTeam;
  const int team = static_cast<int>(threadIdx.x) / kTeam;
  unsigned char* records = teams + team * kTeamBytes;
  int* pages = reinterpret_cast<int*>(records + kTilePages * kRecordBytes);
  const int step = cluster_size() * kTeams * kTilePages;
  int first = (cluster_rank() * kTeams + team) * kTilePages;
  const auto fetch = [&](int from) { return row.pages[min(from + lane, row.blocks - 1)]; };
  int page = first < row.computed ? fetch(first) : 0;
  for (; first < row.computed; first += step) {
    if (lane < kTilePages) { pages[lane] = page; }
    if (first + step < row.computed) { page = fetch(first + step); }
    team_barrier<kTeam>();
    body(first, min(kTilePages, row.computed - first), records, pages);
    team_barrier<kTeam>();
  }
}

// One list of scores, from score(position): the reserved blocks and the `k` best of the middle, by emit(rank, block) in
// ascending order. Gives how many. `keys` holds computed - middle words of shared memory.
template <int kBits, class Score, class Emit>
__device__ __forceinline__ int choose_blocks(const Row& row, int bos, int eos, int k, double tolerance, unsigned* keys,
                                             Score score, Emit emit) {
  const int competing = row.computed - row.middle;
  k = min(k, competing);
  for (int i = static_cast<int>(threadIdx.x); i < bos; i += kThreads) { emit(i, i); }
  const int chosen = bos + max(k, 0);
  for (int i = static_cast<int>(threadIdx.x); i < eos; i += kThreads) { emit(chosen + i, row.blocks - eos + i); }
  if (k <= 0) { return chosen + eos; }
  for (int i = static_cast<int>(threadIdx.x); i < competing; i += kThreads) {
    const unsigned key = cuda::score_key(score(row.middle + i));
    keys[i] = kBits == 16 ? key & 0xffff0000U : key;
  }
  const int enough = tolerance > 0 ? static_cast<int>(ceil((1.0 - tolerance) * k)) : -1;
  __shared__ cuda::Digits digits;
  cuda::select_largest<kThreads, kBits>(keys, competing, digits, false, k, enough,
                                        [&](int rank, int position) { emit(bos + rank, row.middle + position); });
  __syncthreads();
  return chosen + eos;
}

__device__ __forceinline__ void clear_marks(const Row& row, unsigned* marks) {
  for (int i = static_cast<int>(threadIdx.x); i < (row.blocks + 31) / 32; i += kThreads) { marks[i] = 0; }
  __syncthreads();
}
__device__ __forceinline__ void mark(unsigned* marks, int block) { atomicOr(marks + block / 32, 1U << block % 32); }

// Writes the marked blocks in ascending order.
__device__ __forceinline__ void write_marked(const Params& a, const Row& row, const unsigned* marks) {
  __syncthreads();
  if (threadIdx.x >= 32) { return; }
  const int lane = static_cast<int>(threadIdx.x);
  int* out = a.blocks + static_cast<long long>(row.index) * a.max_selected;
  int written = 0;
  for (int from = 0; from < row.blocks; from += 1024) {
    const int word = from / 32 + lane;
    unsigned bits = word * 32 < row.blocks ? marks[word] : 0U;
    int at = __popc(bits);
#pragma unroll
    for (int width = 1; width < 32; width *= 2) {
      const int before = __shfl_up_sync(kAllLanes, at, width);
      at += lane >= width ? before : 0;
    }
    const int total = __shfl_sync(kAllLanes, at, 31);
    at += written - __popc(bits);
    for (; bits != 0; bits &= bits - 1) { out[at++] = word * 32 + __ffs(static_cast<int>(bits)) - 1; }
    written += total;
  }
  if (lane == 0) { a.counts[row.index] = written; }
}

// The block that an update is for: gives its position in the row, -1 if there is none.
__device__ __forceinline__ int block_to_update(const Params& a, int request, int index) {
  if (a.active != nullptr && a.active[request] == 0) { return -1; }
  const int length = a.lengths[request];
  const int complete = length / kBlock;
  const int block = a.first_tokens == nullptr ? complete - 1 : a.first_tokens[request] / kBlock + index;
  const bool wanted = a.first_tokens != nullptr || length % kBlock == 0;
  return wanted && block >= 0 && block < complete && block < a.max_blocks ? block : -1;
}

// Calls complete(request, kv head, block) for the block that this row's newest token completed, before anybody reads
// what it writes.
template <class Complete>
__device__ __forceinline__ void complete_newest(const Params& a, Complete complete) {
  const int row = static_cast<int>(blockIdx.x) / cluster_size();
  const int request = row / a.num_kv_heads;
  const int block = block_to_update(a, request, 0);
  if (block < 0) { return; }
  if (cluster_rank() == 0) { complete(request, row % a.num_kv_heads, block); }
  row_barrier();
}

}  // namespace vortex::compile::device
