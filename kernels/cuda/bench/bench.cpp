#include "kernels/cuda/bench/bench.h"

#include <cuda_bf16.h>

#include <algorithm>
#include <cstdio>
#include <numeric>

namespace vortex::cuda {
namespace {

constexpr int kSamples = 11;
constexpr double kSampleSeconds = 0.004;

// Seconds of each of `samples` runs of `work`.
std::vector<double> time_runs(cudaStream_t stream, int samples, const std::function<void()>& work) {
  cudaEvent_t start{};
  cudaEvent_t stop{};
  check(cudaEventCreate(&start), "event");
  check(cudaEventCreate(&stop), "event");
  std::vector<double> seconds;
  for (int i = 0; i < samples; ++i) {
    check(cudaEventRecord(start, stream), "record");
    work();
    check(cudaEventRecord(stop, stream), "record");
    check(cudaEventSynchronize(stop), "benchmark run");
    float ms = 0.0F;
    check(cudaEventElapsedTime(&ms, start, stop), "elapsed time");
    seconds.push_back(static_cast<double>(ms) * 1e-3);
  }
  check(cudaEventDestroy(start), "event");
  check(cudaEventDestroy(stop), "event");
  std::sort(seconds.begin(), seconds.end());
  return seconds;
}

}  // namespace

Bench::Bench(std::string filter, bool sweep) : filter_(std::move(filter)), sweep_(sweep) {
  cudaDeviceProp properties{};
  check(cudaGetDeviceProperties(&properties, 0), "device properties");
  device_ = properties.name;
  num_sms_ = properties.multiProcessorCount;
  copy_bytes_per_second_ = copy_bandwidth();
  std::printf("%s, %d multiprocessors, copy %.3f TB/s (read + write)\n", device_.c_str(), num_sms_,
              copy_bytes_per_second_ * 1e-12);
  std::printf("%-16s %-30s %-18s %10s %17s %10s %7s %7s\n", "kernel", "shape", "variant", "median us", "min-max us",
              "MB", "TB/s", "% copy");
}

double Bench::copy_bandwidth() const {
  constexpr std::size_t kBytes = std::size_t{4} << 30;
  const DeviceArray<unsigned char> from = random_bytes(kBytes);
  const DeviceArray<unsigned char> to(kBytes);
  const auto copy = [&] {
    check(cudaMemcpyAsync(to.data(), from.data(), kBytes, cudaMemcpyDeviceToDevice, nullptr), "copy");
  };
  time_runs(nullptr, 2, copy);
  return 2.0 * static_cast<double>(kBytes) / time_runs(nullptr, kSamples, copy)[kSamples / 2];
}

void Bench::measure(Measurement m, int sets, const std::function<cudaError_t(int, cudaStream_t)>& call) {
  cudaStream_t stream{};
  check(cudaStreamCreate(&stream), "stream");
  const auto run_graph = [&](int launches, int samples) {
    cudaGraph_t graph{};
    cudaGraphExec_t executable{};
    check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "begin capture");
    for (int i = 0; i < launches; ++i) { check(call(i % sets, stream), m.kernel.c_str()); }
    check(cudaStreamEndCapture(stream, &graph), "end capture");
    check(cudaGraphInstantiate(&executable, graph, 0), "instantiate");
    const auto replay = [&] { check(cudaGraphLaunch(executable, stream), "graph launch"); };
    time_runs(stream, 2, replay);
    const std::vector<double> seconds = time_runs(stream, samples, replay);
    check(cudaGraphExecDestroy(executable), "graph");
    check(cudaGraphDestroy(graph), "graph");
    return seconds;
  };
  const double once = run_graph(2 * sets, 3)[1] / (2 * sets);
  const int rounds = std::clamp(static_cast<int>(kSampleSeconds / once) / sets, 1, 200);
  const int launches = rounds * sets;
  const std::vector<double> seconds = run_graph(launches, kSamples);
  check(cudaStreamDestroy(stream), "stream");

  m.median_us = seconds[kSamples / 2] / launches * 1e6;
  m.min_us = seconds.front() / launches * 1e6;
  m.max_us = seconds.back() / launches * 1e6;
  add(std::move(m));
}

void Bench::add(Measurement m) {
  const double rate = m.bytes / (m.median_us * 1e-6);
  std::printf("%-16s %-30s %-18s %10.2f %8.2f-%8.2f %10.2f %7.3f %7.1f\n", m.kernel.c_str(), m.shape.c_str(),
              m.variant.c_str(), m.median_us, m.min_us, m.max_us, m.bytes * 1e-6, rate * 1e-12,
              100.0 * rate / copy_bytes_per_second_);
  std::fflush(stdout);
  done_.push_back(std::move(m));
}

bool Bench::write_json(const std::string& path) const {
  std::FILE* file = std::fopen(path.c_str(), "w");
  if (file == nullptr) { return false; }
  std::fprintf(file, "{\"device\": \"%s\", \"copy_bytes_per_second\": %.6g, \"measurements\": [\n", device_.c_str(),
               copy_bytes_per_second_);
  for (std::size_t i = 0; i < done_.size(); ++i) {
    const Measurement& m = done_[i];
    const double rate = m.bytes / (m.median_us * 1e-6);
    std::fprintf(file,
                 "  {\"kernel\": \"%s\", \"shape\": \"%s\", \"variant\": \"%s\", \"bytes\": %.0f, \"median_us\": %.3f, "
                 "\"min_us\": %.3f, \"max_us\": %.3f, \"bytes_per_second\": %.5g, \"percent_of_copy\": %.2f}%s\n",
                 m.kernel.c_str(), m.shape.c_str(), m.variant.c_str(), m.bytes, m.median_us, m.min_us, m.max_us, rate,
                 100.0 * rate / copy_bytes_per_second_, i + 1 < done_.size() ? "," : "");
  }
  std::fprintf(file, "]}\n");
  return std::fclose(file) == 0;
}

DeviceArray<unsigned char> random_bytes(std::size_t bytes) {
  std::mt19937 random(7);
  std::normal_distribution<float> normal;
  std::vector<__nv_bfloat16> seed(std::min<std::size_t>(bytes / 2, std::size_t{1} << 21));
  for (auto& x : seed) { x = __float2bfloat16(normal(random)); }
  DeviceArray<unsigned char> out(bytes);
  std::size_t filled = std::min(bytes, seed.size() * sizeof(seed[0]));
  check(cudaMemcpy(out.data(), seed.data(), filled, cudaMemcpyHostToDevice), "fill");
  while (filled < bytes) {
    const std::size_t more = std::min(filled, bytes - filled);
    check(cudaMemcpy(out.data() + filled, out.data(), more, cudaMemcpyDeviceToDevice), "fill");
    filled += more;
  }
  return out;
}

std::vector<std::int32_t> random_distinct(int count, int range, std::mt19937& random) {
  std::vector<std::int32_t> all(static_cast<std::size_t>(range));
  std::iota(all.begin(), all.end(), 0);
  std::shuffle(all.begin(), all.end(), random);
  all.resize(static_cast<std::size_t>(count));
  return all;
}

}  // namespace vortex::cuda
