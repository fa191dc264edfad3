#include "agent/prompts/facts.h"

#include <algorithm>
#include <map>
#include <set>

#include "base/text.h"
#include "core/vflow/tell/cost.h"
#include "study/notebook.h"
#include "study/standing.h"

namespace vortex::agent {
namespace {

using nlohmann::json;

constexpr size_t kMaxFront = 12;
constexpr size_t kMaxOthers = 12;
constexpr size_t kMaxSeeds = 3;
constexpr size_t kMaxFailures = 8;
constexpr size_t kMaxDiagnostics = 1500;  // bytes

json interval_json(const evals::Interval& interval) {
  return {{"value", interval.value}, {"lo", interval.lo}, {"hi", interval.hi}};
}

json task_facts(const study::SearchOptions& options) {
  const job::TaskSpec& spec = options.job.task;
  json task = job::to_json(spec);
  task["race_margin"] = options.job.race_margin;
  return task;
}

json model_facts(const vflow::ModelGeometry& model) {
  return {{"layers", model.layers},       {"query_heads", model.num_q_heads},   {"kv_heads", model.num_kv_heads},
          {"head_dim", model.head_dim},   {"kv_lora_rank", model.kv_lora_rank}, {"rope_dim", model.rope_dim},
          {"context", model.max_context}, {"token_budget", model.token_budget}};
}

// What the limit model says of a policy: where a decode step's bytes go.
json cost_facts(const vflow::Policy& policy, const vflow::ModelGeometry& model) {
  const vflow::DecodeCost cost = vflow::decode_cost(policy, model, model.max_context);
  return {{"pages", cost.pages},
          {"selected_pages", cost.selected_pages},
          {"scored_pages", cost.scored_pages},
          {"dense_layers", cost.dense_layers},
          {"dense_bytes", cost.dense_bytes},
          {"policy_bytes", cost.policy_bytes},
          {"dense_layer_bytes", cost.dense_layer_bytes},
          {"selected_bytes", cost.selected_bytes},
          {"summary_bytes", cost.summary_bytes},
          {"state_bytes", cost.state_bytes},
          {"page_special", cost.page.special},
          {"page_read_bytes", cost.page.read_bytes},
          {"ratio", cost.byte_ratio()}};
}

void add_recall(const study::CandidateHistory& candidate, json& entry) {
  const db::StageRow* row = study::last_stage(candidate, job::Stage::kRecall);
  if (row == nullptr) { return; }
  for (const char* name : {"mass_recall", "kl", "next_token_agreement", "answer_log_likelihood", "answer_kl",
                           "oracle_accuracy", "oracle_answer_kl"}) {
    const job::Metric metric = study::metric_of(*row, name);
    if (!metric.name.empty()) { entry[name] = metric.value; }
  }
  const json evidence = json::parse(row->evidence, nullptr, false);
  if (evidence.is_object() && evidence.contains("mass_per_layer")) {
    entry["mass_per_layer"] = evidence["mass_per_layer"];
  }
}

json measured(const study::CandidateHistory& candidate, const study::SearchOptions& options) {
  json entry = {{"candidate", candidate.row.id},
                {"batch", candidate.row.batch},
                {"origin", candidate.row.origin},
                {"rationale", candidate.row.rationale},
                {"verdict", name_of(candidate.row.verdict)}};
  for (const db::LineageEdge& edge : candidate.parents) {
    entry["parents"].push_back(edge.parent);
    entry["operation"] = edge.operation;
  }
  add_recall(candidate, entry);
  if (const db::StageRow* race = study::last_stage(candidate, job::Stage::kRace)) {
    entry["accuracy"] = interval_json(evals::accuracy_interval(study::outcomes_of(candidate, *race), options.seed));
  }
  const bool modelled = options.rank_speed == study::RankSpeed::kModelled;
  if (const db::StageRow* row = study::last_stage(candidate, modelled ? job::Stage::kCheck : job::Stage::kSpeed)) {
    const job::Metric metric = study::metric_of(*row, modelled ? study::kModelledSpeedup : "speedup_vs_dense");
    if (!metric.name.empty()) { entry["speed"] = {{"value", metric.value}, {"lo", metric.lo}, {"hi", metric.hi}}; }
  }
  return entry;
}

Status add_sources(db::Store& store, const db::Candidate& row, json& entry) {
  VORTEX_ASSIGN(entry["module"], store.get_object(row.module_object));
  VORTEX_ASSIGN(entry["config"], store.get_object(row.config_object));
  return ok_status();
}

// Members of the front, the likeliest to be on it first.
Result<json> front_facts(db::Store& store, const study::History& history, const study::SearchOptions& options,
                         const ProposalContext& context) {
  std::vector<const Parent*> order;
  for (const Parent& parent : *context.front) { order.push_back(&parent); }
  std::stable_sort(order.begin(), order.end(), [](const Parent* a, const Parent* b) { return a->weight > b->weight; });
  json front = json::array();
  for (const Parent* parent : order) {
    const study::CandidateHistory* candidate = history.find(parent->candidate);
    if (candidate == nullptr || front.size() == kMaxFront) { continue; }
    json entry = measured(*candidate, options);
    entry["probability"] = parent->weight;
    VORTEX_ASSIGN(const std::shared_ptr<const vflow::Policy> read, policy_of(context, *parent));
    entry["cost"] = cost_facts(*read, context.model);
    VORTEX_TRY(add_sources(store, candidate->row, entry));
    front.push_back(std::move(entry));
  }
  return front;
}

// Candidates that were measured but are not on the front, newest first.
Result<json> other_facts(db::Store& store, const study::History& history, const study::SearchOptions& options,
                         const ProposalContext& context) {
  std::map<int64_t, const Parent*> passed;
  std::set<int64_t> on_front;
  for (const Parent& parent : *context.passed) { passed[parent.candidate] = &parent; }
  for (const Parent& parent : *context.front) { on_front.insert(parent.candidate); }
  json others = json::array();
  for (auto entry = history.candidates.rbegin(); entry != history.candidates.rend(); ++entry) {
    const db::Candidate& row = entry->row;
    if (row.batch >= context.batch || row.batch == 0 || others.size() == kMaxOthers) { continue; }
    if (on_front.contains(row.id) || study::last_stage(*entry, job::Stage::kRace) == nullptr) { continue; }
    json other = measured(*entry, options);
    const auto policy = passed.find(row.id);
    if (policy != passed.end()) {
      VORTEX_ASSIGN(const std::shared_ptr<const vflow::Policy> read, policy_of(context, *policy->second));
      other["cost"] = cost_facts(*read, context.model);
    }
    VORTEX_TRY(add_sources(store, row, other));
    others.push_back(std::move(other));
  }
  return others;
}

// Failures that are the candidate's own, the newest of each message.
json failure_facts(const study::History& history, int64_t before) {
  json failures = json::array();
  std::set<std::string> told;
  for (auto entry = history.candidates.rbegin(); entry != history.candidates.rend(); ++entry) {
    if (entry->row.batch >= before || entry->row.batch == 0 || entry->stages.empty()) { continue; }
    const db::StageRow& last = entry->stages.back();
    const bool refused = last.stage == job::Stage::kNovelty && last.verdict == job::Verdict::kPruned;
    const bool failed = last.blame == Blame::kCandidate || refused;
    const std::string stage = db::stage_round_name(last.stage);
    if (!failed || failures.size() == kMaxFailures || !told.insert(stage + last.message).second) { continue; }
    failures.push_back({{"candidate", entry->row.id},
                        {"stage", stage},
                        {"verdict", last.verdict},
                        {"message", last.message},
                        {"rationale", entry->row.rationale}});
  }
  return failures;
}

}  // namespace

Result<json> gather_facts(db::Store& store, const study::History& history, const study::SearchOptions& options,
                          const ProposalContext& context, int64_t variants) {
  json facts = {{"batch", context.batch},
                {"slot", context.slot},
                {"draw", context.draw},
                {"mode", options.writer.mode},
                {"variants", variants},
                {"speed", study::rank_speed_name(options.rank_speed)},
                {"task", task_facts(options)},
                {"model", model_facts(context.model)},
                {"failures", failure_facts(history, context.batch)}};
  facts["seeds"] = json::array();
  for (const Seed& seed : *context.seeds) {
    if (facts["seeds"].size() == kMaxSeeds) { break; }
    facts["seeds"].push_back(
        {{"name", seed.name}, {"module", seed.source.module_text}, {"config", seed.source.config_text}});
  }
  for (const study::CandidateHistory& candidate : history.candidates) {
    if (study::is_dense(candidate.row)) { facts["dense"] = measured(candidate, options); }
  }
  VORTEX_ASSIGN(facts["front"], front_facts(store, history, options, context));
  VORTEX_ASSIGN(facts["others"], other_facts(store, history, options, context));
  VORTEX_ASSIGN(facts["notebook"], study::notebook_json(store, history, context.batch - 1));
  return facts;
}

Result<json> refused_facts(db::Store& store, const study::History& history, int64_t batch, int64_t slot, int64_t draw) {
  for (const study::CandidateHistory& candidate : history.candidates) {
    const db::Candidate& row = candidate.row;
    if (row.batch != batch || row.slot != slot || row.draw != draw || candidate.stages.empty()) { continue; }
    const db::StageRow& last = candidate.stages.back();
    json facts = {{"candidate", row.id},
                  {"stage", db::stage_round_name(last.stage)},
                  {"message", last.message},
                  {"rationale", row.rationale},
                  {"diagnostics", clipped(last.log_tail, kMaxDiagnostics)}};
    VORTEX_TRY(add_sources(store, row, facts));
    return facts;
  }
  return internal_error("there is no refused draw to repair");
}

}  // namespace vortex::agent
