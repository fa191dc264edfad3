// A served load: Poisson arrivals of long prompts. The clock is the sum of measured times, so a run takes no longer
// than the work in it; prompts are prefilled whole, between decode steps.
#include <algorithm>
#include <cmath>

#include "base/rng.h"
#include "core/engine/bench/bench.h"

namespace vortex::bench {
namespace {

struct Served {
  double arrival = 0;
  double first_token = 0;
  double end = 0;
  int left = 0;
};

class Server {
 public:
  Server(const Options& options, engine::Stepper& stepper) : options_(options), stepper_(stepper) {
    Rng rng(stream_key(options.seed));
    double arrival = 0;
    const int count = std::max(1, static_cast<int>(std::lround(options.requests * options.scale)));
    for (int i = 0; i < count; ++i) {
      arrival += -std::log(1 - rng.uniform()) / options.rate;
      served_.push_back({arrival, 0, 0, options.outputs - 1});
    }
  }

  Status run() {
    while (next_ < served_.size() || !active_.empty()) {
      if (active_.empty()) { clock_ = std::max(clock_, served_[next_].arrival); }
      VORTEX_TRY(admit());
      VORTEX_TRY(decode());
    }
    return ok_status();
  }

  const std::vector<Served>& served() const { return served_; }
  double clock() const { return clock_; }
  int largest_batch() const { return largest_batch_; }

 private:
  // Prefills one waiting prompt, if there is room for it and its answer.
  Status admit() {
    if (next_ == served_.size() || served_[next_].arrival > clock_) { return ok_status(); }
    const int64_t block = stepper_.block_size();
    const int64_t each = (options_.prompt + options_.outputs + block - 1) / block;
    const auto active = static_cast<int64_t>(active_.size());
    if (active >= options_.max_batch || (active + 1) * each > stepper_.pages()) { return ok_status(); }
    VORTEX_ASSIGN(const double seconds, stepper_.admit(options_.prompt));
    clock_ += seconds;
    served_[next_].first_token = clock_;
    active_.push_back(next_++);
    largest_batch_ = std::max(largest_batch_, static_cast<int>(active_.size()));
    return ok_status();
  }

  Status decode() {
    VORTEX_ASSIGN(const double seconds, stepper_.run(1));
    clock_ += seconds;
    for (size_t i = active_.size(); i-- > 0;) {
      Served& request = served_[active_[i]];
      if (--request.left > 0) { continue; }
      request.end = clock_;
      VORTEX_TRY(stepper_.retire(static_cast<int>(i)));
      active_[i] = active_.back();
      active_.pop_back();
    }
    return ok_status();
  }

  const Options& options_;
  engine::Stepper& stepper_;
  std::vector<Served> served_;
  std::vector<size_t> active_;  // as the stepper numbers them
  size_t next_ = 0;
  double clock_ = 0;
  int largest_batch_ = 0;
};

}  // namespace

Status bench_serve(const Options& options) {
  VORTEX_ASSIGN(const model::ModelConfig model, find_geometry(options));
  VORTEX_ASSIGN(const std::optional<vflow::Policy> policy, find_policy(options, model));
  if (options.outputs < 2) { return candidate_error("--outputs must be at least 2"); }
  VORTEX_ASSIGN(const auto engine, make_engine(options, model));
  VORTEX_TRY(engine->set_policy(policy));
  const auto stepper = engine->stepper();
  VORTEX_ASSIGN(const double copy, stepper->copy_bandwidth());
  VORTEX_TRY(stepper->place({}, {}));
  VORTEX_TRY(stepper->admit(options.prompt));  // tunes and captures
  VORTEX_TRY(stepper->run(1));
  VORTEX_TRY(stepper->place({}, {}));
  Server server(options, *stepper);
  VORTEX_TRY(server.run());
  std::vector<double> first;
  std::vector<double> each;
  for (const Served& request : server.served()) {
    first.push_back(request.first_token - request.arrival);
    each.push_back((request.end - request.first_token) / (options.outputs - 1));
  }
  Report report(options, stepper->device(), copy);
  const auto tokens = static_cast<double>(server.served().size()) * options.outputs;
  report.add_value(policy_name(options, policy) + ": requests", static_cast<double>(first.size()), "");
  report.add_value("arrivals", options.rate, "requests/s");
  report.add_value("output tokens", tokens / server.clock(), "tok/s");
  report.add_value("largest batch", server.largest_batch(), "requests");
  using engine::quantile;
  report.add_value("time to first token, P50", quantile(first, 0.5) * 1e3, "ms");
  report.add_value("time to first token, P95", quantile(first, 0.95) * 1e3, "ms");
  report.add_value("time per output token, P50", quantile(each, 0.5) * 1e3, "ms");
  report.add_value("time per output token, P95", quantile(each, 0.95) * 1e3, "ms");
  return report.finish();
}

}  // namespace vortex::bench
