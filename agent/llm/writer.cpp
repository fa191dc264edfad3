#include "agent/llm/writer.h"

#include <algorithm>
#include <map>
#include <tuple>

#include "agent/llm/recording.h"
#include "agent/llm/reply.h"
#include "agent/prompts/facts.h"
#include "agent/prompts/prompt.h"
#include "agent/prompts/sections.h"
#include "agent/propose/evolver.h"
#include "base/text.h"
#include "core/vflow/tell/explain.h"
#include "study/notebook.h"
#include "study/options.h"

namespace vortex::agent {
namespace {

using nlohmann::json;

constexpr int64_t kRounds = 2;  // questions for one place until a reply holds a policy

class Writer final : public Proposer {
 public:
  Writer(const ProposerSetup& setup, std::unique_ptr<Channel> channel, Templates templates)
      : setup_(setup),
        options_(*setup.options),
        channel_(std::move(channel)),
        templates_(std::move(templates)),
        book_(*setup.store, setup.run),
        evolver_(make_evolver()) {}

  Result<std::optional<Proposal>> propose(const ProposalContext& context) override {
    const auto seeds = static_cast<int64_t>(context.seeds->size());
    if (context.index < seeds) {
      if (context.draw > 0) { return std::optional<Proposal>{}; }
      const Seed& seed = (*context.seeds)[static_cast<size_t>(context.index)];
      return std::optional(
          Proposal{seed.source, {}, "seed " + seed.name, "a known policy to start from", db::Origin::kSeed});
    }
    if (context.draw > options_.writer.repairs) { return std::optional<Proposal>{}; }
    const bool repair = context.draw > 0;
    // The question of a batch stands at its first slot without a seed.
    const int64_t first = repair ? context.slot : std::max<int64_t>(0, seeds - (context.index - context.slot));
    VORTEX_ASSIGN(const Script* script, script_at(context, first));
    if (script->unanswered) { return fall_back(context); }
    const auto place = static_cast<size_t>(context.slot - first);
    if (place >= script->variants.size()) { return std::optional<Proposal>{}; }
    return proposal_of(context, script->variants[place]);
  }

  Status learn(int64_t batch) override {
    VORTEX_ASSIGN(const study::History history, read_run());
    return study::settle_hypotheses(*setup_.store, history, options_, batch);
  }

 private:
  using Place = std::tuple<int64_t, int64_t, int64_t>;  // batch, slot, draw

  // What was read from the replies to one question.
  struct Script {
    std::vector<Variant> variants;
    bool unanswered = false;  // nobody answered, or the budget did not allow to ask
  };

  Result<study::History> read_run() {
    VORTEX_ASSIGN(const std::optional<db::Run> run, setup_.store->find_run(std::to_string(setup_.run)));
    if (!run) { return internal_error("the run is not in the store"); }
    return study::read_history(*setup_.store, *run);
  }

  Result<const Script*> script_at(const ProposalContext& context, int64_t slot) {
    const Place place{context.batch, slot, context.draw};
    const auto known = scripts_.find(place);
    if (known != scripts_.end()) { return &known->second; }
    book_.set_budget(context.budget);
    VORTEX_ASSIGN(Script script, write_script(context, slot));
    return &scripts_.emplace(place, std::move(script)).first->second;
  }

  Result<Script> write_script(const ProposalContext& context, int64_t slot) {
    VORTEX_ASSIGN(const study::History history, read_run());
    VORTEX_TRY(study::settle_hypotheses(*setup_.store, history, options_, context.batch - 1));
    VORTEX_ASSIGN(Ask ask, question(history, context, slot));
    for (ask.round = 1; ask.round <= kRounds; ++ask.round) {
      VORTEX_ASSIGN(const std::optional<Answer> answer, answer_to(ask));
      if (!answer) { return Script{{}, true}; }
      WrittenReply reply = read_reply(answer->text);
      VORTEX_TRY(keep_notes(ask, reply));
      if (!reply.variants.empty()) { return Script{std::move(reply.variants), false}; }
      const std::string why = answer->finish == "refusal" ? "it refuses" : join(reply.remarks, "; ");
      say("no policy could be read from a reply of " + answer->model + ": " + why);
      VORTEX_ASSIGN(ask.prompt, prompt_of(history, context, slot, "\nYour last reply held no policy: " + why + "\n"));
    }
    return Script{};
  }

  // The reply that is there already, or a new one.
  Result<std::optional<Answer>> answer_to(const Ask& ask) {
    VORTEX_ASSIGN(std::optional<Answer> answer, book_.find(ask));
    if (!answer) {
      Result<std::optional<Answer>> asked = channel_->ask(ask, book_);
      const bool stopped = setup_.should_stop && setup_.should_stop();
      const bool may_do_without = options_.writer.fallback == "evolve" && !stopped;
      if (!asked.ok() && (asked.error().blame != Blame::kEnvironment || !may_do_without)) { return asked.error(); }
      if (asked.ok()) {
        answer = std::move(asked).value();
      } else {
        say(asked.error().message + "; the evolver fills in for this batch");
      }
    }
    if (!options_.writer.record_folder.empty()) { VORTEX_TRY(record(options_.writer.record_folder, ask, answer)); }
    return answer;
  }

  Result<Ask> question(const study::History& history, const ProposalContext& context, int64_t slot) {
    Ask ask;
    ask.batch = context.batch;
    ask.slot = slot;
    ask.draw = context.draw;
    ask.purpose = context.draw > 0 ? db::CallPurpose::kRepair : db::CallPurpose::kPropose;
    ask.reply_schema = reply_schema();
    VORTEX_ASSIGN(ask.context, gather_facts(*setup_.store, history, options_, context, variants_of(context, slot)));
    std::map<std::string, std::string> values = {{"language", vflow::language_reference_markdown()},
                                                 {"limit", limit_section(ask.context)},
                                                 {"geometry", geometry_section(ask.context)},
                                                 {"task", task_section(ask.context)}};
    VORTEX_ASSIGN(values["reply"], fill_template(templates_, "reply", {}));
    VORTEX_ASSIGN(ask.system, fill_template(templates_, "system", values));
    if (context.draw > 0) {
      VORTEX_ASSIGN(ask.context["refused"],
                    refused_facts(*setup_.store, history, context.batch, slot, context.draw - 1));
    }
    facts_ = ask.context;
    VORTEX_ASSIGN(ask.prompt, prompt_of(history, context, slot, ""));
    return ask;
  }

  Result<std::string> prompt_of(const study::History& history, const ProposalContext& context, int64_t slot,
                                const std::string& problem) {
    std::map<std::string, std::string> values = {{"batch", std::to_string(context.batch)}, {"problem", problem}};
    if (context.draw > 0) {
      values["draw"] = std::to_string(context.draw);
      values["repairs"] = std::to_string(options_.writer.repairs);
      values["refused"] = refused_section(facts_["refused"]);
      values["diagnostics"] = diagnostics_section(facts_["refused"]);
      return fill_template(templates_, "repair", values);
    }
    values["variants"] = std::to_string(variants_of(context, slot));
    values["front"] = front_section(facts_);
    values["parents"] = parents_section(facts_);
    values["others"] = others_section(facts_);
    values["failures"] = failures_section(facts_);
    VORTEX_ASSIGN(values["notebook"],
                  study::notebook_markdown(*setup_.store, history, context.batch - 1, options_.writer.notebook_tokens));
    return fill_template(templates_, options_.writer.mode, values);
  }

  int64_t variants_of(const ProposalContext& context, int64_t slot) const {
    return context.draw > 0 ? 1 : options_.batch - slot;
  }

  Status keep_notes(const Ask& ask, const WrittenReply& reply) {
    const auto keep = [&](db::NoteKind kind, const std::string& text) {
      return setup_.store->add_note({0, setup_.run, ask.batch, ask.slot, ask.draw, kind, text, "{}", 0});
    };
    for (const std::string& text : reply.anti_patterns) { VORTEX_TRY(keep(db::NoteKind::kAntiPattern, text)); }
    for (const std::string& text : reply.questions) { VORTEX_TRY(keep(db::NoteKind::kQuestion, text)); }
    return ok_status();
  }

  // Registers the hypothesis first: no candidate exists yet at this place, so nothing of it can be known.
  Result<std::optional<Proposal>> proposal_of(const ProposalContext& context, const Variant& variant) {
    if (variant.hypothesis) {
      VORTEX_TRY(
          setup_.store->add_note({0, setup_.run, context.batch, context.slot, context.draw, db::NoteKind::kHypothesis,
                                  variant.hypothesis->claim, to_json(variant.hypothesis->prediction).dump(), 0}));
    }
    Proposal proposal;
    proposal.source.module_text = variant.module;
    proposal.source.config_text = variant.config;
    proposal.operation = variant.operation.empty() ? "written anew" : variant.operation;
    proposal.rationale = variant.name.empty() ? variant.rationale : variant.name + ": " + variant.rationale;
    if (!variant.mechanism.empty()) { proposal.rationale += " New: " + variant.mechanism; }
    proposal.origin = context.draw > 0 ? db::Origin::kRepair : db::Origin::kLlm;
    VORTEX_ASSIGN(proposal.parents, known_parents(context, variant.parents));
    return std::optional(std::move(proposal));
  }

  // Parents that exist, have a policy and were made in an earlier batch; a repair comes from what it repairs.
  Result<std::vector<int64_t>> known_parents(const ProposalContext& context, const std::vector<int64_t>& named) {
    VORTEX_ASSIGN(const std::vector<db::Candidate> rows, setup_.store->candidates(setup_.run));
    std::vector<int64_t> parents;
    for (const db::Candidate& row : rows) {
      const bool is_named = std::find(named.begin(), named.end(), row.id) != named.end();
      const bool repaired =
          context.draw > 0 && row.batch == context.batch && row.slot == context.slot && row.draw == context.draw - 1;
      if (repaired || (is_named && !row.module_object.empty() && row.batch < context.batch)) {
        parents.push_back(row.id);
      }
    }
    return parents;
  }

  Result<std::optional<Proposal>> fall_back(const ProposalContext& context) {
    if (options_.writer.fallback != "evolve") { return std::optional<Proposal>{}; }
    return evolver_->propose(context);
  }

  void say(const std::string& message) const {
    if (setup_.on_message) { setup_.on_message(message); }
  }

  ProposerSetup setup_;
  const study::SearchOptions& options_;
  std::unique_ptr<Channel> channel_;
  Templates templates_;
  CallBook book_;
  std::unique_ptr<Proposer> evolver_;
  std::map<Place, Script> scripts_;
  json facts_;  // of the question in hand
};

}  // namespace

Result<std::unique_ptr<Proposer>> make_writer(const ProposerSetup& setup, std::unique_ptr<Channel> channel) {
  if (setup.store == nullptr || setup.options == nullptr) { return internal_error("this proposer needs a store"); }
  VORTEX_ASSIGN(Templates templates, load_templates(setup.options->writer.prompts_folder));
  return std::unique_ptr<Proposer>(std::make_unique<Writer>(setup, std::move(channel), std::move(templates)));
}

}  // namespace vortex::agent
