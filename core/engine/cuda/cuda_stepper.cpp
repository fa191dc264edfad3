// The runner as measurements drive it: made-up requests that decode on and on.
#include "core/engine/cuda/cuda_stepper.h"

#include <algorithm>
#include <limits>
#include <string>

#include "base/clock.h"
#include "base/rng.h"
#include "core/engine/cuda/device_pool.h"
#include "core/engine/cuda/runner.h"
#include "core/engine/requests.h"

namespace vortex::engine {
namespace {

constexpr size_t kCopyBytes = size_t{1} << 30;
constexpr size_t kLeastCopyBytes = size_t{256} << 20;  // shorter copies stay in the caches
constexpr int kCopies = 7;

// Bytes read and written a second by copies within the device's memory, the best of a few.
Result<double> measure_copies(void* to, const void* from, size_t bytes) {
  const char* what = "measuring the memory";
  Stream stream;
  VORTEX_TRY(stream.create());
  VORTEX_TRY(cuda_status(cuda::fill_random(const_cast<void*>(from), cuda::FillType::bf16,
                                           static_cast<int64_t>(bytes / 2), 1, 0.0F, 1.0F, stream.get()),
                         what));
  double best = std::numeric_limits<double>::max();
  for (int i = 0; i < kCopies; ++i) {
    VORTEX_TRY(stream.synchronize(what));
    const double start = monotonic_seconds();
    for (int j = 0; j < kCopies; ++j) {
      VORTEX_TRY(cuda_status(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, stream.get()), what));
    }
    VORTEX_TRY(stream.synchronize(what));
    best = std::min(best, (monotonic_seconds() - start) / kCopies);
  }
  return 2.0 * static_cast<double>(bytes) / best;
}

class CudaStepper final : public Stepper {
 public:
  CudaStepper(Runner& runner, const CudaOptions& cuda) : runner_(&runner), cuda_(cuda) {
    stats_ = fresh_stats(runner.model().source.config.num_layers);
  }

  // Snapshots lie in host memory: bringing them over costs more than the steps do, so none is placed.
  Status place(std::span<const int> lengths, std::span<const PrefixPtr> /*donors*/) override {
    VORTEX_TRY(collect());
    residents_ = 0;
    reading_ = false;
    placed_ = {};
    const Stopwatch watch(placed_.seconds);
    VORTEX_TRY(check_fits(lengths));
    VORTEX_TRY(fill());
    VORTEX_TRY(runner_->reset(kScatterSeed));
    VORTEX_TRY(runner_->place(lengths));
    residents_ = static_cast<int>(lengths.size());
    for (int i = 0; i < residents_; ++i) { make_endless(i); }
    for (const int length : lengths) { placed_.tokens += length; }
    return ok_status();
  }

  Placed placed() const override { return placed_; }

  Result<double> admit(int prompt_tokens) override {
    VORTEX_TRY(runner_->prepare_prompt(prompt_tokens));
    const double start = monotonic_seconds();
    VORTEX_TRY(begin(prompt_tokens));
    VORTEX_TRY(read(prompt_tokens));
    return monotonic_seconds() - start;
  }

  Status begin(int prompt_tokens) override {
    if (reading_) { return candidate_error("a prompt is being read already"); }
    if (residents_ >= runner_->options().max_batch) { return candidate_error("the batch is full"); }
    std::vector<int> lengths = resident_lengths();
    lengths.push_back(prompt_tokens);
    VORTEX_TRY(check_fits(lengths));
    const int slot = residents_;
    runner_->slots().clear(slot);
    make_endless(slot);
    runner_->slots().host().new_tokens[slot] = 0;  // it does not decode before it was read
    std::vector<int32_t> prompt(static_cast<size_t>(prompt_tokens));
    for (int32_t& token : prompt) { token = random_token(); }
    VORTEX_TRY(runner_->begin_prompt(slot, prompt));
    reading_ = true;
    return ok_status();
  }

  Result<Piece> read(int tokens) override {
    if (!reading_) { return candidate_error("no prompt was begun"); }
    VORTEX_TRY(runner_->prepare_prompt(tokens));
    const double start = monotonic_seconds();
    VORTEX_ASSIGN(const int left, runner_->read_prompt(tokens));
    const Piece piece{left, monotonic_seconds() - start};
    if (left > 0) { return piece; }
    reading_ = false;
    make_endless(residents_);
    ++residents_;
    return piece;
  }

  Status retire(int index) override {
    if (index < 0 || index >= residents_) { return candidate_error("there is no such resident request"); }
    runner_->slots().host().finished[index] = 1;
    VORTEX_TRY(runner_->release_finished());
    --residents_;
    if (index != residents_) {
      const std::pair<int, int> move[] = {{residents_, index}};
      VORTEX_TRY(runner_->move(move));
    }
    if (!reading_) { return ok_status(); }
    const std::pair<int, int> move[] = {{residents_ + 1, residents_}};  // the one that is read comes after all of them
    return runner_->move(move);
  }

  Result<double> run(int steps) override {
    if (residents_ == 0) { return 0.0; }
    std::vector<int> lengths = resident_lengths();
    for (int& length : lengths) { length += steps; }
    VORTEX_TRY(check_fits(lengths));
    const int capacity = runner_->capacity_for(residents_);
    VORTEX_TRY(runner_->prepare(capacity));
    for (int i = 0; i < residents_; ++i) { make_endless(i); }
    VORTEX_TRY(runner_->slots().upload(runner_->stream()));
    VORTEX_TRY(runner_->synchronize());
    const double start = monotonic_seconds();
    for (int i = 0; i < steps; ++i) { VORTEX_TRY(runner_->replay(capacity)); }
    VORTEX_TRY(runner_->synchronize());
    const double seconds = monotonic_seconds() - start;
    VORTEX_TRY(runner_->fetch());
    stats_.decode_steps += steps;
    stats_.decode_tokens += int64_t{steps} * residents_;
    stats_.weight_bytes_read += steps * runner_->model().weight_bytes;
    counted_ = false;
    if (grows_ && resident_lengths() != lengths) {
      return internal_error("a request did not decode as many steps as it was told");
    }
    return seconds;
  }

  Status leave_out(const std::string& stage) override {
    const std::optional<Stage> found = find_stage(stage);
    if (!found && !stage.empty()) {
      std::string names;
      for (const std::string_view name : kStageNames) { names += (names.empty() ? "" : ", ") + std::string(name); }
      return candidate_error("a step has no stage \"" + stage + "\"", "it has " + names);
    }
    runner_->leave_out(std::nullopt);
    grows_ = true;
    if (found && residents_ > 0) {
      VORTEX_TRY(run(1));  // leaves behind what the stage would write
    }
    runner_->leave_out(found);
    grows_ = found != Stage::kPlanning;
    return ok_status();
  }

  Result<RunStats> stats() override {
    VORTEX_TRY(collect());
    return stats_;
  }

  int block_size() const override { return runner_->pool().block(); }
  int64_t pages() const override { return runner_->pool().pages(); }
  int max_batch() const override { return runner_->options().max_batch; }
  int max_context() const override { return runner_->options().max_context; }
  int steps_per_round() const override { return cuda_.steps_per_replay; }
  vflow::Dtype kv_dtype() const override { return cuda_.kv_dtype; }
  vflow::Dtype expert_dtype() const override {
    return keeps_fp8(runner_->model().source.config) ? vflow::Dtype::kFp8E4m3 : vflow::Dtype::kBf16;
  }
  bool on_device() const override { return true; }

  // Within the pool, which has taken the memory; beside it where it is small.
  Result<double> copy_bandwidth() override {
    VORTEX_TRY(collect());
    residents_ = 0;
    reading_ = false;
    filled_ = false;
    VORTEX_TRY(runner_->reset());
    const size_t half = pool_bytes() / 2 / kHalfUnit * kHalfUnit;
    if (half >= kLeastCopyBytes) {
      char* memory = static_cast<char*>(runner_->pool().layer(0).kv.k);
      const size_t bytes = std::min(half, kCopyBytes);
      return measure_copies(memory + half, memory, bytes);
    }
    DeviceMemory memory;
    VORTEX_TRY(memory.allocate(2 * kLeastCopyBytes));
    return measure_copies(memory.as<char>() + kLeastCopyBytes, memory.data(), kLeastCopyBytes);
  }

  double special_rate() const override {
    int index = 0;
    int kilohertz = 0;
    const bool known = cudaGetDevice(&index) == cudaSuccess &&
                       cudaDeviceGetAttribute(&kilohertz, cudaDevAttrClockRate, index) == cudaSuccess;
    return known ? kSpecialACycle * runner_->device().multiprocessors * kilohertz * 1e3 : 0;
  }

  std::string device() const override {
    const CudaDevice& device = runner_->device();
    return device.name + ", driver " + std::to_string(device.driver) + ", runtime " + std::to_string(device.runtime);
  }

  std::string notes() const override { return runner_->describe_gemms(); }

 private:
  static constexpr uint64_t kScatterSeed = 1;
  static constexpr double kSpecialACycle = 16;  // results of a multiprocessor (CUDA C++ Programming Guide, 9.0)
  static constexpr size_t kHalfUnit = 256;

  // K, V and fields of all layers lie behind one another.
  size_t pool_bytes() const {
    const DevicePool& pool = runner_->pool();
    const DevicePolicy& policy = runner_->policy();
    const vflow::Policy* set = policy.executable != nullptr ? &policy.policy : nullptr;
    return static_cast<size_t>(pool.pages()) *
           static_cast<size_t>(device_page_bytes(runner_->model().source.config, pool.block(), pool.type(), set));
  }

  // The device's counters start afresh with every place().
  Status collect() {
    if (counted_) { return ok_status(); }
    counted_ = true;
    return runner_->add_counters(stats_);
  }

  int32_t random_token() {
    return static_cast<int32_t>(rng_.below(static_cast<uint64_t>(runner_->model().source.config.vocab_size)));
  }

  std::vector<int> resident_lengths() {
    const std::int32_t* lengths = runner_->slots().host().lengths;
    return {lengths, lengths + residents_};
  }

  // Would the pool, the batch and the page tables hold requests of these lengths?
  Status check_fits(std::span<const int> lengths) const {
    int64_t pages = 0;
    for (const int length : lengths) {
      if (length < 1 || length > runner_->options().max_context) {
        return candidate_error("a request of " + std::to_string(length) + " tokens does not fit the context of " +
                               std::to_string(runner_->options().max_context));
      }
      pages += runner_->pool().blocks_for(length);
    }
    if (static_cast<int>(lengths.size()) > runner_->options().max_batch) {
      return candidate_error(std::to_string(lengths.size()) + " requests exceed the largest batch, " +
                             std::to_string(runner_->options().max_batch));
    }
    if (pages > runner_->pool().pages()) {
      return candidate_error("these requests need " + std::to_string(pages) + " pages, but the pool has " +
                             std::to_string(runner_->pool().pages()));
    }
    return ok_status();
  }

  Status fill() {
    if (filled_) { return ok_status(); }
    VORTEX_TRY(runner_->pool().fill_random(runner_->stream()));
    filled_ = true;
    return ok_status();
  }

  void make_endless(int slot) {
    SlotArrays& slots = runner_->slots().host();
    slots.remaining[slot] = std::numeric_limits<int32_t>::max() / 2;
    slots.new_tokens[slot] = 1;
    slots.ignores_stops[slot] = 1;
  }

  Runner* runner_;
  CudaOptions cuda_;
  RunStats stats_;
  bool counted_ = true;  // are the device's counters in stats_?
  Placed placed_;
  Rng rng_{1};
  int residents_ = 0;
  bool reading_ = false;  // a prompt, in the slot behind the residents
  bool filled_ = false;
  bool grows_ = true;  // do steps plan, so that requests get longer?
};

}  // namespace

std::unique_ptr<Stepper> make_cuda_stepper(Runner& runner, const CudaOptions& cuda) {
  return std::make_unique<CudaStepper>(runner, cuda);
}

}  // namespace vortex::engine
