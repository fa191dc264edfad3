#include "agent/loop/planner.h"

#include <algorithm>
#include <cmath>

#include "agent/loop/shelf.h"
#include "base/clock.h"
#include "base/text.h"
#include "core/vflow/diagnostics.h"
#include "job/protocol.h"
#include "study/history.h"
#include "study/standing.h"

namespace vortex::agent {
namespace {

job::StageResult check_result(const vflow::CheckReport& report) {
  job::StageResult result;
  result.stage = job::Stage::kCheck;
  result.verdict = report.policy ? job::Verdict::kPass : job::Verdict::kFail;
  result.log_tail = clipped(vflow::render(report.diagnostics), job::kLogTailBytes);
  if (!report.policy) {
    result.blame = Blame::kCandidate;
    for (const vflow::Diagnostic& diagnostic : report.diagnostics) {
      if (diagnostic.severity != vflow::Severity::kError) { continue; }
      result.message = diagnostic.message + " [" + diagnostic.code + "]";
      break;
    }
  }
  return result;
}

job::StageResult novelty_result(const NoveltyReport& report) {
  job::StageResult result;
  result.stage = job::Stage::kNovelty;
  result.verdict = report.novel ? job::Verdict::kPass : job::Verdict::kPruned;
  result.message = report.message;
  result.metrics.push_back({"distance_to_nearest", report.distance, report.distance, report.distance, ""});
  if (report.nearest != 0) { result.evidence["nearest"] = report.nearest; }
  return result;
}

}  // namespace

bool is_control(int64_t index, size_t seeds, double share) {
  const auto number = static_cast<double>(index - static_cast<int64_t>(seeds));
  return number >= 0 && std::floor((number + 1) * share) > std::floor(number * share);
}

Status Planner::load() {
  VORTEX_ASSIGN(const std::vector<db::Candidate> rows, store_.candidates(run_));
  for (const db::Candidate& row : rows) { rows_.emplace(std::tuple(row.batch, row.slot, row.draw), row); }
  return ok_status();
}

Result<std::optional<Planned>> Planner::plan(int64_t batch, int64_t slot, const std::vector<Parent>& front,
                                             const std::vector<Parent>& passed,
                                             const std::function<bool()>& may_propose) {
  const int64_t index = (batch - 1) * options_.batch + slot;
  for (int64_t draw = 0; draw < options_.draws; ++draw) {
    const auto known = rows_.find({batch, slot, draw});
    std::optional<Planned> planned;
    if (known != rows_.end()) {
      VORTEX_ASSIGN(vflow::PolicySource source, stored_source(store_, known->second));
      VORTEX_ASSIGN(planned, admit(known->second, std::move(source), {}, {}));
    } else {
      if (!may_propose()) { return std::optional<Planned>{}; }
      static const std::vector<Parent> kNone;
      const bool control = is_control(index, seeds_.size(), options_.control_share);
      ProposalContext context;
      context.seed = options_.seed;
      context.batch = batch;
      context.slot = slot;
      context.draw = draw;
      context.index = index;
      context.model = model_;
      context.seeds = &seeds_;
      context.front = control ? &kNone : &front;
      context.passed = control ? &kNone : &passed;
      context.control = control;
      context.budget = budget;
      context.read_policy = read_policy;
      VORTEX_ASSIGN(std::optional<Proposal> made, proposer_.propose(context));
      if (!made) { return std::optional<Planned>{}; }
      Proposal proposal = std::move(*made);
      db::Candidate row;
      row.run = run_;
      row.batch = batch;
      row.slot = slot;
      row.draw = draw;
      row.origin = proposal.origin;
      row.arm = control ? db::Arm::kControl : db::Arm::kSearch;
      row.rationale = proposal.rationale;
      VORTEX_ASSIGN(row.module_object, store_.put_object(proposal.source.module_text));
      VORTEX_ASSIGN(row.config_object, store_.put_object(proposal.source.config_text));
      VORTEX_ASSIGN(planned, admit(std::move(row), std::move(proposal.source), proposal.parents, proposal.operation));
    }
    if (planned) { return planned; }
  }
  return std::optional<Planned>{};
}

// Stores the candidate (a row without an id) with its check and novelty results. Rows from an earlier session are
// judged again in memory, which also finishes what that session may have left half done.
Result<std::optional<Planned>> Planner::admit(db::Candidate row, vflow::PolicySource source,
                                              const std::vector<int64_t>& parents, const std::string& operation) {
  const double start = monotonic_seconds();
  vflow::CheckReport report = vflow::check_policy(source, model_);
  job::StageResult check = check_result(report);
  check.seconds = monotonic_seconds() - start;
  Fingerprint fresh;
  if (report.policy) {
    fresh = fingerprint(*report.policy, row.id);
    row.key = fresh.key;
    row.program_hash = vflow::program_hash(report.policy->program);
    const double speed = modelled_speed(*report.policy);
    check.metrics.push_back({study::kModelledSpeedup, speed, speed, speed, "x"});
  }
  if (row.id == 0) {
    std::vector<db::LineageEdge> edges;
    for (int64_t parent : parents) { edges.push_back({0, parent, operation}); }
    if (edges.empty() && !operation.empty()) { row.rationale = operation + ": " + row.rationale; }
    VORTEX_ASSIGN(row.id, store_.add_candidate(row, edges));
    fresh.candidate = row.id;
  }
  if (!report.policy) {
    VORTEX_TRY(refuse(row, check));
    return std::optional<Planned>{};
  }
  VORTEX_TRY(record(row, check));
  const job::StageResult novelty = novelty_result(novelty_.judge(fresh));
  if (novelty.verdict != job::Verdict::kPass) {
    VORTEX_TRY(refuse(row, novelty));
    return std::optional<Planned>{};
  }
  VORTEX_TRY(record(row, novelty));
  novelty_.remember(fresh);
  return std::optional(
      Planned{row.id, row.state, std::move(*report.policy), std::move(source), row.arm == db::Arm::kControl});
}

Status Planner::refuse(const db::Candidate& row, const job::StageResult& result) {
  if (study::is_done(row)) { return ok_status(); }
  VORTEX_TRY(record(row, result));
  VORTEX_TRY(store_.set_candidate_state(row.id, db::CandidateState::kDone, result.verdict));
  if (on_refused) { on_refused(row.id, row.origin, result); }
  return ok_status();
}

Status Planner::record(const db::Candidate& row, const job::StageResult& result) {
  // An earlier session may have done it; what this one has just made has none.
  const bool is_new = !rows_.contains({row.batch, row.slot, row.draw});
  if (!is_new) {
    VORTEX_ASSIGN(const std::vector<db::StageRow> stages, store_.stages(row.id));
    if (std::any_of(stages.begin(), stages.end(), [&](const db::StageRow& one) { return one.stage == result.stage; })) {
      return ok_status();
    }
  }
  return store_.add_stage(study::to_row(result, row.id, 1), {});
}

}  // namespace vortex::agent
