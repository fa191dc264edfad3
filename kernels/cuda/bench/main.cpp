#include <cstdio>
#include <cstring>
#include <string>

#include "kernels/cuda/bench/bench.h"

int main(int argc, char** argv) {
  std::string filter;
  std::string json;
  std::string nccl = "libnccl.so.2";
  bool sweep = false;
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--sweep") == 0) {
      sweep = true;
    } else if (std::strcmp(argv[i], "--filter") == 0 && i + 1 < argc) {
      filter = argv[++i];
    } else if (std::strcmp(argv[i], "--json") == 0 && i + 1 < argc) {
      json = argv[++i];
    } else if (std::strcmp(argv[i], "--nccl") == 0 && i + 1 < argc) {
      nccl = argv[++i];
    } else {
      std::fprintf(stderr,
                   "usage: vortex-bench-kernels [--filter NAME] [--sweep] [--json FILE] [--nccl SHARED_OBJECT]\n");
      return 1;
    }
  }
  int devices = 0;
  if (cudaGetDeviceCount(&devices) != cudaSuccess || devices == 0) {
    std::fprintf(stderr, "no CUDA device: nothing to measure\n");
    return 3;
  }
  vortex::cuda::Bench bench(filter, sweep);
  vortex::cuda::bench_all_reduce(bench, nccl);
  vortex::cuda::bench_attention(bench);
  vortex::cuda::bench_decode_table(bench);
  vortex::cuda::bench_experts(bench);
  vortex::cuda::bench_groups(bench);
  vortex::cuda::bench_latent(bench);
  vortex::cuda::bench_prefill(bench);
  vortex::cuda::bench_select(bench);
  vortex::cuda::bench_step(bench);
  if (!json.empty() && !bench.write_json(json)) {
    std::fprintf(stderr, "cannot write %s\n", json.c_str());
    return 3;
  }
  return 0;
}
