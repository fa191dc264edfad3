// Benchmarks' view of the runner: made-up requests that decode on and on.
#include <algorithm>
#include <limits>
#include <string>

#include "base/clock.h"
#include "base/rng.h"
#include "core/engine/cuda/cuda_engine.h"
#include "core/engine/cuda/runner.h"

namespace vortex::engine {
namespace {

constexpr size_t kCopyBytes = size_t{1} << 30;
constexpr int kCopies = 7;

// Bytes read and written a second by copies within the device's memory, the best of a few.
Result<double> measure_copies() {
  DeviceMemory from;
  DeviceMemory to;
  Stream stream;
  VORTEX_TRY(stream.create());
  VORTEX_TRY(from.allocate(kCopyBytes));
  VORTEX_TRY(to.allocate(kCopyBytes));
  VORTEX_TRY(
      cuda_status(cuda::fill_random(from.data(), cuda::FillType::bf16, kCopyBytes / 2, 1, 0.0F, 1.0F, stream.get()),
                  "measuring the memory"));
  double best = std::numeric_limits<double>::max();
  for (int i = 0; i < kCopies; ++i) {
    VORTEX_TRY(stream.synchronize("measuring the memory"));
    const double start = monotonic_seconds();
    for (int j = 0; j < kCopies; ++j) {
      VORTEX_TRY(
          cuda_status(cudaMemcpyAsync(to.data(), from.data(), kCopyBytes, cudaMemcpyDeviceToDevice, stream.get()),
                      "measuring the memory"));
    }
    VORTEX_TRY(stream.synchronize("measuring the memory"));
    best = std::min(best, (monotonic_seconds() - start) / kCopies);
  }
  return 2.0 * static_cast<double>(kCopyBytes) / best;
}

class CudaStepper final : public Stepper {
 public:
  CudaStepper(std::unique_ptr<Runner> runner, double copy_bandwidth)
      : runner_(std::move(runner)), copy_bandwidth_(copy_bandwidth) {}

  Status set_policy(const std::optional<vflow::Policy>& policy) override {
    residents_ = 0;
    filled_ = false;
    return runner_->set_policy(policy);
  }

  Status place(std::span<const int> lengths) override {
    residents_ = 0;
    VORTEX_TRY(check_fits(lengths));
    VORTEX_TRY(fill());
    VORTEX_TRY(runner_->reset(kScatterSeed));
    VORTEX_TRY(runner_->place(lengths));
    residents_ = static_cast<int>(lengths.size());
    for (int i = 0; i < residents_; ++i) make_endless(i);
    return ok_status();
  }

  Result<double> admit(int prompt_tokens) override {
    if (residents_ >= runner_->options().max_batch) return candidate_error("the batch is full");
    std::vector<int> lengths = resident_lengths();
    lengths.push_back(prompt_tokens);
    VORTEX_TRY(check_fits(lengths));
    const int slot = residents_;
    runner_->slots().clear(slot);
    make_endless(slot);
    std::vector<int32_t> prompt(static_cast<size_t>(prompt_tokens));
    for (int32_t& token : prompt) token = random_token();
    VORTEX_TRY(runner_->prepare_prompt(prompt_tokens));
    const double start = monotonic_seconds();
    VORTEX_TRY(runner_->prefill(slot, prompt));
    ++residents_;
    return monotonic_seconds() - start;
  }

  Status retire(int index) override {
    if (index < 0 || index >= residents_) return candidate_error("there is no such resident request");
    runner_->slots().host().finished[index] = 1;
    VORTEX_TRY(runner_->release_finished());
    --residents_;
    if (index == residents_) return ok_status();
    const std::pair<int, int> move[] = {{residents_, index}};
    return runner_->move(move);
  }

  Result<double> run(int steps) override {
    if (residents_ == 0) return 0.0;
    std::vector<int> lengths = resident_lengths();
    for (int& length : lengths) length += steps;
    VORTEX_TRY(check_fits(lengths));
    const int capacity = runner_->capacity_for(residents_);
    VORTEX_TRY(runner_->prepare(capacity));
    for (int i = 0; i < residents_; ++i) make_endless(i);
    VORTEX_TRY(runner_->slots().upload(runner_->stream()));
    VORTEX_TRY(runner_->synchronize());
    const double start = monotonic_seconds();
    for (int i = 0; i < steps; ++i) VORTEX_TRY(runner_->replay(capacity));
    VORTEX_TRY(runner_->synchronize());
    const double seconds = monotonic_seconds() - start;
    VORTEX_TRY(runner_->slots().download(runner_->stream()));
    if (grows_ && resident_lengths() != lengths)
      return internal_error("a request did not decode as many steps as it was told");
    return seconds;
  }

  Status leave_out(const std::string& stage) override {
    const std::optional<Stage> found = find_stage(stage);
    if (!found && !stage.empty()) {
      std::string names;
      for (const std::string_view name : kStageNames) names += (names.empty() ? "" : ", ") + std::string(name);
      return candidate_error("a step has no stage \"" + stage + "\"", "it has " + names);
    }
    runner_->leave_out(std::nullopt);
    grows_ = true;
    if (found && residents_ > 0) VORTEX_TRY(run(1));  // leaves behind what the stage would write
    runner_->leave_out(found);
    grows_ = found != Stage::kPlanning;
    return ok_status();
  }

  int block_size() const override { return runner_->pool().block(); }
  int64_t pages() const override { return runner_->pool().pages(); }

  Result<double> copy_bandwidth() override { return copy_bandwidth_; }

  std::string device() const override {
    const CudaDevice& device = runner_->device();
    return device.name + ", driver " + std::to_string(device.driver) + ", runtime " + std::to_string(device.runtime);
  }

  std::string notes() const override { return runner_->describe_gemms(); }

 private:
  static constexpr uint64_t kScatterSeed = 1;

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
    if (filled_) return ok_status();
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

  std::unique_ptr<Runner> runner_;
  double copy_bandwidth_;
  Rng rng_{1};
  int residents_ = 0;
  bool filled_ = false;
  bool grows_ = true;  // do steps plan, so that requests get longer?
};

}  // namespace

Result<std::unique_ptr<Stepper>> make_cuda_stepper(const model::ModelConfig& config, const EngineOptions& options,
                                                   const CudaOptions& cuda) {
  model::Model model;
  model.config = config;
  VORTEX_TRY(cuda_status(cudaSetDevice(cuda.device), "choosing the device"));
  VORTEX_ASSIGN(const double copy_bandwidth, measure_copies());  // before the pool takes the memory
  VORTEX_ASSIGN(std::unique_ptr<Runner> runner, Runner::make(std::move(model), options, cuda));
  return std::unique_ptr<Stepper>(std::make_unique<CudaStepper>(std::move(runner), copy_bandwidth));
}

}  // namespace vortex::engine
