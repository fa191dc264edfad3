#include "study/facts.h"

#include <algorithm>
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

// In a map, since the board tells them in the order of their first example.
void count_failures(const Board& board, Facts& facts) {
  for (const FailureGroup& group : board.failures()) {
    std::string where = db::stage_round_name(group.stage) + " " + std::string(name_of(group.verdict));
    if (group.blame) { where += " (" + std::string(name_of(*group.blame)) + ")"; }
    facts.failures[{where, group.cause}] = {group.count, group.example, first_line(group.message),
                                            group.blame == Blame::kEnvironment};
  }
}

void count_candidates(const Board& board, Facts& facts) {
  facts.candidates = board.candidates();
  facts.evaluated = board.evaluated();
  facts.retests = board.retests();
  for (size_t rung = 0; rung < kRungs; ++rung) {
    for (const job::Verdict verdict : job::kVerdicts) {
      const int count = board.rung_count(rung, verdict);
      if (count > 0) { facts.funnel[std::string(rung_name(rung))][std::string(name_of(verdict))] = count; }
    }
  }
  for (const auto& [name, origin] : board.origins()) { facts.origins[name] = {origin.proposed, origin.passed, 0}; }
  for (const FrontRow& row : facts.front) {
    const BoardLine* line = board.find(row.id);
    if (row.is_dense() || row.undecided || line == nullptr) { continue; }
    ++facts.origins[origin_name(row.origin, line->arm)].on_front;
  }
}

void count_card(const std::string& evidence, CardDoubts& card) {
  const auto gpu = nlohmann::json::parse(evidence, nullptr, false);
  if (!gpu.is_object()) { return; }
  ++card.measured;
  card.shared += gpu.value("others", 0) > 0 ? 1 : 0;
  if (!gpu.value("throttled", false)) { return; }
  const int mhz = gpu.value("sm_mhz", 0);
  if (card.throttled++ == 0 || mhz < card.lowest_mhz) {
    card.lowest_mhz = mhz;
    card.limits = join(gpu.value("limits", std::vector<std::string>()), ", ");
  }
}

Status read_stages(const RunView& view, Facts& facts) {
  VORTEX_ASSIGN(const auto seconds, view.reader.stage_seconds());
  for (const auto& [stage, spent] : seconds) {
    const auto round = db::stage_round_from_name(stage);
    facts.stage_seconds[round && is_retest(*round) ? "retest" : stage] += spent;
  }
  VORTEX_ASSIGN(const std::vector<std::string> evidence, view.reader.gpu_evidence());
  for (const std::string& gpu : evidence) { count_card(gpu, facts.card); }
  return ok_status();
}

Status read_spend(const RunView& view, Facts& facts) {
  VORTEX_ASSIGN(const std::vector<db::Spend> spends, view.store.spends(view.run.id));
  double tokens = 0;
  double dollars = 0;
  for (const db::Spend& spend : spends) {
    tokens += spend.tokens;
    dollars += spend.dollars;
  }
  const Limits limits = limits_of(view.options);
  const std::map<Resource, double> used = {{Resource::kSeconds, view.run.seconds_used},
                                           {Resource::kGpuSeconds, view.run.gpu_seconds_used},
                                           {Resource::kEvaluations, facts.evaluated},
                                           {Resource::kTokens, tokens},
                                           {Resource::kDollars, dollars}};
  for (Resource resource : kResources) {
    facts.spent.push_back({std::string(resource_name(resource)), used.at(resource), limits.at(resource)});
  }
  return ok_status();
}

Status read_events(const RunView& view, Facts& facts) {
  VORTEX_ASSIGN(const std::vector<db::Event> events, view.store.events(view.run.id));
  for (const db::Event& event : events) {
    const bool end_of_budget = event.kind == "environment" && event.detail.find(kCutOff) != std::string::npos;
    if (end_of_budget) { continue; }
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
  themes.push_back("The most common end was at " + worst->first.first + ", " + std::to_string(worst->second.count) +
                   " times alike, as candidate " + std::to_string(worst->second.example) + " (" +
                   worst->second.message + "): " +
                   (worst->second.machine ? "the machine is to blame, `vortex doctor` looks for the cause."
                                          : "steer proposals away from it."));
}

void origin_theme(const Facts& facts, std::vector<std::string>& themes) {
  const std::pair<const std::string, Origin>* best = nullptr;
  const auto yield = [](const Origin& origin) { return double(origin.on_front) / origin.proposed; };
  for (const auto& origin : facts.origins) {
    // There are no more seeds to be had, and the control arm is for comparison.
    const bool can_have_more = origin.first != name_of(db::Origin::kSeed) && origin.first != kControlArm;
    if (!can_have_more || origin.second.on_front == 0 || origin.second.proposed < 3) { continue; }
    if (best == nullptr || yield(origin.second) > yield(best->second)) { best = &origin; }
  }
  if (best == nullptr) { return; }
  themes.push_back("\"" + best->first + "\" gave the most members of the front for its proposals (" +
                   std::to_string(best->second.on_front) + " of " + std::to_string(best->second.proposed) +
                   "): give it more of the budget.");
}

// Points that would be on the front if their values were exact.
void doubt_theme(const RunView& view, std::vector<std::string>& themes) {
  const Standing& standing = view.board.standing();
  const std::vector<Point> front = standing.front();
  std::vector<std::string> close;
  for (const Point& point : standing.archive().points()) {
    if (standing.archive().on_front(point.candidate)) { continue; }
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
                   std::to_string(view.options.job.task.problems) + ") would.");
}

std::string no_arms_text(const SearchOptions& options) {
  return options.control_share > 0 ? "Nothing of the control arm was evaluated, so this search cannot say."
                                   : "This search had no control arm (--control-share), so it cannot say.";
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

Result<Facts> facts_of(const RunView& view, Undecided undecided) {
  Facts facts;
  VORTEX_ASSIGN(Shown shown, read_shown(view, undecided));
  facts.front = std::move(shown.rows);
  facts.claims = std::move(shown.claims);
  facts.best = best_of(facts.claims, facts.front);
  if (!facts.best) { facts.no_claim = no_claim_text(facts.claims, view.options); }
  facts.baseline_warning = baseline_warning(shown.few, view.options);
  facts.few = std::move(shown.few);
  VORTEX_TRY(add_ancestors(view, facts.few));
  facts.hypervolume = hypervolume_interval(view.board.standing().front(), view.options.seed);
  count_candidates(view.board, facts);
  count_failures(view.board, facts);
  facts.arms = arms_of(view.board);
  if (!facts.arms) { facts.no_arms = no_arms_text(view.options); }
  VORTEX_TRY(read_stages(view, facts));
  VORTEX_TRY(read_spend(view, facts));
  VORTEX_TRY(read_events(view, facts));
  constexpr int64_t kAllBatches = std::numeric_limits<int64_t>::max();
  VORTEX_ASSIGN(const History places, read_rows(view.store, view.run));
  VORTEX_ASSIGN(facts.notebook, notebook_json(view.store, places, kAllBatches));
  gap_theme(facts, facts.themes);
  doubt_theme(view, facts.themes);
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

std::vector<NextStep> next_steps(const db::Run& run, const Facts& facts) {
  std::vector<NextStep> steps;
  if (facts.best) {  // confirmed, or it would not be claimed
    const std::string id = std::to_string(facts.best->row.id);
    steps.push_back({"show", "show " + id, "source, stages, evidence"});
    steps.push_back({"replay", "replay " + id, "must give the very same tokens"});
    steps.push_back({"bundle", "export " + id + " --to bundle --out bundle-" + id, ""});
    steps.push_back({"export", "export " + id + " --to vortex-torch --out policy-" + id, ""});
  }
  // The limit is over all sessions.
  const Spent& time = facts.spent.front();
  const double hours = std::ceil(std::max(time.limit, time.used) / 3600) + 8;
  if (!is_evaluation(run)) {
    steps.push_back({"go on", "search --resume " + run.name + " --for " + format_number(hours) + "h",
                     "eight hours more; confirms what is new on the front"});
  }
  return steps;
}

}  // namespace vortex::study
