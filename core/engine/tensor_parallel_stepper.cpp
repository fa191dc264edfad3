#include "core/engine/tensor_parallel_stepper.h"

#include <algorithm>
#include <string>

namespace vortex::engine {
namespace {

class TensorParallelStepper final : public Stepper {
 public:
  TensorParallelStepper(std::vector<std::unique_ptr<Stepper>> ranks, OnAllRanks on_all, PartOfDonor part)
      : ranks_(std::move(ranks)), on_all_(std::move(on_all)), part_(std::move(part)) {}

  Status place(std::span<const int> lengths, std::span<const PrefixPtr> donors) override {
    return on_all_([&](int rank) {
      std::vector<PrefixPtr> parts;
      for (const PrefixPtr& donor : donors) { parts.push_back(part_(donor, rank)); }
      return at(rank).place(lengths, parts);
    });
  }
  Placed placed() const override { return first().placed(); }

  Result<double> admit(int prompt_tokens) override {
    return least([&](Stepper& stepper) { return stepper.admit(prompt_tokens); });
  }
  // All ranks take the same pieces.
  Status begin(int prompt_tokens) override {
    return on_all_([&](int rank) { return at(rank).begin(prompt_tokens); });
  }
  Result<Piece> read(int tokens) override {
    std::vector<Piece> pieces(ranks_.size());
    VORTEX_TRY(on_all_([&](int rank) -> Status {
      VORTEX_ASSIGN(pieces[static_cast<size_t>(rank)], at(rank).read(tokens));
      return ok_status();
    }));
    const auto sooner = [](const Piece& a, const Piece& b) { return a.seconds < b.seconds; };
    return *std::min_element(pieces.begin(), pieces.end(), sooner);
  }
  Status retire(int index) override {
    return on_all_([&](int rank) { return at(rank).retire(index); });
  }
  // Ranks end a step together, so that the shortest time is that from when the last one had begun.
  Result<double> run(int steps) override {
    return least([&](Stepper& stepper) { return stepper.run(steps); });
  }
  Status leave_out(const std::string& stage) override {
    return on_all_([&](int rank) { return at(rank).leave_out(stage); });
  }

  Result<RunStats> stats() override {
    std::vector<RunStats> of_ranks(ranks_.size());
    VORTEX_TRY(on_all_([&](int rank) -> Status {
      VORTEX_ASSIGN(of_ranks[static_cast<size_t>(rank)], at(rank).stats());
      return ok_status();
    }));
    return stats_of_ranks(of_ranks);
  }

  int block_size() const override { return first().block_size(); }
  int64_t pages() const override { return first().pages(); }
  int max_batch() const override { return first().max_batch(); }
  int max_context() const override { return first().max_context(); }
  int steps_per_round() const override { return first().steps_per_round(); }
  vflow::Dtype kv_dtype() const override { return first().kv_dtype(); }
  vflow::Dtype expert_dtype() const override { return first().expert_dtype(); }
  bool on_device() const override { return first().on_device(); }
  // Of the slowest rank's memory, one after the other.
  Result<double> copy_bandwidth() override {
    return least([](Stepper& stepper) { return stepper.copy_bandwidth(); });
  }
  std::string device() const override { return std::to_string(ranks_.size()) + " ranks, each " + first().device(); }
  std::string notes() const override { return first().notes(); }

 private:
  Stepper& at(int rank) { return *ranks_[static_cast<size_t>(rank)]; }
  const Stepper& first() const { return *ranks_[0]; }

  Result<double> least(const std::function<Result<double>(Stepper&)>& measure) {
    std::vector<double> values(ranks_.size());
    VORTEX_TRY(on_all_([&](int rank) -> Status {
      VORTEX_ASSIGN(values[static_cast<size_t>(rank)], measure(at(rank)));
      return ok_status();
    }));
    return *std::min_element(values.begin(), values.end());
  }

  std::vector<std::unique_ptr<Stepper>> ranks_;
  OnAllRanks on_all_;
  PartOfDonor part_;
};

void add_counts(const std::vector<int64_t>& more, std::vector<int64_t>& total) {
  for (size_t i = 0; i < total.size(); ++i) { total[i] += more[i]; }
}

}  // namespace

std::unique_ptr<Stepper> make_tensor_parallel_stepper(std::vector<std::unique_ptr<Stepper>> ranks, OnAllRanks on_all,
                                                      PartOfDonor part) {
  return std::make_unique<TensorParallelStepper>(std::move(ranks), std::move(on_all), std::move(part));
}

RunStats stats_of_ranks(std::span<const RunStats> ranks) {
  RunStats total = ranks[0];
  for (const RunStats& more : ranks.subspan(1)) {
    add_counts(more.pages_visible, total.pages_visible);
    add_counts(more.pages_attended, total.pages_attended);
    total.kv_bytes_read += more.kv_bytes_read;
    total.weight_bytes_read += more.weight_bytes_read;
  }
  return total;
}

}  // namespace vortex::engine
