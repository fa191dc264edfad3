#include <iostream>
#include <memory>

#include "base/escape.h"
#include "base/text.h"
#include "cli/show/stage_table.h"
#include "cli/verbs/verbs.h"
#include "study/lineage.h"
#include "study/loaded_run.h"

namespace vortex::cli {
namespace {

nlohmann::json parsed(const std::string& text) { return nlohmann::json::parse(text, nullptr, false); }

nlohmann::json record_of(const study::CandidateHistory& candidate, const study::CandidateFiles& files) {
  const db::Candidate& row = candidate.row;
  nlohmann::json record = {{"id", row.id},
                           {"origin", row.origin},
                           {"rationale", row.rationale},
                           {"state", row.state},
                           {"verdict", name_of(row.verdict)},
                           {"key", row.key},
                           {"program_hash", row.program_hash},
                           {"module", files.module_text},
                           {"config", files.config_text},
                           {"parents", nlohmann::json::array()},
                           {"stages", nlohmann::json::array()},
                           {"outcomes", nlohmann::json::array()}};
  for (const db::LineageEdge& edge : candidate.parents) {
    record["parents"].push_back({{"candidate", edge.parent}, {"operation", edge.operation}});
  }
  for (const db::StageRow& stage : candidate.stages) {
    record["stages"].push_back({{"attempt", stage.attempt},
                                {"stage", db::stage_round_name(stage.stage)},
                                {"verdict", stage.verdict},
                                {"blame", name_of(stage.blame)},
                                {"message", stage.message},
                                {"seconds", stage.seconds},
                                {"metrics", parsed(stage.metrics)},
                                {"evidence", parsed(stage.evidence)},
                                {"log_tail", stage.log_tail}});
  }
  for (const db::OutcomeRow& outcome : candidate.outcomes) {
    record["outcomes"].push_back({{"stage", db::stage_round_name(outcome.stage)},
                                  {"problem", outcome.problem},
                                  {"trial", outcome.trial},
                                  {"correct", outcome.correct},
                                  {"extracted", outcome.extracted},
                                  {"rule", outcome.rule},
                                  {"tokens_hash", outcome.tokens_hash}});
  }
  return record;
}

std::string metrics_text(const std::string& json) {
  const auto metrics = job::metrics_from_json(parsed(json));
  if (!metrics.ok()) { return "(unreadable metrics)"; }
  std::string text;
  for (const job::Metric& metric : *metrics) {
    text += (text.empty() ? "" : "; ") + metric.name + " " + interval_text({metric.value, metric.lo, metric.hi}, 3) +
            (metric.unit.empty() ? "" : " " + metric.unit);
  }
  return text;
}

void print_text(const study::History& history, const study::CandidateHistory& candidate,
                const study::CandidateFiles& files) {
  const db::Candidate& row = candidate.row;
  std::cout << "candidate " << row.id << " of " << history.run.name << ": " << name_of(row.origin) << ", "
            << name_of(row.state) << " " << name_of(row.verdict) << "\n";
  if (!row.rationale.empty()) { std::cout << terminal_text(row.rationale) << "\n"; }
  std::cout << "key " << row.key << "\n\n" << terminal_text(study::ancestry_text(history, row.id)) << "\n";
  Table table({"try", "stage", "verdict", "planned", "seconds", "metrics"});
  table.may_drop({"planned", "try", "seconds"});
  table.wrap("metrics");
  table.tint("verdict");
  for (const db::StageRow& stage : candidate.stages) {
    const std::string reason = first_line(stage.message);
    table.add({std::to_string(stage.attempt), db::stage_round_name(stage.stage), std::string(name_of(stage.verdict)),
               planned_text(parsed(stage.evidence)), fixed(stage.seconds, 2),
               reason.empty() ? metrics_text(stage.metrics) : std::string(name_of(stage.blame)) + ": " + reason});
  }
  print_table(table);
  std::cout << "\n";
  if (!candidate.stages.empty()) {
    std::cout << "evidence: " << terminal_text(parsed(candidate.stages.back().evidence).dump(2)) << "\n";
  }
  if (!files.module_text.empty()) {
    std::cout << "\n" << terminal_text(files.module_text) << "\n" << terminal_text(files.config_text) << "\n";
  }
}

struct ShowArguments {
  int64_t candidate = 0;
  bool source = false;
  bool config = false;
};

// A file of the candidate as it is, for a pipe.
Result<int> print_file(const std::string& text, int64_t id) {
  if (text.empty()) {
    return candidate_error("candidate " + std::to_string(id) + " is dense attention: it has no policy");
  }
  std::cout << text << (text.ends_with('\n') ? "" : "\n");
  return 0;
}

Result<int> show(const Context& context, const ShowArguments& arguments) {
  const int64_t id = arguments.candidate;
  VORTEX_ASSIGN(const study::LoadedRun run, study::load_run_of(context.workspace, id));
  const study::CandidateHistory* candidate = run.history.find(id);
  if (candidate == nullptr) { return internal_error("candidate " + std::to_string(id) + " has no history"); }
  Result<study::CandidateFiles> read = study::files_of(*run.store, candidate->row);
  if (!read.ok() && (arguments.source || arguments.config)) { return read.error(); }
  if (!read.ok()) { log_line("without its source: " + read.error().message + "\nhint: " + read.error().hint); }
  const study::CandidateFiles files = read.ok() ? std::move(read).value() : study::CandidateFiles();
  if (arguments.source) { return print_file(files.module_text, id); }
  if (arguments.config) { return print_file(files.config_text, id); }
  if (context.format() == Format::kText) {
    print_text(run.history, *candidate, files);
  } else {
    print_record(context.format(), "candidate", record_of(*candidate, files));
  }
  return 0;
}

}  // namespace

void add_show(CLI::App& app, Context& context) {
  const auto arguments = std::make_shared<ShowArguments>();
  CLI::App* verb = add_verb(app, context, "show", "all that is known of a candidate: source, stages, evidence",
                            [&context, arguments] { return show(context, *arguments); });
  verb->add_option("candidate", arguments->candidate, "its number")->required();
  verb->add_flag("--source", arguments->source, "its module alone, as a file");
  verb->add_flag("--configuration", arguments->config, "its configuration alone")->excludes("--source");
  add_workspace_option(verb, context);
  add_format_option(verb, context);
}

}  // namespace vortex::cli
