// The kernel microbenchmark: what each kernel moves, how long that takes, and how near that is to the bandwidth of a
// device-to-device copy measured in the same run.
#pragma once

#include <cuda_runtime_api.h>

#include <functional>
#include <random>
#include <string>
#include <vector>

#include "kernels/cuda/device_array.h"

namespace vortex::cuda {

struct Measurement {
  std::string kernel;
  std::string shape;
  std::string variant;
  double bytes = 0.0;  // the fewest the kernel must move through device memory; 0 where time alone matters
  double median_us = 0.0;
  double min_us = 0.0;
  double max_us = 0.0;
};

class Bench {
 public:
  // Only kernels whose name contains `filter` are run; `sweep` also tries the schedules beside the planned one.
  Bench(std::string filter, bool sweep);

  bool wants(const std::string& kernel) const { return kernel.find(filter_) != std::string::npos; }
  bool sweep() const { return sweep_; }
  int num_sms() const { return num_sms_; }

  // Times call(i, stream), which enqueues one launch on input set i % sets (several sets keep L2 cold), and prints a
  // line. The launches are replayed from one CUDA graph; the times are per launch, gaps between launches included.
  void measure(Measurement m, int sets, const std::function<cudaError_t(int, cudaStream_t)>& call);

  // Prints a line of what was measured elsewhere, and keeps it.
  void add(Measurement m);

  // Writes every measurement, the device's name and the copy bandwidth.
  bool write_json(const std::string& path) const;

 private:
  double copy_bandwidth() const;

  std::string filter_;
  bool sweep_;
  std::string device_;
  int num_sms_ = 0;
  double copy_bytes_per_second_ = 0.0;
  std::vector<Measurement> done_;
};

// `bytes` of random bf16 normals, repeated from a short sequence.
DeviceArray<unsigned char> random_bytes(std::size_t bytes);

// `count` distinct values of 0 .. range - 1 in random order.
std::vector<std::int32_t> random_distinct(int count, int range, std::mt19937& random);

// Between all devices of the machine, two or more; beside NCCL where the shared object `nccl` can be loaded.
void bench_all_reduce(Bench& bench, const std::string& nccl);
void bench_attention(Bench& bench);
void bench_decode_table(Bench& bench);
void bench_experts(Bench& bench);
void bench_groups(Bench& bench);
void bench_latent(Bench& bench);
void bench_prefill(Bench& bench);
void bench_select(Bench& bench);
void bench_step(Bench& bench);

}  // namespace vortex::cuda
