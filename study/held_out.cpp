#include "study/held_out.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "base/text.h"
#include "study/retest.h"

namespace vortex::study {
namespace {

// With a smaller chance to keep a policy that loses nothing, problems are left for a later sitting.
constexpr double kWorthAsking = 0.5;
// Of the margin, in nats a token: about as many answers are lost as there are nats (docs/benchmarks/selection.md).
constexpr double kSurpriseShare = 0.2;
constexpr int kStep = evals::kFewestAtALook / 2;  // of the number of problems by the time

// Of the data set, what is left for the finalists.
std::vector<job::Question> questions_left(const job::Job& job) {
  if (job.confirm_task) { return job.confirm_task->questions; }
  const auto seen = std::min(job.task.questions.size(), static_cast<size_t>(job.task.problems));
  return {job.task.questions.begin() + static_cast<std::ptrdiff_t>(seen), job.task.questions.end()};
}

// Seconds a problem of a stage that was passed; 0 where it was not.
double seconds_each(const CandidateHistory& candidate, db::StageRound stage) {
  const db::StageRow* row = last_stage(candidate, stage);
  if (row == nullptr || row->verdict != job::Verdict::kPass) { return 0; }
  std::set<std::string> problems;
  for (const job::Outcome& outcome : outcomes_of(candidate, *row)) { problems.insert(outcome.problem); }
  return problems.empty() ? 0 : row->seconds / static_cast<double>(problems.size());
}

}  // namespace

double fresh_problem_seconds(const CandidateHistory& dense) {
  double prompt = 0;
  if (const db::StageRow* speed = last_stage(dense, job::Stage::kSpeed)) {
    const auto evidence = nlohmann::json::parse(speed->evidence, nullptr, false);
    const bool timed = evidence.is_object() && evidence.contains("prompt_seconds");
    if (timed && evidence["prompt_seconds"].is_number()) { prompt = evidence["prompt_seconds"].get<double>(); }
  }
  double most = seconds_each(dense, job::Stage::kRace) + prompt;
  for (int round = 1; round <= kMaxRetests; ++round) {
    most = std::max(most, seconds_each(dense, retest_stage(round)));
  }
  return most;
}

std::vector<int> held_out_rounds(const SearchOptions& options) {
  std::vector<int> rounds;
  if (!options.confirm) { return rounds; }
  int in_all = options.job.confirm_problems > 0 ? options.job.confirm_problems
               : options.held_out > 0           ? options.held_out
                                                : default_held_out(options.margin);
  if (const auto limit = held_out_limit(options.job)) { in_all = std::min(in_all, *limit); }
  int before = 0;
  for (const int look : in_all > 0 ? evals::looks_at(in_all) : std::vector<int>{}) {
    rounds.push_back(look - before);
    before = look;
  }
  return rounds;
}

std::optional<job::Job> held_out_job(const SearchOptions& options, int round) {
  const std::vector<int> rounds = held_out_rounds(options);
  if (round < 1 || round > static_cast<int>(rounds.size())) { return std::nullopt; }
  job::Job job = options.job;
  job::TaskSpec task = job.confirm_task ? *job.confirm_task : job.task;
  task.problems = rounds[static_cast<size_t>(round) - 1];
  if (task.questions.empty()) {
    const uint64_t first = job.confirm_task ? job.confirm_task->seed : job.confirm_seed;
    task.seed = retest_seed(first, round - 1);
  } else {
    int before = 0;
    for (int earlier = 1; earlier < round; ++earlier) { before += rounds[static_cast<size_t>(earlier) - 1]; }
    const std::vector<job::Question> left = questions_left(job);
    task.questions.assign(left.begin() + before, left.begin() + before + task.problems);
  }
  job.confirm_seed = retest_seed(job.confirm_seed, round - 1);
  job.confirm_problems = task.problems;
  job.confirm_task = std::move(task);
  job.stages = {job::Stage::kConfirm};
  return job;
}

std::optional<int> held_out_limit(const job::Job& job) {
  const job::TaskSpec& task = job.confirm_task ? *job.confirm_task : job.task;
  if (task.questions.empty()) { return std::nullopt; }
  return static_cast<int>(questions_left(job).size());
}

int default_held_out(double margin) {
  constexpr double kRoom = 0.75;
  constexpr int kMost = 6144;
  const int needed = evals::problems_needed(kRoom * margin, {}, kMost).value_or(kMost);
  int problems = evals::kFewestAtALook;
  while (problems < needed) { problems *= 2; }
  return problems;
}

int settled_held_out(const SearchOptions& options, const CandidateHistory& dense) {
  const bool by_time = options.seconds > 0 && options.max_evals == 0;
  if (!options.confirm || !by_time || options.job.confirm_problems > 0 || options.overlap > 0) { return 0; }
  const double fresh = fresh_problem_seconds(dense);
  const SequenceRules rules;
  const double each = fresh + static_cast<double>(rules.most) * seconds_each(dense, job::Stage::kRace);
  const db::StageRow* race = last_stage(dense, job::Stage::kRace);
  if (each <= 0 || race == nullptr) { return 0; }
  const double affordable = std::min(1e6, kFinalsShare * options.seconds / each);
  const int problems = static_cast<int>(affordable / kStep) * kStep;
  if (problems < 2 * evals::kFewestAtALook || problems >= default_held_out(options.margin)) { return 0; }
  const double accuracy = evals::accuracy_interval(outcomes_of(dense, *race), options.seed).value;
  const evals::Discordance apart = evals::expected_discordance(accuracy);
  return evals::chance_of_keeping(problems, options.margin, apart.alike) >= kWorthAsking ? problems : 0;
}

SequenceRules sequence_rules(const SearchOptions& options) {
  SequenceRules rules;
  rules.margin = options.margin;
  rules.least_promise = promise_of_kl(kSurpriseShare * options.margin);
  rules.problems = 0;
  for (const int round : held_out_rounds(options)) { rules.problems += round; }
  rules.problems = std::max(1, rules.problems);
  return rules;
}

Finalist finalist_of(const CandidateHistory& candidate, int rounds) {
  Finalist finalist{candidate.row.id, {}, std::nullopt};
  for (int round = 1; round <= rounds; ++round) {
    const db::StageRow* row = last_stage(candidate, confirm_stage(round));
    if (row == nullptr) { break; }
    const std::vector<job::Outcome> outcomes = outcomes_of(candidate, *row);
    finalist.outcomes.insert(finalist.outcomes.end(), outcomes.begin(), outcomes.end());
    finalist.looks.push_back(finalist.outcomes.size());
  }
  return finalist;
}

std::vector<job::Outcome> held_out_outcomes(const CandidateHistory& candidate, int rounds) {
  return finalist_of(candidate, rounds).outcomes;
}

std::optional<AskedAt> asked_at(const CandidateHistory& candidate) {
  std::optional<AskedAt> first;
  for (const db::StageRow& row : candidate.stages) {
    if (!is_confirm(row.stage)) { continue; }
    const AskedAt one{static_cast<int>(metric_of(row, kPlace).value), row.id};
    if (!first || one < *first) { first = one; }
  }
  return first;
}

std::string plan_text(const SearchOptions& options, double accuracy, double seconds) {
  const auto points = [](double share) { return format_number(std::round(1000 * share) / 10) + " points"; };
  const int have = sequence_rules(options).problems;
  const evals::Discordance apart = evals::expected_discordance(accuracy);
  const auto needed = [&](double discordance) {
    const auto problems = evals::problems_needed(options.margin, {discordance, 0.9});
    return problems ? std::to_string(*problems) : std::string("too many");
  };
  std::string text = "to say with 90 % power that a policy as accurate as dense attention keeps its accuracy within " +
                     points(options.margin) + " takes " + needed(apart.alike) +
                     " held-out problems where answers are mostly alike, " + needed(apart.independent) +
                     " where they are not; up to " + std::to_string(have) + " are set aside";
  if (seconds > 0) { text += ", which dense attention answers in " + format_number(std::round(have * seconds)) + " s"; }
  if (evals::chance_of_keeping(have, options.margin, apart.independent) >= 0.9) { return text; }
  const auto alike = evals::supported_margin(have, {apart.alike, 0.9});
  const auto independent = evals::supported_margin(have, {apart.independent, 0.9});
  const auto shown = [&](const std::optional<double>& margin) {
    return margin ? points(*margin) : std::string("nothing");
  };
  text += "\n" + std::to_string(have) + " problems support a margin of " + shown(alike);
  if (shown(independent) != shown(alike)) { text += " to " + shown(independent); }
  text += ": expect \"cannot say\" below that";
  return text;
}

}  // namespace vortex::study
