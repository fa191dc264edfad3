#include <algorithm>
#include <limits>

#include "agent/llm/client.h"
#include "agent/llm/models.h"
#include "agent/llm/writer.h"
#include "base/clock.h"
#include "base/rng.h"
#include "base/text.h"
#include "net/http.h"
#include "study/options.h"

namespace vortex::agent {
namespace {

constexpr double kPatience = 3600;  // seconds that a search waits for any model to answer before it is interrupted

// The models of a roster, one of which answers each question.
class ModelsChannel final : public Channel {
 public:
  ModelsChannel(const ProposerSetup& setup, Roster roster)
      : setup_(setup),
        roster_(std::move(roster)),
        breakers_(roster_.models.size(), EndpointBreaker(roster_.rest_seconds)) {}

  Result<std::optional<Answer>> ask(const Ask& ask, CallBook& book) override {
    VORTEX_ASSIGN(const std::vector<ModelArm> arms, arms_now());
    const bool may_wait = setup_.options->writer.fallback == "none";
    const double patient_until = monotonic_seconds() + (may_wait ? kPatience : 0.0);
    Error last = environment_error("all models rest after failures");
    bool failed = false;
    while (true) {
      const std::vector<size_t> awake = awake_models();
      if (awake.empty()) {
        const double wake = earliest_wake();
        if (wake > patient_until) { return last; }
        if (!net::pause_for(std::max(0.0, wake - monotonic_seconds()), setup_.should_stop)) { return last; }
        continue;
      }
      const uint64_t key = stream_key(setup_.options->seed, static_cast<uint64_t>(ask.batch),
                                      static_cast<uint64_t>(ask.slot), static_cast<uint64_t>(ask.draw));
      const size_t chosen = choose_model(roster_, arms, awake, key);
      auto answer = ask_model(roster_.models[chosen], roster_, ask, book, {setup_.should_stop, setup_.on_message});
      if (answer.ok()) {
        breakers_[chosen].succeeded();
        return answer;
      }
      // What the search's own end cut short says less than the failure before it.
      if (!failed || !stopped()) { last = answer.error(); }
      failed = true;
      if (last.blame != Blame::kEnvironment || stopped()) { return last; }
      breakers_[chosen].failed(monotonic_seconds());
      if (setup_.on_message) { setup_.on_message(last.message + "; " + roster_.models[chosen].name + " rests"); }
    }
  }

 private:
  Result<std::vector<ModelArm>> arms_now() {
    if (!roster_.bandit) { return std::vector<ModelArm>(roster_.models.size()); }
    VORTEX_ASSIGN(const std::optional<db::Run> run, setup_.store->find_run(std::to_string(setup_.run)));
    if (!run) { return internal_error("the run is not in the store"); }
    VORTEX_ASSIGN(const study::History history, study::read_history(*setup_.store, *run));
    return model_arms(*setup_.store, history, *setup_.options, roster_);
  }

  std::vector<size_t> awake_models() const {
    std::vector<size_t> awake;
    for (size_t i = 0; i < breakers_.size(); ++i) {
      if (breakers_[i].awake(monotonic_seconds()) && roster_.models[i].weight > 0) { awake.push_back(i); }
    }
    return awake;
  }

  double earliest_wake() const {
    double wake = std::numeric_limits<double>::infinity();
    for (size_t i = 0; i < breakers_.size(); ++i) {
      if (roster_.models[i].weight > 0) { wake = std::min(wake, breakers_[i].until()); }
    }
    return wake;
  }

  bool stopped() const { return setup_.should_stop && setup_.should_stop(); }

  ProposerSetup setup_;
  Roster roster_;
  std::vector<EndpointBreaker> breakers_;
};

}  // namespace

Result<std::unique_ptr<Proposer>> make_llm_proposer(const ProposerSetup& setup) {
  if (setup.store == nullptr || setup.options == nullptr) { return internal_error("this proposer needs a store"); }
  if (setup.options->writer.models.empty()) {
    return candidate_error("which language model? no models file was given",
                           "name one with --models FILE; docs/proposers.md shows one");
  }
  VORTEX_ASSIGN(Roster roster, roster_from_json(setup.options->writer.models, setup.options->max_dollars > 0));
  return make_writer(setup, std::make_unique<ModelsChannel>(setup, std::move(roster)));
}

}  // namespace vortex::agent
