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
    if (known != rows_.end()) {
      VORTEX_ASSIGN(std::optional<Planned> again, admit_known(known->second));
      if (again) { return again; }
      continue;
    }
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
    db::Candidate row;
    row.run = run_;
    row.batch = batch;
    row.slot = slot;
    row.draw = draw;
    row.origin = made->origin;
    row.arm = control ? db::Arm::kControl : db::Arm::kSearch;
    VORTEX_ASSIGN(std::optional<Planned> fresh, admit_new(std::move(row), std::move(*made)));
    if (fresh) { return fresh; }
  }
  return std::optional<Planned>{};
}

// Fills in what the row says of the policy.
Planner::Judgement Planner::judge(db::Candidate& row, const vflow::PolicySource& source,
                                  std::optional<vflow::CheckReport> report) const {
  const double start = monotonic_seconds();
  if (!report) { report = vflow::check_policy(source, model_); }
  Judgement judgement;
  job::StageResult check = check_result(*report);
  check.seconds = monotonic_seconds() - start;
  if (!report->policy) {
    judgement.stages.push_back(std::move(check));
    return judgement;
  }
  judgement.fresh = fingerprint(*report->policy, row.id);
  row.key = judgement.fresh.key;
  row.program_hash = judgement.fresh.program;
  const double speed = modelled_speed(*report->policy);
  check.metrics.push_back({study::kModelledSpeedup, speed, speed, speed, "x"});
  judgement.stages.push_back(std::move(check));
  judgement.stages.push_back(novelty_result(novelty_.judge(judgement.fresh)));
  if (judgement.stages.back().verdict == job::Verdict::kPass) { judgement.policy = std::move(report->policy); }
  return judgement;
}

// One transaction a proposal, whatever comes of it: searches refuse more than they evaluate.
Result<std::optional<Planned>> Planner::admit_new(db::Candidate row, Proposal proposal) {
  VORTEX_ASSIGN(row.module_object, store_.put_object(proposal.source.module_text));
  VORTEX_ASSIGN(row.config_object, store_.put_object(proposal.source.config_text));
  Judgement judgement = judge(row, proposal.source, std::move(proposal.report));
  std::vector<db::LineageEdge> edges;
  for (const int64_t parent : proposal.parents) { edges.push_back({0, parent, proposal.operation}); }
  const bool stands_alone = edges.empty() && !proposal.operation.empty();
  row.rationale = stands_alone ? proposal.operation + ": " + proposal.rationale : proposal.rationale;
  std::vector<db::StageRow> stages;
  for (const job::StageResult& result : judgement.stages) { stages.push_back(study::to_row(result, 0, 1)); }
  if (judgement.refused()) {
    row.state = db::CandidateState::kDone;
    row.verdict = judgement.stages.back().verdict;
  }
  VORTEX_ASSIGN(row.id, store_.add_proposal(row, edges, stages));
  if (judgement.refused() && on_refused) { on_refused(row.id, row.origin, judgement.stages.back()); }
  return planned(row, std::move(proposal.source), std::move(judgement));
}

// A row from an earlier session is judged again in memory, which also finishes what that session may have left half
// done.
Result<std::optional<Planned>> Planner::admit_known(db::Candidate row) {
  VORTEX_ASSIGN(vflow::PolicySource source, stored_source(store_, row));
  Judgement judgement = judge(row, source, std::nullopt);
  VORTEX_TRY(record_missing(row, judgement.stages));
  if (judgement.refused() && !study::is_done(row)) {
    const job::StageResult& last = judgement.stages.back();
    VORTEX_TRY(store_.set_candidate_state(row.id, db::CandidateState::kDone, last.verdict));
    if (on_refused) { on_refused(row.id, row.origin, last); }
  }
  return planned(row, std::move(source), std::move(judgement));
}

std::optional<Planned> Planner::planned(const db::Candidate& row, vflow::PolicySource source, Judgement judgement) {
  if (judgement.refused()) { return std::nullopt; }
  judgement.fresh.candidate = row.id;
  novelty_.remember(judgement.fresh);
  return Planned{row.id, row.state, std::move(*judgement.policy), std::move(source), row.arm == db::Arm::kControl};
}

Status Planner::record_missing(const db::Candidate& row, const std::vector<job::StageResult>& results) {
  VORTEX_ASSIGN(const std::vector<db::StageRow> stages, store_.stages(row.id));
  for (const job::StageResult& result : results) {
    const bool known =
        std::any_of(stages.begin(), stages.end(), [&](const db::StageRow& one) { return one.stage == result.stage; });
    if (!known) { VORTEX_TRY(store_.add_stage(study::to_row(result, row.id, 1), {})); }
  }
  return ok_status();
}

}  // namespace vortex::agent
