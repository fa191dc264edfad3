#include "agent/propose/evolver.h"

#include "base/rng.h"
#include "core/vflow/vary/generate.h"
#include "core/vflow/vary/mutate.h"

namespace vortex::agent {
namespace {

constexpr double kRandomShare = 0.08;     // fresh programs: a way out of what the seeds suggest
constexpr double kCrossoverShare = 0.25;  // of the rest, where two parents exist
constexpr double kFrontShare = 0.8;       // parents from the front; the others from everything that passed
constexpr double kResizeShare = 0.3;      // of mutations of parents whose right answers were forced: another budget
constexpr double kKeepsAnswers = 0.8;     // a promise from which fewer pages may do (answer_kl below 0.02 nats)

Rng rng_of(const ProposalContext& context) {
  return Rng(stream_key(context.seed, static_cast<uint64_t>(context.batch), static_cast<uint64_t>(context.slot),
                        static_cast<uint64_t>(context.draw)));
}

void take(Proposal& proposal, vflow::Variation variation) {
  proposal.source = std::move(variation.source);
  proposal.report = std::move(variation.report);
  proposal.operation = std::move(variation.description);
}

Proposal random_proposal(const ProposalContext& context, Rng& rng) {
  Proposal proposal;
  vflow::GenerateOptions options;
  options.mla = context.model.kv_lora_rank > 0;
  take(proposal, vflow::random_variation(rng, context.model, options));
  proposal.rationale = "independent of everything tried so far";
  proposal.origin = db::Origin::kRandom;
  return proposal;
}

// Drawn with the weights; every parent keeps a small chance.
const Parent& draw_parent(const std::vector<Parent>& parents, Rng& rng) {
  const auto weight = [](const Parent& parent) { return parent.weight + 0.05; };
  double total = 0;
  for (const Parent& parent : parents) { total += weight(parent); }
  double left = rng.uniform() * total;
  for (const Parent& parent : parents) {
    left -= weight(parent);
    if (left < 0) { return parent; }
  }
  return parents.back();
}

// Seeds that check against this model: what there is to vary before anything has passed.
std::vector<Parent> seed_parents(const ProposalContext& context) {
  std::vector<Parent> parents;
  for (const Seed& seed : *context.seeds) {
    vflow::CheckReport report = vflow::check_policy(seed.source, context.model);
    if (report.policy) {
      parents.push_back({0, std::make_shared<const vflow::Policy>(std::move(*report.policy)), 1.0});
    }
  }
  return parents;
}

class Evolver final : public Proposer {
 public:
  Result<std::optional<Proposal>> propose(const ProposalContext& context) override {
    VORTEX_ASSIGN(Proposal proposal, next(context));
    return std::optional(std::move(proposal));
  }

 private:
  Result<Proposal> next(const ProposalContext& context) {
    const auto index = static_cast<size_t>(context.index);
    if (index < context.seeds->size() && context.draw == 0 && !context.control) {
      return seed_proposal((*context.seeds)[index]);
    }
    Rng rng = rng_of(context);
    if (rng.uniform() < kRandomShare) { return random_proposal(context, rng); }
    const std::vector<Parent>* everything = context.passed;
    if (everything->empty()) {
      if (!seeds_) { seeds_ = seed_parents(context); }
      everything = &*seeds_;
    }
    if (everything->empty()) { return random_proposal(context, rng); }
    const auto draw = [&]() -> const Parent& {
      const bool from_front = !context.front->empty() && rng.uniform() < kFrontShare;
      return draw_parent(from_front ? *context.front : *everything, rng);
    };
    const Parent& first = draw();
    if (everything->size() > 1 && rng.uniform() < kCrossoverShare) {
      const Parent& second = draw();
      if (&second != &first && (second.candidate != first.candidate || first.candidate == 0)) {
        return crossover_proposal(context, first, second, rng);
      }
    }
    if (first.promise > 0 && rng.uniform() < kResizeShare) { return resize_proposal(context, first, rng); }
    return mutate_proposal(context, first, rng);
  }

  static Proposal seed_proposal(const Seed& seed) {
    return {seed.source, {}, "seed " + seed.name, "a known policy to start from", db::Origin::kSeed};
  }

  static Result<Proposal> crossover_proposal(const ProposalContext& context, const Parent& a, const Parent& b,
                                             Rng& rng) {
    VORTEX_ASSIGN(const std::shared_ptr<const vflow::Policy> one, policy_of(context, a));
    VORTEX_ASSIGN(const std::shared_ptr<const vflow::Policy> other, policy_of(context, b));
    Proposal proposal;
    take(proposal, vflow::crossover(*one, *other, rng, context.model));
    if (a.candidate != 0) { proposal.parents = {a.candidate, b.candidate}; }
    proposal.rationale = "joins two policies that passed";
    proposal.origin = db::Origin::kCrossover;
    return proposal;
  }

  // Refused draws try larger steps.
  static Result<Proposal> mutate_proposal(const ProposalContext& context, const Parent& parent, Rng& rng) {
    const int steps = 1 + static_cast<int>(rng.below(2)) + static_cast<int>(context.draw / 2);
    VORTEX_ASSIGN(const std::shared_ptr<const vflow::Policy> policy, policy_of(context, parent));
    vflow::Variation variation = vflow::mutate(*policy, rng, context.model);
    for (int step = 1; step < steps; ++step) { variation = after(variation, rng, context.model); }
    return mutation(context, parent, std::move(variation));
  }

  // Towards as many pages as the parent's right answers need: they tell where that is sooner than its accuracy does.
  static Result<Proposal> resize_proposal(const ProposalContext& context, const Parent& parent, Rng& rng) {
    const bool more = parent.promise < kKeepsAnswers;
    VORTEX_ASSIGN(const std::shared_ptr<const vflow::Policy> policy, policy_of(context, parent));
    vflow::Variation variation = vflow::resize(*policy, more, rng, context.model);
    if (context.draw > 1) { variation = after(variation, rng, context.model); }
    Proposal proposal = mutation(context, parent, std::move(variation));
    proposal.rationale = more ? "its right answers surprise the parent: more pages, or a better score"
                              : "its right answers do not surprise the parent: fewer pages may do";
    return proposal;
  }

  // One more step.
  static vflow::Variation after(const vflow::Variation& before, Rng& rng, const vflow::ModelGeometry& model) {
    vflow::Variation next = vflow::mutate(before.policy, rng, model);
    next.description = before.description + "; " + next.description;
    return next;
  }

  static Proposal mutation(const ProposalContext& context, const Parent& parent, vflow::Variation variation) {
    Proposal proposal;
    take(proposal, std::move(variation));
    if (parent.candidate != 0) { proposal.parents = {parent.candidate}; }
    proposal.rationale = parent.candidate != 0 ? "varies a policy that passed"
                         : context.control     ? "varies a seed without a look at results"
                                               : "varies a seed: nothing has passed yet";
    proposal.origin = db::Origin::kMutate;
    return proposal;
  }

  std::optional<std::vector<Parent>> seeds_;  // as parents, once they are needed: a search's seeds stay the same
};

class RandomProposer final : public Proposer {
 public:
  Result<std::optional<Proposal>> propose(const ProposalContext& context) override {
    Rng rng = rng_of(context);
    return std::optional(random_proposal(context, rng));
  }
};

}  // namespace

std::unique_ptr<Proposer> make_evolver() { return std::make_unique<Evolver>(); }

std::unique_ptr<Proposer> make_random_proposer() { return std::make_unique<RandomProposer>(); }

}  // namespace vortex::agent
