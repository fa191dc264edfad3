// What the host passes to the kernels of a compiled policy. Read by the C++ compiler and by NVRTC: includes nothing.
#pragma once

namespace vortex::compile::device {

inline constexpr int kMaxFields = 32;

struct Params {
  void* fields[kMaxFields];     // as Program::fields; [page][kv head][rows][cols]
  const unsigned short* q;      // [request][q head][head_dim], bfloat16
  const int* pages;             // [request][max_blocks]
  const int* lengths;           // [request], tokens
  const unsigned char* active;  // [request], or null
  const float* constants;       // as the generated source places them
  float* workspace;             // [row][row_floats]
  long long row_floats;
  int max_blocks;
  int num_requests;
  int num_kv_heads;
  int layer;
  int topk_val;   // vortex_topk_val: no constant, so that budgets share their kernels
  float k_scale;  // what a stored fp8 element of k and v counts
  float v_scale;
  // select
  int completes_blocks;  // starts with the update for the block that the newest token completed
  int* blocks;           // [row][max_selected]
  int* counts;           // [row]
  int max_selected;
  // update: where first_tokens is null, the block that the newest token completed
  int max_new_blocks;
  const int* first_tokens;  // [request], or null
};

}  // namespace vortex::compile::device
