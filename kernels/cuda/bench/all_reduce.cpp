// Exchanges between the machine's devices: 2, 4 and 8 of them as there are, beside NCCL without NVLink multicast. A
// thread a device captures the same calls into one graph and replays it; the time of a replay is that of the device for
// which it took longest.
#include <dlfcn.h>

#include <algorithm>
#include <barrier>
#include <cstdlib>
#include <functional>
#include <mutex>
#include <thread>

#include "kernels/cuda/bench/bench.h"
#include "kernels/cuda/elementwise.h"
#include "kernels/cuda/rank_group.h"

namespace vortex::cuda {
namespace {

constexpr int kCalls = 100;  // of a graph
constexpr int kWarmUps = 5;
constexpr int kReplays = 31;
constexpr std::int64_t kLargest = std::int64_t{8} << 20;
constexpr std::uint64_t kWaitNs = 2'000'000'000;
constexpr int kHiddens[] = {3072, 5120};

// What rank `rank` enqueues as call `call` of a graph.
using EnqueueCall = std::function<cudaError_t(int rank, int call, cudaStream_t stream)>;

// [replay] seconds.
std::vector<double> time_calls(const RankGroup& group, const EnqueueCall& enqueue) {
  std::vector<double> seconds(kReplays, 0.0);
  std::mutex mutex;
  std::barrier<> together(group.ranks());
  const auto one_rank = [&](int rank) {
    group.use(rank);
    cudaStream_t stream = group.stream(rank);
    cudaGraph_t graph{};
    cudaGraphExec_t executable{};
    together.arrive_and_wait();
    check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "begin capture");
    for (int call = 0; call < kCalls; ++call) { check(enqueue(rank, call, stream), "exchange"); }
    check(cudaStreamEndCapture(stream, &graph), "end capture");
    check(cudaGraphInstantiate(&executable, graph, 0), "instantiate");
    cudaEvent_t start{};
    cudaEvent_t stop{};
    check(cudaEventCreate(&start), "event");
    check(cudaEventCreate(&stop), "event");
    for (int i = -kWarmUps; i < kReplays; ++i) {
      together.arrive_and_wait();
      check(cudaEventRecord(start, stream), "record");
      check(cudaGraphLaunch(executable, stream), "graph launch");
      check(cudaEventRecord(stop, stream), "record");
      check(cudaEventSynchronize(stop), "exchange");
      float ms = 0.0F;
      check(cudaEventElapsedTime(&ms, start, stop), "elapsed time");
      if (i < 0) { continue; }
      const std::lock_guard lock(mutex);
      double& slowest = seconds[static_cast<std::size_t>(i)];
      slowest = std::max(slowest, static_cast<double>(ms) * 1e-3);
    }
    together.arrive_and_wait();
    check(cudaEventDestroy(start), "event");
    check(cudaEventDestroy(stop), "event");
    check(cudaGraphExecDestroy(executable), "graph");
    check(cudaGraphDestroy(graph), "graph");
  };
  std::vector<std::thread> threads;
  for (int rank = 0; rank < group.ranks(); ++rank) { threads.emplace_back(one_rank, rank); }
  for (std::thread& thread : threads) { thread.join(); }
  std::sort(seconds.begin(), seconds.end());
  return seconds;
}

void measure(Bench& bench, const RankGroup& group, Measurement m, const EnqueueCall& enqueue) {
  const std::vector<double> seconds = time_calls(group, enqueue);
  for (const std::uint32_t fault : group.finish()) {
    if (fault != 0) {
      std::printf("%s %s %s: call %d gave up on rank %d\n", m.kernel.c_str(), m.shape.c_str(), m.variant.c_str(),
                  fault_of(fault).call, fault_of(fault).from);
      std::exit(3);
    }
  }
  m.median_us = seconds[kReplays / 2] / kCalls * 1e6;
  m.min_us = seconds.front() / kCalls * 1e6;
  m.max_us = seconds.back() / kCalls * 1e6;
  bench.add(std::move(m));
}

std::string size_name(std::int64_t bytes) {
  return bytes < 1 << 20 ? std::to_string(bytes >> 10) + "K" : std::to_string(bytes >> 20) + "M";
}

std::vector<DeviceArray<Bf16>> zeros(const RankGroup& group, std::size_t count) {
  return group.arrays(
      std::vector<std::vector<Bf16>>(static_cast<std::size_t>(group.ranks()), std::vector<Bf16>(count)));
}

// The few functions of NCCL that are used, as its header declares them.
class Nccl {
 public:
  Nccl(const std::string& file, int ranks) {
    ::setenv("NCCL_NVLS_ENABLE", "0", 1);
    library_ = ::dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (library_ == nullptr) { return; }
    const auto init = function<int (*)(void**, int, const int*)>("ncclCommInitAll");
    reduce_ = function<decltype(reduce_)>("ncclAllReduce");
    destroy_ = function<decltype(destroy_)>("ncclCommDestroy");
    comms_.assign(static_cast<std::size_t>(ranks), nullptr);
    if (init == nullptr || reduce_ == nullptr || destroy_ == nullptr || init(comms_.data(), ranks, nullptr) != 0) {
      comms_.clear();
    }
  }
  ~Nccl() {
    for (void* comm : comms_) { destroy_(comm); }
  }
  Nccl(const Nccl&) = delete;
  Nccl& operator=(const Nccl&) = delete;

  bool found() const { return !comms_.empty(); }
  cudaError_t all_reduce(int rank, const Bf16* x, Bf16* out, std::size_t count, cudaStream_t stream) const {
    constexpr int kBfloat16 = 9;
    constexpr int kSum = 0;
    const int error = reduce_(x, out, count, kBfloat16, kSum, comms_[static_cast<std::size_t>(rank)], stream);
    return error == 0 ? cudaSuccess : cudaErrorUnknown;
  }

 private:
  template <class Function>
  Function function(const char* name) const {
    return reinterpret_cast<Function>(::dlsym(library_, name));
  }

  void* library_ = nullptr;
  std::vector<void*> comms_;
  int (*reduce_)(const void*, void*, std::size_t, int, int, void*, cudaStream_t) = nullptr;
  int (*destroy_)(void*) = nullptr;
};

std::string schedule_name(const ExchangeSchedule& schedule) {
  return std::string(schedule.two_shot ? "two-shot" : "one-shot") + " x" + std::to_string(schedule.blocks);
}

// The planned schedule, and of a sweep the others.
std::vector<ExchangeSchedule> schedules(const Bench& bench, const ExchangeSchedule& planned, std::int64_t bytes) {
  std::vector<ExchangeSchedule> all = {planned};
  if (!bench.sweep()) { return all; }
  for (const bool two_shot : {false, true}) {
    for (const int blocks : {1, 4, 16, 36, 72, 132}) {
      if (std::int64_t{blocks} * 128 * 16 <= std::max<std::int64_t>(bytes * 2, 4096)) {
        all.push_back({two_shot, blocks});
      }
    }
  }
  return all;
}

void bench_sums(Bench& bench, const RankGroup& group, const Nccl& nccl) {
  const auto x = zeros(group, kLargest / 2);
  const auto out = zeros(group, kLargest / 2);
  const std::string ranks = std::to_string(group.ranks()) + " cards ";
  for (std::int64_t bytes = 1024; bytes <= kLargest; bytes *= 2) {
    const std::string shape = ranks + size_name(bytes);
    for (const ExchangeSchedule& schedule : schedules(bench, plan_exchange(group.peers(0), bytes), bytes)) {
      measure(bench, group, {"all_reduce", shape, schedule_name(schedule)},
              [&](int rank, int call, cudaStream_t stream) {
                const auto at = static_cast<std::size_t>(rank);
                const AllReduce args{group.peers(rank), call % 2, call, x[at].data(), out[at].data(), bytes / 2};
                return all_reduce(args, schedule, stream);
              });
    }
    if (!nccl.found()) { continue; }
    measure(bench, group, {"all_reduce", shape, "NCCL"}, [&](int rank, int, cudaStream_t stream) {
      const auto at = static_cast<std::size_t>(rank);
      return nccl.all_reduce(rank, x[at].data(), out[at].data(), static_cast<std::size_t>(bytes / 2), stream);
    });
  }
}

// Fused, and the sum and the norm as two nodes.
void bench_norms(Bench& bench, const RankGroup& group, int hidden) {
  constexpr int kMostRows = 128;
  const auto count = static_cast<std::size_t>(kMostRows * hidden);
  const auto x = zeros(group, count);
  const auto sums = zeros(group, count);
  const auto residual = zeros(group, count);
  const auto out = zeros(group, count);
  const auto weight = zeros(group, static_cast<std::size_t>(hidden));
  for (const int rows : {1, 8, 16, 32, 64, 128}) {
    const std::int64_t bytes = std::int64_t{2} * rows * hidden;
    const std::string shape =
        std::to_string(group.ranks()) + " cards " + std::to_string(rows) + "x" + std::to_string(hidden);
    for (const ExchangeSchedule& schedule : schedules(bench, plan_row_exchange(group.peers(0), rows, hidden), bytes)) {
      measure(bench, group, {"all_reduce_norm", shape, schedule_name(schedule)},
              [&](int rank, int call, cudaStream_t stream) {
                const auto at = static_cast<std::size_t>(rank);
                const AllReduceNorm args{group.peers(rank), call % 2,       call, x[at].data(), residual[at].data(),
                                         weight[at].data(), out[at].data(), rows, hidden,       1e-6F};
                return all_reduce_norm(args, schedule, stream);
              });
    }
    const ExchangeSchedule planned = plan_exchange(group.peers(0), bytes);
    measure(bench, group, {"all_reduce_norm", shape, "two nodes"}, [&](int rank, int call, cudaStream_t stream) {
      const auto at = static_cast<std::size_t>(rank);
      const AllReduce args{group.peers(rank), call % 2, call, x[at].data(), sums[at].data(), bytes / 2};
      const ResidualNorm norm{
          residual[at].data(), sums[at].data(), weight[at].data(), out[at].data(), rows, hidden, 1e-6F};
      const cudaError_t error = all_reduce(args, planned, stream);
      return error != cudaSuccess ? error : residual_rms_norm(norm, stream);
    });
  }
}

void bench_factors(Bench& bench, const RankGroup& group) {
  constexpr int kHeads = 48;
  constexpr int kKvHeads = 8;
  constexpr int kDim = 128;
  const int q = kHeads / group.ranks();
  const int kv = kKvHeads / group.ranks();
  for (const int rows : {1, 64}) {
    const auto qkv = zeros(group, static_cast<std::size_t>(rows * (q + 2 * kv) * kDim));
    const auto factors = group.arrays(std::vector<std::vector<float2>>(
        static_cast<std::size_t>(group.ranks()), std::vector<float2>(static_cast<std::size_t>(rows))));
    measure(bench, group, {"all_reduce_heads", std::to_string(group.ranks()) + " cards " + std::to_string(rows), ""},
            [&](int rank, int call, cudaStream_t stream) {
              const auto at = static_cast<std::size_t>(rank);
              const AllReduceFactors args{
                  group.peers(rank), call % 2, call, qkv[at].data(), factors[at].data(), rows, q, kv, kDim, 1e-6F};
              return all_reduce_factors(args, stream);
            });
  }
}

}  // namespace

void bench_all_reduce(Bench& bench, const std::string& nccl) {
  if (!bench.wants("all_reduce")) { return; }
  int devices = 0;
  check(cudaGetDeviceCount(&devices), "devices");
  for (const int ranks : {2, 4, 8}) {
    if (ranks > devices) { return; }
    const RankGroup group(ranks, kLargest, kWaitNs);
    {
      const Nccl other(nccl, ranks);
      if (!other.found()) { std::printf("no NCCL to compare with: %s\n", nccl.c_str()); }
      bench_sums(bench, group, other);
    }
    for (const int hidden : kHiddens) { bench_norms(bench, group, hidden); }
    bench_factors(bench, group);
  }
}

}  // namespace vortex::cuda
