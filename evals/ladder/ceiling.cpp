#include "evals/ladder/ceiling.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>

#include "base/files.h"
#include "base/sha256.h"
#include "core/vflow/config/fixed_budget.h"
#include "evals/ladder/expected_race.h"

namespace vortex::evals {
namespace {

constexpr int kCeilingFormat = 1;
constexpr size_t kMostProblems = 16;  // that the oracle answers where it must

nlohmann::json budget_json(const vflow::EngineConfig& budget) {
  return {budget.block_size,   budget.topk_val,    budget.topk_ratio,          budget.reserved_bos,
          budget.reserved_eos, budget.layers_skip, budget.schedule.canonical()};
}

std::filesystem::path ceiling_path(const Session& session, const vflow::EngineConfig& budget) {
  const nlohmann::json identity = {kCeilingFormat, session.engine->model().computed_by(),
                                   job::task_hash(session.job.task), session.job.recall_answer_tokens,
                                   budget_json(budget)};
  const std::string name = "oracle-" + sha256_hex(identity.dump()).substr(0, 32) + ".json";
  return std::filesystem::path(session.job.prefix_folder) / name;
}

nlohmann::json to_json(const Ceiling& ceiling) {
  nlohmann::json json = {{"outcomes", nlohmann::json::array()}, {"probes", nlohmann::json::array()}};
  for (const job::Outcome& outcome : ceiling.outcomes) { json["outcomes"].push_back(job::to_json(outcome)); }
  for (const AnswerProbe& probe : ceiling.probes) {
    json["probes"].push_back({probe.log_likelihood, probe.kl, probe.match});
  }
  return json;
}

std::optional<Ceiling> load_ceiling(const std::filesystem::path& path) {
  const auto text = read_file(path);
  if (!text.ok()) { return std::nullopt; }
  try {
    const nlohmann::json json = nlohmann::json::parse(*text);
    Ceiling ceiling;
    for (const nlohmann::json& item : json.at("ceiling").at("probes")) {
      ceiling.probes.push_back({item.at(0).get<double>(), item.at(1).get<double>(), item.at(2).get<bool>()});
    }
    for (const nlohmann::json& item : json.at("ceiling").at("outcomes")) {
      auto outcome = job::outcome_from_json(item, "ceiling");
      if (!outcome.ok()) { return std::nullopt; }
      ceiling.outcomes.push_back(std::move(outcome).value());
    }
    if (json.at("sha256") == sha256_hex(to_json(ceiling).dump())) { return ceiling; }
  } catch (const nlohmann::json::exception&) {  // damaged
  }
  return std::nullopt;
}

Status save_ceiling(const Ceiling& ceiling, const std::filesystem::path& path) {
  nlohmann::json body = to_json(ceiling);
  const std::string checksum = sha256_hex(body.dump());
  return write_file_atomic(path, nlohmann::json{{"sha256", checksum}, {"ceiling", std::move(body)}}.dump());
}

// Does forcing right answers tell which ones greedy decoding gives, by what dense attention was graded? Then the oracle
// need not decode, which takes it longer than forcing: it reads all keys in every step.
bool forcing_tells(const Session& session, const std::vector<DenseTrace>& traces) {
  if (!one_greedy_answer_each(session)) { return false; }
  std::map<std::string, bool> graded;
  for (const job::Outcome& outcome : session.job.incumbent) { graded.emplace(outcome.problem, outcome.correct); }
  for (size_t i = 0; i < session.problems.size(); ++i) {
    const auto found = graded.find(session.problems[i].problem.id);
    if (found == graded.end() || found->second != dense_match(traces[i])) { return false; }
  }
  return true;
}

std::vector<job::Outcome> expected_outcomes(const Session& session, const std::vector<AnswerProbe>& probes) {
  std::vector<job::Outcome> outcomes;
  for (size_t i = 0; i < probes.size(); ++i) {
    job::Outcome outcome;
    outcome.problem = session.problems[i].problem.id;
    outcome.correct = probes[i].match;
    outcomes.push_back(std::move(outcome));
  }
  return outcomes;
}

// Under the oracle, which must be set.
Result<Ceiling> measure(Session& session, const std::vector<TraceWanted>& wanted,
                        const std::vector<DenseTrace>& traces) {
  Ceiling ceiling;
  engine::RunStats stats;
  VORTEX_ASSIGN(ceiling.probes, probe_answers(session, wanted, traces, stats));
  if (forcing_tells(session, traces)) {
    ceiling.outcomes = expected_outcomes(session, ceiling.probes);
    return ceiling;
  }
  const size_t count = std::min(session.problems.size(), kMostProblems);
  VORTEX_ASSIGN(ceiling.outcomes, answer(session, session.problems, 0, count, session.job.task.seed, stats));
  return ceiling;
}

}  // namespace

vflow::EngineConfig budget_of(const vflow::Policy& policy) {
  const vflow::EngineConfig& own = policy.config;
  vflow::EngineConfig budget;
  budget.block_size = own.block_size;
  budget.reserved_bos = own.reserved_bos;
  budget.reserved_eos = own.reserved_eos;
  budget.layers_skip = own.layers_skip;
  budget.topk_val = own.topk_val;
  budget.topk_ratio = own.topk_ratio;
  budget.schedule = own.schedule;
  int in_tables = 0;
  for (const vflow::Node& node : policy.program.indexer.nodes) {
    if (node.op == vflow::Op::kTopKTable) { in_tables += node.attrs.k; }
  }
  // A Union's selections bring their own sizes and ask nothing of the configuration.
  if (in_tables > 0) { vflow::set_fixed_budget(budget, in_tables); }
  return budget;
}

Result<std::optional<Ceiling>> ceiling_of(Session& session, const std::vector<TraceWanted>& wanted,
                                          const std::vector<DenseTrace>& traces) {
  if (!session.policy || !session.job.recall_ceiling || !session.engine->has_oracle()) {
    return std::optional<Ceiling>();
  }
  const vflow::EngineConfig budget = budget_of(*session.policy);
  const bool kept = !session.job.prefix_folder.empty();
  const std::filesystem::path path = ceiling_path(session, budget);
  if (kept) {
    if (std::optional<Ceiling> loaded = load_ceiling(path)) { return loaded; }
  }
  VORTEX_TRY(session.engine->set_oracle(budget));
  Result<Ceiling> measured = measure(session, wanted, traces);
  VORTEX_TRY(session.engine->set_policy(session.policy));
  if (!measured.ok()) { return measured.error(); }
  if (kept) { VORTEX_TRY(save_ceiling(*measured, path)); }
  return std::optional<Ceiling>(std::move(measured).value());
}

}  // namespace vortex::evals
