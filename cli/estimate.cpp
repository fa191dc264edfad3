#include "cli/estimate.h"

#include <algorithm>
#include <cmath>
#include <iostream>

#include "agent/llm/models.h"
#include "agent/propose/seeds.h"
#include "base/text.h"
#include "core/model/model.h"
#include "study/facts.h"
#include "study/retest.h"

namespace vortex::cli {
namespace {

// Do two searches ask the same of a candidate?
bool is_alike(const study::SearchOptions& a, const study::SearchOptions& b) {
  return a.job.model_path == b.job.model_path && a.job.device == b.job.device && a.job.threads == b.job.threads &&
         a.job.stages == b.job.stages && job::to_json(a.job.task) == job::to_json(b.job.task);
}

// The name that a stage's time is counted under: rounds of one thing are one.
std::string counted_as(const db::StageRound& stage) {
  return study::is_retest(stage) ? "retest" : std::string(job::stage_name(stage.stage));
}

bool read_earlier(const study::History& history, Estimate& estimate) {
  for (const study::CandidateHistory& candidate : history.candidates) {
    if (study::is_dense(candidate.row)) { continue; }  // once a search
    for (const db::StageRow& row : candidate.stages) { estimate.stage_seconds[counted_as(row.stage)] += row.seconds; }
    const bool climbed = study::is_done(candidate.row) && study::last_stage(candidate, job::Stage::kCompile) != nullptr;
    estimate.measured += climbed ? 1 : 0;
  }
  if (estimate.measured == 0) {
    estimate.stage_seconds.clear();
    return false;
  }
  for (auto& [stage, seconds] : estimate.stage_seconds) { seconds /= estimate.measured; }
  estimate.source = "the mean of " + std::to_string(estimate.measured) + " candidates of search " + history.run.name +
                    ", what it asked again included";
  return true;
}

// One seed, beside nothing: no row is kept.
Status measure_seed(const Context& context, const study::SearchOptions& options, Estimate& estimate) {
  VORTEX_ASSIGN(const model::ModelConfig config, model::read_model_config(options.job.model_path));
  VORTEX_ASSIGN(const agent::Seed seed, agent::plain_seed(config.latent.has_value()));
  log_line("nothing like this ran in " + context.workspace +
           " before: one policy climbs the ladder, to see what it takes");
  job::Job job = options.job;
  job.id = "estimate";
  job.module_text = seed.source.module_text;
  job.config_text = seed.source.config_text;
  VORTEX_ASSIGN(const sandbox::ExecutorOptions executor,
                executor_options(context, options.stage_seconds, options.memory_bytes));
  VORTEX_ASSIGN(const std::vector<job::StageResult> results,
                sandbox::run_job(
                    job, executor, [](const job::StageResult&) {}, [] { return false; }));
  for (const job::StageResult& result : results) {
    estimate.stage_seconds[std::string(job::stage_name(result.stage))] += result.seconds;
  }
  if (!results.empty() && results.back().blame == Blame::kEnvironment) {
    return environment_error(results.back().message, "`vortex doctor` looks for the cause");
  }
  estimate.measured = 1;
  estimate.source =
      "the seed " + seed.name + ", measured now; retests, held-out problems and dense attention come on top";
  return ok_status();
}

// What policies of language models cost in earlier searches, else what their replies may cost at most.
Status add_dollars(db::Store& store, const std::vector<db::Run>& runs, const study::SearchOptions& options,
                   Estimate& estimate) {
  if (options.proposer != "llm") { return ok_status(); }
  VORTEX_ASSIGN(const agent::Roster roster, agent::roster_from_json(options.writer.models, false));
  double dollars = 0;
  int answered = 0;
  for (const db::Run& run : runs) {
    VORTEX_ASSIGN(const std::vector<db::LlmCall> calls, store.llm_calls(run.id));
    for (const db::LlmCall& call : calls) {
      const bool known = std::any_of(roster.models.begin(), roster.models.end(),
                                     [&](const agent::ModelSpec& model) { return model.name == call.model; });
      dollars += known ? call.dollars : 0;
      answered += known && call.state == db::CallState::kAnswered ? 1 : 0;
    }
  }
  if (answered > 0) {
    estimate.dollars = dollars / answered / options.batch;
    estimate.dollars_source = "by " + std::to_string(answered) + " replies of these models before";
    return ok_status();
  }
  for (const agent::ModelSpec& model : roster.models) {
    estimate.dollars = std::max(estimate.dollars, model.dollars(0, model.max_output_tokens) / options.batch);
  }
  estimate.dollars_source = "at most for replies; prompts, and policies that are refused, come on top";
  return ok_status();
}

// How many candidates the budgets allow; 0: nothing limits them.
double candidates_within(const study::SearchOptions& options, const Estimate& estimate) {
  double count = HUGE_VAL;
  const auto limit = [&](double budget, double cost) {
    if (budget > 0 && cost > 0) { count = std::min(count, std::floor(budget / cost)); }
  };
  limit(options.seconds * options.workers, estimate.candidate_seconds);
  limit(options.max_evals, 1);
  limit(options.gpu_seconds, estimate.candidate_seconds * options.gpus);
  limit(options.max_dollars, estimate.dollars);
  return std::isfinite(count) ? count : 0;
}

}  // namespace

Result<Estimate> estimate(const Context& context, db::Store& store, const study::SearchOptions& options) {
  Estimate estimate;
  VORTEX_ASSIGN(const std::vector<db::Run> runs, store.runs());
  for (const db::Run& run : runs) {
    const auto earlier = study::options_of(run);
    if (!earlier.ok() || !is_alike(*earlier, options)) { continue; }
    VORTEX_ASSIGN(const study::History history, study::read_history(store, run));
    if (read_earlier(history, estimate)) { break; }
  }
  if (estimate.measured == 0) { VORTEX_TRY(measure_seed(context, options, estimate)); }
  for (const auto& [stage, seconds] : estimate.stage_seconds) { estimate.candidate_seconds += seconds; }
  VORTEX_TRY(add_dollars(store, runs, options, estimate));
  return estimate;
}

void print_estimate(const Context& context, const study::SearchOptions& options, const Estimate& estimate) {
  const double candidates = candidates_within(options, estimate);
  if (context.format() != Format::kText) {
    print_record(context.format(), "estimate",
                 {{"stage_seconds", estimate.stage_seconds},
                  {"candidate_seconds", estimate.candidate_seconds},
                  {"measured", estimate.measured},
                  {"source", estimate.source},
                  {"seconds", options.seconds},
                  {"candidates", candidates},
                  {"candidate_dollars", estimate.dollars},
                  {"dollars", estimate.dollars * candidates},
                  {"dollars_source", estimate.dollars_source}});
    return;
  }
  Table table({"stage", "seconds a candidate"});
  for (const std::string& stage : study::counted_stages()) {
    const auto found = estimate.stage_seconds.find(stage);
    if (found != estimate.stage_seconds.end()) { table.add({stage, fixed(found->second, 2)}); }
  }
  table.add({"all", fixed(estimate.candidate_seconds, 2)});
  const std::string time = options.seconds > 0 ? duration_text(options.seconds) : "no time limit";
  print_table(table);
  std::cout << "\nthat is " << estimate.source << "\n\n"
            << time << " with " << options.workers << (options.workers == 1 ? " worker: " : " workers: ")
            << (candidates > 0 ? "about " + fixed(candidates, 0) + " candidates" : "any number of candidates") << "\n";
  if (estimate.dollars_source.empty()) {
    std::cout << "nothing is paid for: the proposer " << options.proposer << " asks no service\n";
  } else {
    std::cout << "$" << fixed(estimate.dollars * candidates, 2) << " " << estimate.dollars_source << "\n";
  }
}

}  // namespace vortex::cli
