#include "study/facts.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <limits>

#include "base/text.h"
#include "study/arms.h"
#include "study/baseline.h"
#include "study/notebook.h"
#include "study/resources.h"
#include "study/retest.h"
#include "study/standing.h"

namespace vortex::study {
namespace {

// A message's first line with its numbers left out, so that messages of one cause are alike.
std::string cause_of(const std::string& message) {
  std::string cause;
  for (char c : message.substr(0, message.find('\n'))) {
    if (std::isdigit(static_cast<unsigned char>(c)) == 0) {
      cause += c;
    } else if (cause.empty() || cause.back() != '#') {
      cause += '#';
    }
  }
  return cause;
}

void count_failure(const CandidateHistory& candidate, Facts& facts) {
  if (candidate.stages.empty() || has_passed(candidate.row) || !is_done(candidate.row)) { return; }
  const db::StageRow* last = nullptr;
  for (const db::StageRow& row : candidate.stages) {
    if (row.verdict != job::Verdict::kPass) { last = &row; }
  }
  if (last == nullptr) { return; }
  std::string where = db::stage_round_name(last->stage) + " " + std::string(name_of(last->verdict));
  if (last->blame) { where += " (" + std::string(name_of(*last->blame)) + ")"; }
  Failure& failure = facts.failures[{where, cause_of(last->message)}];
  if (failure.count++ == 0) { failure.example = candidate.row.id; }
  failure.machine = last->blame == Blame::kEnvironment;
}

void count_card(const db::StageRow& row, CardDoubts& card) {
  if (row.stage != job::Stage::kSpeed) { return; }
  const auto evidence = nlohmann::json::parse(row.evidence, nullptr, false);
  const auto found = evidence.find("gpu");
  if (found == evidence.end() || !found->is_object()) { return; }
  const nlohmann::json& gpu = *found;
  ++card.measured;
  card.shared += gpu.value("others", 0) > 0 ? 1 : 0;
  if (!gpu.value("throttled", false)) { return; }
  const int mhz = gpu.value("sm_mhz", 0);
  if (card.throttled++ == 0 || mhz < card.lowest_mhz) {
    card.lowest_mhz = mhz;
    card.limits = join(gpu.value("limits", std::vector<std::string>()), ", ");
  }
}

void count_candidate(const LoadedRun& run, const CandidateHistory& candidate, Facts& facts) {
  for (const db::StageRow& row : candidate.stages) {
    const bool retest = is_retest(row.stage);
    facts.stage_seconds[retest ? "retest" : db::stage_round_name(row.stage)] += row.seconds;
    facts.retests += retest && row.verdict == job::Verdict::kPass ? 1 : 0;
    count_card(row, facts.card);
  }
  if (is_dense(candidate.row)) { return; }
  ++facts.candidates;
  const db::StageRow* novelty = last_stage(candidate, job::Stage::kNovelty);
  facts.evaluated += novelty != nullptr && novelty->verdict == job::Verdict::kPass ? 1 : 0;
  Origin& origin = facts.origins[origin_name(candidate.row.origin, candidate.row.arm)];
  ++origin.proposed;
  origin.passed += point_of(candidate, run.options.rank_speed, run.options.seed).has_value() ? 1 : 0;
  for (const job::StageInfo& info : job::kLadder) {
    const db::StageRow* last = last_stage(candidate, info.stage);
    if (last != nullptr) { ++facts.funnel[std::string(info.name)][std::string(name_of(last->verdict))]; }
  }
  count_failure(candidate, facts);
}

Status read_spend(const LoadedRun& run, Facts& facts) {
  const db::Run& row = run.history.run;
  VORTEX_ASSIGN(const std::vector<db::Spend> spends, run.store->spends(row.id));
  double tokens = 0;
  double dollars = 0;
  for (const db::Spend& spend : spends) {
    tokens += spend.tokens;
    dollars += spend.dollars;
  }
  const Limits limits = limits_of(run.options);
  const std::map<Resource, double> used = {{Resource::kSeconds, row.seconds_used},
                                           {Resource::kGpuSeconds, row.gpu_seconds_used},
                                           {Resource::kEvaluations, facts.evaluated},
                                           {Resource::kTokens, tokens},
                                           {Resource::kDollars, dollars}};
  for (Resource resource : kResources) {
    facts.spent.push_back({std::string(resource_name(resource)), used.at(resource), limits.at(resource)});
  }
  return ok_status();
}

Status read_events(const LoadedRun& run, Facts& facts) {
  VORTEX_ASSIGN(const std::vector<db::Event> events, run.store->events(run.history.run.id));
  for (const db::Event& event : events) {
    ++facts.events[event.kind];
    if (event.kind == "started" || event.kind == "resumed") { facts.waited_for.clear(); }
    if (event.kind != "front" && event.kind != "stall") { continue; }
    const auto detail = nlohmann::json::parse(event.detail, nullptr, false);
    if (event.kind == "stall") {
      if (detail.value("ended", false)) { facts.waited_for = detail.value("message", ""); }
      continue;
    }
    facts.found.emplace(detail.value("candidate", int64_t{0}), event.created - events.front().created);
  }
  return ok_status();
}

// --- what to try next

void gap_theme(const Facts& facts, std::vector<std::string>& themes) {
  const FrontRow* from = nullptr;
  const FrontRow* to = nullptr;
  for (size_t i = 1; i < facts.front.size(); ++i) {
    const FrontRow& a = facts.front[i - 1];
    const FrontRow& b = facts.front[i];
    if (b.undecided) { continue; }
    if (from == nullptr || b.speed.value / a.speed.value > to->speed.value / from->speed.value) {
      from = &a;
      to = &b;
    }
  }
  if (from == nullptr || to->speed.value < 1.15 * from->speed.value) { return; }
  const auto name = [](const FrontRow& row) { return row.is_dense() ? "dense" : std::to_string(row.id); };
  themes.push_back("The widest gap of the front lies between " + name(*from) + " (" + fixed(from->speed.value, 2) +
                   "x, accuracy " + fixed(from->accuracy.value, 2) + ") and " + name(*to) + " (" +
                   fixed(to->speed.value, 2) + "x, " + fixed(to->accuracy.value, 2) +
                   "): budgets between these two are untried ground.");
}

void failure_theme(const Facts& facts, std::vector<std::string>& themes) {
  const std::pair<const std::pair<std::string, std::string>, Failure>* worst = nullptr;
  for (const auto& failure : facts.failures) {
    if (worst == nullptr || failure.second.count > worst->second.count) { worst = &failure; }
  }
  if (worst == nullptr || worst->second.count < 3) { return; }
  themes.push_back("The most common end was \"" + worst->first.first + ": " + worst->first.second + "\", " +
                   std::to_string(worst->second.count) + " times (e.g. candidate " +
                   std::to_string(worst->second.example) + "): " +
                   (worst->second.machine ? "the machine is to blame, `vortex doctor` looks for the cause."
                                          : "steer proposals away from it."));
}

void origin_theme(const Facts& facts, std::vector<std::string>& themes) {
  const std::pair<const std::string, Origin>* best = nullptr;
  const auto yield = [](const Origin& origin) { return double(origin.on_front) / origin.proposed; };
  for (const auto& origin : facts.origins) {
    if (origin.second.on_front == 0 || origin.second.proposed < 3) { continue; }
    if (best == nullptr || yield(origin.second) > yield(best->second)) { best = &origin; }
  }
  if (best == nullptr) { return; }
  themes.push_back("\"" + best->first + "\" gave the most members of the front for its proposals (" +
                   std::to_string(best->second.on_front) + " of " + std::to_string(best->second.proposed) +
                   "): give it more of the budget.");
}

// Points that would be on the front if their values were exact.
void doubt_theme(const LoadedRun& run, const Standing& standing, std::vector<std::string>& themes) {
  std::vector<std::string> close;
  for (const Point& point : standing.archive().points()) {
    if (standing.archive().on_front(point.candidate)) { continue; }
    const std::vector<Point> front = standing.front();
    const bool beaten = std::any_of(front.begin(), front.end(), [&](const Point& member) {
      return member.accuracy.value >= point.accuracy.value && member.speed.ratio.value >= point.speed.ratio.value;
    });
    if (!beaten) { close.push_back(std::to_string(point.candidate)); }
  }
  if (close.empty()) { return; }
  std::string names;
  for (size_t i = 0; i < std::min<size_t>(close.size(), 5); ++i) { names += (i > 0 ? ", " : "") + close[i]; }
  themes.push_back(std::to_string(close.size()) + (close.size() == 1 ? " point" : " points") + " (" + names +
                   (close.size() > 5 ? ", ..." : "") +
                   ") would be on the front by value, but the data cannot tell: more problems (now " +
                   std::to_string(run.options.job.task.problems) + ") would.");
}

}  // namespace

std::vector<std::string> counted_stages() {
  std::vector<std::string> stages;
  for (const job::StageInfo& info : job::kLadder) {
    stages.emplace_back(info.name);
    if (info.stage == job::Stage::kRace) { stages.emplace_back("retest"); }
  }
  return stages;
}

Result<Facts> facts_of(const LoadedRun& run) {
  Facts facts;
  const Standing standing = standing_of(run.history, run.options);
  facts.front = front_rows(run.history, run.options, standing);
  facts.points = standing.archive().points();
  facts.claims = claims_of(run.history, run.options, standing);
  facts.best = best_of(facts.claims, facts.front);
  if (!facts.best) { facts.no_claim = no_claim_text(facts.claims, run.options); }
  facts.baseline_warning = baseline_warning(run.history, run.options);
  facts.hypervolume = hypervolume_interval(standing.front(), run.options.seed);
  for (const CandidateHistory& candidate : run.history.candidates) { count_candidate(run, candidate, facts); }
  for (const FrontRow& row : facts.front) {
    const CandidateHistory* candidate = run.history.find(row.id);
    if (row.is_dense() || row.undecided || candidate == nullptr) { continue; }
    ++facts.origins[origin_name(row.origin, candidate->row.arm)].on_front;
  }
  facts.arms = arms_of(run.history, run.options);
  VORTEX_TRY(read_spend(run, facts));
  VORTEX_TRY(read_events(run, facts));
  constexpr int64_t kAllBatches = std::numeric_limits<int64_t>::max();
  VORTEX_ASSIGN(facts.notebook, notebook_json(*run.store, run.history, kAllBatches));
  gap_theme(facts, facts.themes);
  doubt_theme(run, standing, facts.themes);
  origin_theme(facts, facts.themes);
  failure_theme(facts, facts.themes);
  return facts;
}

std::string arms_text(const ArmComparison& arms) {
  constexpr double kLevel = 0.05;  // two-sided
  if (arms.p > kLevel || arms.difference == 0) { return "The data cannot tell the two apart."; }
  return arms.difference > 0 ? "In this search it beat independent proposals."
                             : "In this search it did not: independent proposals did better.";
}

std::string card_text(const CardDoubts& card) {
  if (card.throttled + card.shared == 0) { return {}; }
  const std::string of_all = " of " + std::to_string(card.measured) + " measurements of speed";
  std::string text;
  if (card.throttled > 0) {
    text = "The GPU was throttled (" + card.limits + "; down to " + std::to_string(card.lowest_mhz) + " MHz) in " +
           std::to_string(card.throttled) + of_all + ". ";
  }
  if (card.shared > 0) {
    text += "Other processes computed on the GPU in " + std::to_string(card.shared) + of_all + ". ";
  }
  return text + "Speeds over dense attention hold where both sides suffered alike; tokens per second do not.";
}

std::string machine_text(const Facts& facts) {
  const auto count = [&](const char* kind) {
    const auto found = facts.events.find(kind);
    return found == facts.events.end() ? 0 : found->second;
  };
  const int faults = count("environment");
  if (faults + count("breaker-opened") + count("resumed") == 0) { return {}; }
  const auto counted = [](int number, const std::string& what) {
    return std::to_string(number) + " " + what + (number == 1 ? "" : "s");
  };
  return "The machine: " + counted(faults, "fault") + " met and retried, " +
         counted(count("breaker-opened"), "outage") + " waited for, " + counted(count("resumed"), "resume") +
         ". None of these scored a candidate.";
}

std::vector<NextStep> next_steps(const LoadedRun& run, const Facts& facts) {
  std::vector<NextStep> steps;
  if (facts.best) {
    const std::string id = std::to_string(facts.best->row.id);
    const std::string unconfirmed = facts.best->row.confirmed ? "" : " --unconfirmed";
    steps.push_back({"show", "show " + id, "source, stages, evidence"});
    steps.push_back({"replay", "replay " + id, "must give the very same tokens"});
    steps.push_back({"bundle", "export " + id + " --to bundle --out bundle-" + id + unconfirmed, ""});
    steps.push_back({"export", "export " + id + " --to vortex-torch --out policy-" + id + unconfirmed, ""});
  }
  steps.push_back(
      {"go on", "search --resume " + run.history.run.name + " --for 8h", "confirms what is new on the front"});
  return steps;
}

}  // namespace vortex::study
