// What the size of a batch does to the quality of a search over many workers: simulated time, made-up evaluations.
// The evolver, the check, the novelty gate and the front are the product's; truth is heritable.h's, every policy
// answers the same problems, and there are no retests. In batches proposals see the results of earlier batches, and the
// workers wait for the last of each; with a lag of 1 they begin the next one meanwhile, whose proposals see the results
// of all but the last. Without batches (batch 0) a worker that is free gets a proposal that sees all results until
// then. Quality is the hypervolume of the front's members by their true worth, over that of dense attention alone.
// Prints a line of JSON; asserts nothing. Goes on until both evaluations and minutes are reached.
// usage: batch_bench WORLD BATCH (0: none) [LAG (0)] [WORKERS (256)] [EVALUATIONS (2048)] [MINUTES (30)]
#include <algorithm>
#include <cstdlib>
#include <deque>
#include <functional>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>
#include <queue>

#include "agent/propose/evolver.h"
#include "agent/propose/novelty.h"
#include "study/archive.h"
#include "study/hypervolume.h"
#include "tests/agent/heritable.h"

namespace vortex::agent {
namespace {

constexpr double kTaskSeconds = 60;       // on average: from half of it to one and a half times
constexpr double kFailedShare = 0.1;      // of that, for a policy that fails early
constexpr double kFails = 0.1;            // a quality below this does
constexpr double kAttentionShare = 0.75;  // of a dense step; the rest costs every policy the same
constexpr int kProblems = 64;
constexpr int kEvaluationStep = 64;  // between two looks
constexpr double kMinuteStep = 0.5;

struct Settings {
  uint64_t world = 1;
  int batch = 0;
  int lag = 0;
  int workers = 256;
  int evaluations = 2048;
  double minutes = 30;
};

struct Flight {
  double end = 0;
  int64_t candidate = 0;
  std::shared_ptr<const vflow::Policy> policy;
  job::Job job;
  double quality = 0;
  bool operator<(const Flight& other) const { return end > other.end; }  // the first to end is the top of a queue
};

struct Batch {
  double end = 0;  // of its last task, and of all earlier ones
  std::vector<Flight> flights;
};

class Simulation {
 public:
  explicit Simulation(const Settings& settings)
      : settings_(settings), archive_(settings.world), proposer_(make_evolver()), gate_(test_options().novelty) {
    job::Job dense;
    dense.dense = true;
    add_point(0, dense, 1, 1);
    base_ = volume();
    for (int i = 0; i < settings_.workers; ++i) { free_.push(0); }
  }

  nlohmann::json run() {
    while (evaluated_ < settings_.evaluations || now_ < 60 * settings_.minutes) {
      if (!(settings_.batch > 0 ? fly_batch() : fly_on())) { break; }
    }
    return {{"world", settings_.world},     {"batch", settings_.batch},          {"lag", settings_.lag},
            {"workers", settings_.workers}, {"evaluations", evaluated_},         {"minutes", now_ / 60},
            {"refused", refused_},          {"by_evaluations", by_evaluations_}, {"by_minutes", by_minutes_}};
  }

 private:
  // A batch on all workers: each takes the next task when it is free. False: nothing new was proposed.
  bool fly_batch() {
    while (static_cast<int>(batches_.size()) > settings_.lag) { land_batch(); }
    const double proposed = std::max(now_, free_.top());
    ++round_;
    Batch batch;
    batch.end = batches_.empty() ? proposed : batches_.back().end;
    for (int slot = 0; slot < settings_.batch; ++slot) {
      auto flight = propose(slot, settings_.batch);
      if (!flight) { continue; }
      const double end = std::max(proposed, free_.top()) + seconds_of(*flight);
      free_.pop();
      free_.push(end);
      batch.end = std::max(batch.end, end);
      batch.flights.push_back(std::move(*flight));
    }
    const bool any = !batch.flights.empty();
    batches_.push_back(std::move(batch));
    return any;
  }

  void land_batch() {
    look_until(batches_.front().end);
    now_ = batches_.front().end;
    for (const Flight& flight : batches_.front().flights) { land(flight); }
    batches_.pop_front();
  }

  bool fly_on() {
    while (static_cast<int>(flying_.size()) < settings_.workers) {
      ++round_;
      auto flight = propose(0, 1);
      if (!flight) { break; }
      flight->end = now_ + seconds_of(*flight);
      flying_.push(std::move(*flight));
    }
    if (flying_.empty()) { return false; }
    const Flight first = flying_.top();
    flying_.pop();
    look_until(first.end);
    now_ = first.end;
    land(first);
    return true;
  }

  std::optional<Flight> propose(int64_t slot, int64_t slots) {
    const study::SearchOptions options = test_options();
    ProposalContext context;
    context.seed = settings_.world;
    context.batch = round_;
    context.slot = slot;
    context.index = (round_ - 1) * slots + slot;
    context.model = test_model();
    context.seeds = &builtin_seeds();
    context.front = &front_;
    context.passed = &passed_;
    for (; context.draw < options.draws; ++context.draw) {
      const Result<std::optional<Proposal>> proposal = proposer_->propose(context);
      if (!proposal.ok() || !*proposal) { return std::nullopt; }
      vflow::CheckReport report = vflow::check_policy((*proposal)->source, context.model);
      const bool novel = report.policy && is_novel(*report.policy);
      if (!novel) {
        ++refused_;
        continue;
      }
      Flight flight;
      flight.candidate = next_++;
      flight.job.module_text = (*proposal)->source.module_text;
      flight.job.config_text = (*proposal)->source.config_text;
      flight.quality = heritable_quality(flight.job, settings_.world);
      flight.policy = std::make_shared<const vflow::Policy>(std::move(*report.policy));
      return flight;
    }
    return std::nullopt;
  }

  bool is_novel(const vflow::Policy& policy) {
    const Fingerprint fresh = fingerprint(policy, next_);
    if (!gate_.judge(fresh).novel) { return false; }
    gate_.remember(fresh);
    return true;
  }

  double seconds_of(const Flight& flight) const {
    Rng rng(stream_key(settings_.world, 77, static_cast<uint64_t>(flight.candidate)));
    return kTaskSeconds * (0.5 + rng.uniform()) * (flight.quality < kFails ? kFailedShare : 1);
  }

  void land(const Flight& flight) {
    ++evaluated_;
    if (flight.quality >= kFails) {
      const double bytes = vflow::decode_cost(*flight.policy, test_model(), 4096).byte_ratio();
      const double speed = 1 / (1 - kAttentionShare + kAttentionShare / bytes);
      passed_.push_back({flight.candidate, flight.policy, 0, 0});
      qualities_[flight.candidate] = flight.quality;
      if (add_point(flight.candidate, flight.job, flight.quality, speed)) { take_front(); }
    }
    if (evaluated_ % kEvaluationStep == 0) { by_evaluations_.push_back(gain_); }
  }

  bool add_point(int64_t candidate, const job::Job& job, double quality, double speed) {
    SyntheticWorkers workers;
    workers.problems = kProblems;
    workers.truth = [quality](const job::Job&) { return quality; };
    study::Point point;
    point.candidate = candidate;
    point.key = std::to_string(candidate);
    point.reference = candidate == 0;
    point.outcomes = evals::AnswerSheet(workers.stage_result(job, job::Stage::kRace).outcomes);
    if (archive_.points().empty()) { asked_ = point.outcomes; }
    point.outcomes.share(asked_);
    point.accuracy = evals::accuracy_interval(point.outcomes, settings_.world);
    point.speed = study::exact_speed(speed);
    return archive_.add(std::move(point));
  }

  void take_front() {
    std::vector<study::Point> members;
    for (size_t i : archive_.front()) { members.push_back(archive_.points()[i]); }
    const std::vector<double> weights = study::nondominated_probability(members, settings_.world);
    front_.clear();
    for (size_t i = 0; i < members.size(); ++i) {
      const auto parent = std::find_if(passed_.rbegin(), passed_.rend(),
                                       [&](const Parent& one) { return one.candidate == members[i].candidate; });
      if (parent != passed_.rend()) { front_.push_back({parent->candidate, parent->policy, weights[i], 0}); }
    }
    gain_ = volume() - base_;
  }

  double volume() const {
    std::vector<double> accuracy;
    std::vector<double> speed;
    for (size_t i : archive_.front()) {
      const study::Point& point = archive_.points()[i];
      const auto quality = qualities_.find(point.candidate);
      accuracy.push_back(quality == qualities_.end() ? 1 : quality->second);  // chance, 0.3, is worth nothing
      speed.push_back(point.speed.ratio.value);
    }
    return study::hypervolume(accuracy, speed);
  }

  // What was known at every look up to `time`.
  void look_until(double time) {
    while (60 * kMinuteStep * static_cast<double>(by_minutes_.size() + 1) < time) { by_minutes_.push_back(gain_); }
  }

  Settings settings_;
  study::Archive archive_;
  std::unique_ptr<Proposer> proposer_;
  NoveltyGate gate_;
  evals::AnswerSheet asked_;
  std::priority_queue<Flight> flying_;                                     // without batches
  std::deque<Batch> batches_;                                              // that are not known yet
  std::priority_queue<double, std::vector<double>, std::greater<>> free_;  // when each worker is
  std::vector<Parent> front_;
  std::vector<Parent> passed_;
  std::map<int64_t, double> qualities_;
  int64_t round_ = 0;
  int64_t next_ = 1;
  int evaluated_ = 0;
  int refused_ = 0;
  double now_ = 0;
  double base_ = 0;
  double gain_ = 0;
  std::vector<double> by_evaluations_;
  std::vector<double> by_minutes_;
};

}  // namespace
}  // namespace vortex::agent

int main(int argc, char** argv) {
  if (argc < 3) {
    std::cerr << "usage: batch_bench WORLD BATCH (0: none) [LAG] [WORKERS] [EVALUATIONS] [MINUTES]\n";
    return 1;
  }
  vortex::agent::Settings settings;
  settings.world = static_cast<uint64_t>(std::atoi(argv[1]));
  settings.batch = std::atoi(argv[2]);
  if (argc > 3) { settings.lag = std::atoi(argv[3]); }
  if (argc > 4) { settings.workers = std::atoi(argv[4]); }
  if (argc > 5) { settings.evaluations = std::atoi(argv[5]); }
  if (argc > 6) { settings.minutes = std::atof(argv[6]); }
  std::cout << vortex::agent::Simulation(settings).run().dump() << "\n";
  return 0;
}
