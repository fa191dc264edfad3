#include <cmath>
#include <iostream>
#include <memory>

#include "cli/loaded_run.h"
#include "cli/verbs.h"
#include "core/base/text.h"

namespace vortex::cli {
namespace {

constexpr size_t kEvidenceWidth = 100;  // characters of one piece of evidence in the text output

nlohmann::json parsed(const std::string& text) {
  auto json = nlohmann::json::parse(text, nullptr, false);
  return json.is_discarded() ? nlohmann::json() : json;
}

std::string metric_text(const evals::Metric& metric) {
  const int digits = std::abs(metric.value) >= 100 ? 1 : 3;
  return metric.name + " " + interval_text({metric.value, metric.lo, metric.hi}, digits) +
         (metric.unit.empty() ? "" : " " + metric.unit);
}

struct OutcomeSummary {
  int64_t problems_right = 0;
  int64_t total = 0;
  int64_t tokens = 0;
};

OutcomeSummary summarize(const agent::CandidateHistory& candidate, const db::StageRow& stage) {
  OutcomeSummary summary;
  for (const evals::Outcome& outcome : agent::outcomes_of(candidate, stage)) {
    ++summary.total;
    summary.problems_right += outcome.correct ? 1 : 0;
    summary.tokens += outcome.tokens;
  }
  return summary;
}

void print_stage(const agent::CandidateHistory& candidate, const db::StageRow& stage) {
  std::cout << "\n"
            << stage.stage << " (attempt " << stage.attempt << "): " << stage.verdict
            << (stage.blame.empty() ? "" : ", blame " + stage.blame) << ", " << fixed(stage.seconds, 2) << " s\n";
  for (const std::string& line : split_lines(stage.message)) std::cout << "  " << line << "\n";
  const auto metrics = evals::metrics_from_json(parsed(stage.metrics));
  if (metrics.ok()) {
    for (const evals::Metric& metric : *metrics) std::cout << "  " << metric_text(metric) << "\n";
  }
  const OutcomeSummary outcomes = summarize(candidate, stage);
  if (outcomes.total > 0) {
    std::cout << "  outcomes: " << outcomes.problems_right << " of " << outcomes.total << " correct, "
              << fixed(static_cast<double>(outcomes.tokens) / static_cast<double>(outcomes.total), 1)
              << " tokens each\n";
  }
  for (const auto& [key, value] : parsed(stage.evidence).items()) {
    std::string text = value.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
    if (text.size() > kEvidenceWidth) text = text.substr(0, kEvidenceWidth) + "...";
    std::cout << "  evidence " << key << ": " << text << "\n";
  }
  if (stage.verdict != "pass" && !stage.log_tail.empty()) {
    std::cout << "  log:\n";
    for (const std::string& line : split_lines(stage.log_tail)) std::cout << "    " << line << "\n";
  }
}

void print_text(const agent::CandidateHistory& candidate, const db::Run& run, const CandidateFiles& files) {
  const db::Candidate& row = candidate.row;
  std::cout << "candidate " << row.id << " of " << run.name << ": batch " << row.batch << ", slot " << row.slot
            << ", draw " << row.draw << "\n"
            << "origin     " << row.origin << "\n"
            << "verdict    " << (row.state == "done" ? row.verdict : row.state) << "\n"
            << "key        " << row.key << "\n"
            << "rationale  " << row.rationale << "\n";
  for (const db::LineageEdge& edge : candidate.parents) {
    std::cout << "parent     " << edge.parent << ": " << edge.operation << "\n";
  }
  for (const db::StageRow& stage : candidate.stages) print_stage(candidate, stage);
  if (!files.module_text.empty()) std::cout << "\n--- module (.py)\n" << files.module_text;
  if (!files.config_text.empty()) std::cout << "\n--- configuration (.json)\n" << files.config_text << "\n";
}

nlohmann::json stage_json(const agent::CandidateHistory& candidate, const db::StageRow& stage) {
  nlohmann::json outcomes = nlohmann::json::array();
  for (const evals::Outcome& outcome : agent::outcomes_of(candidate, stage)) {
    outcomes.push_back(evals::to_json(outcome));
  }
  return {{"attempt", stage.attempt},
          {"stage", stage.stage},
          {"verdict", stage.verdict},
          {"blame", stage.blame},
          {"message", stage.message},
          {"metrics", parsed(stage.metrics)},
          {"evidence", parsed(stage.evidence)},
          {"log_tail", stage.log_tail},
          {"seconds", stage.seconds},
          {"created", stage.created},
          {"outcomes", outcomes}};
}

nlohmann::json candidate_json(const agent::CandidateHistory& candidate, const db::Run& run,
                              const CandidateFiles& files) {
  const db::Candidate& row = candidate.row;
  nlohmann::json parents = nlohmann::json::array();
  for (const db::LineageEdge& edge : candidate.parents) {
    parents.push_back({{"parent", edge.parent}, {"operation", edge.operation}});
  }
  nlohmann::json stages = nlohmann::json::array();
  for (const db::StageRow& stage : candidate.stages) stages.push_back(stage_json(candidate, stage));
  return {{"candidate", row.id},
          {"run", run.name},
          {"batch", row.batch},
          {"slot", row.slot},
          {"draw", row.draw},
          {"key", row.key},
          {"program_hash", row.program_hash},
          {"origin", row.origin},
          {"rationale", row.rationale},
          {"state", row.state},
          {"verdict", row.verdict},
          {"parents", parents},
          {"stages", stages},
          {"module_text", files.module_text},
          {"config_text", files.config_text}};
}

Result<int> show(const Context& context, int64_t id) {
  VORTEX_ASSIGN(const LoadedRun run, load_run_of(context, id));
  const agent::CandidateHistory* candidate = run.history.find(id);
  if (candidate == nullptr) return internal_error("candidate " + std::to_string(id) + " is not in its own search");
  VORTEX_ASSIGN(const CandidateFiles files, files_of(*run.store, candidate->row));
  if (context.format() == Format::kText) {
    print_text(*candidate, run.history.run, files);
  } else {
    print_record(context.format(), "candidate", candidate_json(*candidate, run.history.run, files));
  }
  return 0;
}

}  // namespace

void add_show(CLI::App& app, Context& context) {
  const auto id = std::make_shared<int64_t>(0);
  CLI::App* verb = add_verb(app, context, "show", "everything that is known of one candidate",
                            [&context, id] { return show(context, *id); });
  verb->add_option("candidate", *id, "its number")->required();
  add_workspace_option(verb, context);
  add_format_option(verb, context);
}

}  // namespace vortex::cli
