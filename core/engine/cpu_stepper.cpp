#include <algorithm>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/processor_clock.h"
#include "base/rng.h"
#include "core/engine/cpu_engine.h"
#include "core/engine/decode.h"
#include "core/engine/kv_pool.h"
#include "core/engine/packed_model.h"
#include "core/engine/prefill.h"
#include "core/engine/requests.h"
#include "core/engine/stepper.h"

namespace vortex::engine {
namespace {

constexpr size_t kCopyBytes = size_t{128} << 20;
constexpr int kCopies = 5;
constexpr size_t kRandomValues = size_t{1} << 20;

// Values as large as a model's keys and values are.
std::vector<cpu::Bf16> random_values(size_t count) {
  constexpr double kWidth = 3.4641016;  // of a uniform distribution of deviation 1
  Rng rng(1);
  std::vector<cpu::Bf16> values(count);
  for (cpu::Bf16& value : values) { value = cpu::float_to_bf16(static_cast<float>(kWidth * (rng.uniform() - 0.5))); }
  return values;
}

class CpuStepper final : public Stepper {
 public:
  explicit CpuStepper(const CpuParts& parts)
      : parts_(parts), decoder_(parts.model, parts.pool, parts.policy, &parts.threads) {
    parts_.pool.free_all();
    stats_ = fresh_stats(config().num_layers);
  }

  Status place(std::span<const int> lengths, std::span<const PrefixPtr> donors) override {
    residents_.clear();
    placed_ = {};
    const Stopwatch watch(placed_.seconds);
    parts_.pool.free_all();
    if (static_cast<int>(lengths.size()) > max_batch()) {
      return candidate_error(std::to_string(lengths.size()) + " requests exceed the largest batch, " +
                             std::to_string(max_batch()));
    }
    for (size_t i = 0; i < lengths.size(); ++i) {
      Sequence sequence;
      VORTEX_TRY(grow(sequence, lengths[i]));
      const Prefix* donor = donors.empty() ? nullptr : donors[i % donors.size()].get();
      if (donor != nullptr && donor->tokens > lengths[i]) { donor = nullptr; }
      const auto real = static_cast<size_t>(donor == nullptr ? 0 : donor->tokens / block_size());
      fill_random({sequence.pages.begin() + static_cast<std::ptrdiff_t>(real), sequence.pages.end()});
      if (donor != nullptr) { parts_.pool.fill(*donor, sequence.pages, &parts_.threads); }
      decoder_.update_completed(sequence);
      placed_.tokens += lengths[i];
      placed_.real += donor == nullptr ? 0 : donor->tokens;
      residents_.push_back(std::move(sequence));
    }
    return ok_status();
  }

  Placed placed() const override { return placed_; }

  Result<double> admit(int prompt_tokens) override {
    return guarded([&] { return prefill_one(prompt_tokens); });
  }

  Result<double> run(int steps) override {
    return guarded([&] { return decode(steps); });
  }

  Status retire(int index) override {
    if (index < 0 || index >= static_cast<int>(residents_.size())) {
      return candidate_error("there is no such resident request");
    }
    Sequence& gone = residents_[static_cast<size_t>(index)];
    parts_.pool.give_back(gone.pages);
    gone = std::move(residents_.back());
    residents_.pop_back();
    return ok_status();
  }

  void count_processor_time() override { processor_time_ = true; }

  Result<RunStats> stats() override { return stats_; }

  int block_size() const override { return parts_.pool.block_size(); }
  int64_t pages() const override { return parts_.pool.pages(); }
  int max_batch() const override { return parts_.options.max_batch; }
  int max_context() const override { return parts_.options.max_context; }
  int steps_per_round() const override { return 1; }
  vflow::Dtype kv_dtype() const override { return vflow::Dtype::kBf16; }
  bool on_device() const override { return false; }

  Result<double> copy_bandwidth() override {
    const std::vector<char> from(kCopyBytes, 1);
    std::vector<char> to(kCopyBytes, 0);
    double best = 1e30;
    for (int i = 0; i < kCopies; ++i) {
      const double start = seconds();
      cpu::parallel_for(&parts_.threads, static_cast<int64_t>(kCopyBytes >> 20), [&](int64_t begin, int64_t end, int) {
        std::memcpy(&to[static_cast<size_t>(begin) << 20], &from[static_cast<size_t>(begin) << 20],
                    static_cast<size_t>(end - begin) << 20);
      });
      best = std::min(best, seconds() - start);
    }
    return 2.0 * static_cast<double>(kCopyBytes) / best;
  }

  std::string device() const override { return "CPU, " + std::to_string(parts_.options.threads) + " threads"; }
  std::string notes() const override { return {}; }

 private:
  double seconds() const {
    return processor_time_ ? processor_seconds() / parts_.options.threads : monotonic_seconds();
  }
  const model::ModelConfig& config() const { return parts_.model.source.config; }

  Result<double> prefill_one(int prompt_tokens) {
    if (static_cast<int>(residents_.size()) >= max_batch()) { return candidate_error("the batch is full"); }
    std::vector<int32_t> prompt(static_cast<size_t>(prompt_tokens));
    for (int32_t& token : prompt) {
      token = static_cast<int32_t>(rng_.below(static_cast<uint64_t>(config().vocab_size)));
    }
    const double start = seconds();
    Sequence sequence;
    VORTEX_TRY(grow(sequence, prompt_tokens));
    parts_.pool.fill(prefill(parts_.model, prompt, &parts_.threads), sequence.pages, &parts_.threads);
    decoder_.update_completed(sequence);
    residents_.push_back(std::move(sequence));
    return seconds() - start;
  }

  Result<double> decode(int steps) {
    if (residents_.empty()) { return 0.0; }
    const double start = seconds();
    for (int step = 0; step < steps; ++step) {
      std::vector<Sequence*> batch;
      for (Sequence& sequence : residents_) {
        const int length = sequence.length;
        VORTEX_TRY(grow(sequence, length + 1));
        sequence.length = length;  // the decoder counts the token it appends
        batch.push_back(&sequence);
      }
      decoder_.step(batch, nullptr, stats_);
    }
    return seconds() - start;
  }

  // Takes pages until `sequence` has room for `length` tokens, and sets its length.
  Status grow(Sequence& sequence, int length) {
    if (length < 1 || length > max_context()) {
      return candidate_error("a request of " + std::to_string(length) + " tokens does not fit the context of " +
                             std::to_string(max_context()));
    }
    while (static_cast<int>(sequence.pages.size()) < parts_.pool.blocks_for(length)) {
      if (parts_.pool.free_pages() == 0) { return candidate_error("the pool has no pages for these requests"); }
      sequence.pages.push_back(parts_.pool.take());
    }
    sequence.length = length;
    return ok_status();
  }

  // Every page gets another stretch of the same random values: making new ones takes longer than the steps do.
  void fill_random(const std::vector<int32_t>& pages) {
    static const std::vector<cpu::Bf16> values = random_values(kRandomValues);
    cpu::parallel_for(&parts_.threads, config().num_layers, [&](int64_t begin, int64_t end, int) {
      for (auto layer = static_cast<int>(begin); layer < end; ++layer) {
        for (const compile::PagedTensor& tensor : {parts_.pool.layer(layer).k, parts_.pool.layer(layer).v}) {
          const auto size = static_cast<size_t>(int64_t{tensor.kv_heads} * tensor.rows * tensor.cols);
          Rng places(stream_key(static_cast<uint64_t>(layer), tensor.data == parts_.pool.layer(layer).k.data ? 0 : 1));
          for (const int32_t page : pages) {
            auto* to = static_cast<cpu::Bf16*>(tensor.data) + static_cast<size_t>(page) * size;
            for (size_t done = 0; done < size;) {
              const size_t count = std::min(size - done, kRandomValues / 2);
              const size_t from = places.below(kRandomValues - count + 1);
              std::copy_n(values.begin() + static_cast<std::ptrdiff_t>(from), count, to + done);
              done += count;
            }
          }
        }
      }
    });
  }

  CpuParts parts_;
  Decoder decoder_;
  RunStats stats_;
  Placed placed_;
  std::vector<Sequence> residents_;
  Rng rng_{1};
  bool processor_time_ = false;
};

}  // namespace

std::unique_ptr<Stepper> make_cpu_stepper(const CpuParts& parts) { return std::make_unique<CpuStepper>(parts); }

}  // namespace vortex::engine
