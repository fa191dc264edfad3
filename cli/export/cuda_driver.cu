// Runs the policy once on random pages and prints which blocks each row attends to. Needs a GPU to run, none to build:
// README.md has the command. Exits with 1 where a selection is none.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "policy.h"

namespace {

constexpr int kRequests = 2;

void check(cudaError_t error, const char* what) {
  if (error == cudaSuccess) { return; }
  std::fprintf(stderr, "%s: %s\n", what, cudaGetErrorString(error));
  std::exit(3);
}

unsigned random_bits() {
  static unsigned long long state = 1;
  state = state * 6364136223846793005ULL + 1442695040888963407ULL;
  return static_cast<unsigned>(state >> 33);
}

// Numbers in (-2, 2), whatever the type: none is a NaN.
std::vector<unsigned char> random_numbers(size_t count, int element_bytes) {
  std::vector<unsigned char> bytes(count * static_cast<size_t>(element_bytes));
  for (size_t i = 0; i < count; ++i) {
    const float x = static_cast<float>(random_bits() % 20001) / 10000.0F - 1.0F;
    unsigned bits = 0;
    std::memcpy(&bits, &x, sizeof(bits));
    const unsigned char small = static_cast<unsigned char>(random_bits() & 0xbfU);  // either fp8
    const unsigned short half = static_cast<unsigned short>(bits >> 16);
    const void* from = element_bytes == 4   ? static_cast<const void*>(&bits)
                       : element_bytes == 2 ? static_cast<const void*>(&half)
                                            : static_cast<const void*>(&small);
    std::memcpy(bytes.data() + i * static_cast<size_t>(element_bytes), from, static_cast<size_t>(element_bytes));
  }
  return bytes;
}

// Device memory; lives as long as the program.
void* on_device(const void* data, size_t bytes) {
  void* memory = nullptr;
  check(cudaMalloc(&memory, bytes > 0 ? bytes : 1), "cudaMalloc");
  check(data != nullptr ? cudaMemcpy(memory, data, bytes, cudaMemcpyHostToDevice) : cudaMemset(memory, 0, bytes),
        "filling device memory");
  return memory;
}
template <typename T>
T* on_device(const std::vector<T>& data) {
  return static_cast<T*>(on_device(data.data(), data.size() * sizeof(T)));
}

// One line a row; false where the blocks are not ascending or do not end with the row's last one.
bool print_row(int row, int blocks, const int* chosen, int count, const int* pages) {
  std::printf("request %d, kv head %d: %d of %d blocks (block:page)", row / policy::kKvHeads, row % policy::kKvHeads,
              count, blocks);
  bool good = count >= 1 && count <= blocks && chosen[count - 1] == blocks - 1;
  for (int i = 0; i < count && i < blocks; ++i) {
    good = good && chosen[i] >= 0 && chosen[i] < blocks && (i == 0 || chosen[i - 1] < chosen[i]);
    if (good) { std::printf(" %d:%d", chosen[i], pages[chosen[i]]); }
  }
  std::printf(good ? "\n" : " -- no selection\n");
  return good;
}

}  // namespace

int main() {
  const int max_blocks = (policy::kMaxContext + policy::kBlock - 1) / policy::kBlock;
  const int all_pages = kRequests * max_blocks;
  const int rows = kRequests * policy::kKvHeads;
  const std::vector<int> lengths = {policy::kMaxContext, policy::kMaxContext / 2 + 1};
  std::vector<int> pages(static_cast<size_t>(all_pages));
  for (int i = 0; i < all_pages; ++i) { pages[static_cast<size_t>(i)] = i; }
  for (int i = all_pages - 1; i > 0; --i) {
    std::swap(pages[static_cast<size_t>(i)], pages[random_bits() % static_cast<unsigned>(i + 1)]);
  }

  policy::Params params{};
  for (int i = 0; i < policy::kFieldCount; ++i) {
    const policy::Field& field = policy::kFields[i];
    const size_t count = static_cast<size_t>(all_pages) * policy::kKvHeads * static_cast<size_t>(field.rows) *
                         static_cast<size_t>(field.cols);
    const size_t bytes = count * static_cast<size_t>(field.element_bytes);
    params.fields[i] =
        field.of_the_pool ? on_device(random_numbers(count, field.element_bytes)) : on_device(nullptr, bytes);
  }
  const size_t q_size = static_cast<size_t>(rows) * policy::kGroup * policy::kHeadDim;
  params.q = reinterpret_cast<const unsigned short*>(on_device(random_numbers(q_size, 2)));
  params.pages = on_device(pages);
  params.lengths = on_device(lengths);
  params.constants = static_cast<const float*>(on_device(policy::kConstants, sizeof(policy::kConstants)));
  params.row_floats = policy::row_floats(max_blocks);
  params.workspace = static_cast<float*>(
      on_device(nullptr, static_cast<size_t>(rows) * static_cast<size_t>(params.row_floats) * sizeof(float)));
  params.max_blocks = max_blocks;
  params.num_requests = kRequests;
  params.num_kv_heads = policy::kKvHeads;
  params.layer = 1;
  params.k_scale = params.v_scale = 1.0F;
  params.max_selected = max_blocks;
  params.blocks = static_cast<int*>(on_device(nullptr, static_cast<size_t>(rows) * max_blocks * sizeof(int)));
  params.counts = static_cast<int*>(on_device(nullptr, static_cast<size_t>(rows) * sizeof(int)));

  params.first_tokens = on_device(std::vector<int>(kRequests, 0));  // everything is new, as after prefill
  params.max_new_blocks = max_blocks;
  check(policy::update(params, nullptr), "vortex_update");
  check(policy::select(params, nullptr), "vortex_select");
  check(cudaDeviceSynchronize(), "running the policy");

  std::vector<int> blocks(static_cast<size_t>(rows) * static_cast<size_t>(max_blocks));
  std::vector<int> counts(static_cast<size_t>(rows));
  check(cudaMemcpy(blocks.data(), params.blocks, blocks.size() * sizeof(int), cudaMemcpyDeviceToHost), "reading");
  check(cudaMemcpy(counts.data(), params.counts, counts.size() * sizeof(int), cudaMemcpyDeviceToHost), "reading");
  bool good = true;
  for (int row = 0; row < rows; ++row) {
    const auto request = static_cast<size_t>(row / policy::kKvHeads);
    const int row_blocks = (lengths[request] + policy::kBlock - 1) / policy::kBlock;
    const size_t first = static_cast<size_t>(row) * static_cast<size_t>(max_blocks);
    good = print_row(row, row_blocks, blocks.data() + first, counts[static_cast<size_t>(row)],
                     pages.data() + request * static_cast<size_t>(max_blocks)) &&
           good;
  }
  return good ? 0 : 1;
}
