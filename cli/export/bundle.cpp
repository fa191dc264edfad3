#include "cli/export/bundle.h"

#include <algorithm>
#include <map>
#include <set>

#include "base/escape.h"
#include "base/files.h"
#include "base/sha256.h"
#include "base/text.h"
#include "cli/output.h"
#include "study/lineage.h"
#include "study/standing.h"

namespace vortex::cli {
namespace {

namespace fs = std::filesystem;

constexpr const char* kVerify = R"sh(#!/usr/bin/env bash
# Verifies this bundle. usage: ./verify.sh [folder of the model]
set -euo pipefail
cd "$(dirname "$0")"
sha256sum --quiet -c SHA256SUMS  # with set -e a failure ends it; behind && it would not
echo "files: as they were exported"

# The accuracy of every stage again, from the graded answers alone.
awk -F'\t' '
  FNR == NR { if (FNR > 1) { right[$1 " " $2 " " $3] += $6; all[$1 " " $2 " " $3] += 1 } next }
  FNR > 1 {
    key = $1 " " $2 " " $3
    if (all[key] == 0) { print "claims: no answers for " key; bad = 1; next }
    got = right[key] / all[key]
    if (got - $4 > 1e-9 || $4 - got > 1e-9) { print "claims: " key " is " got ", not " $4; bad = 1 }
  }
  END { exit bad }' outcomes.tsv claims.tsv
echo "claims: every accuracy follows from its answers"

if [ $# -gt 0 ]; then
  command -v vortex >/dev/null || { echo "vortex is not on the PATH: the policy was not run again" >&2; exit 1; }
  module=(policy/*.py)
  vortex eval "${module[0]}" --model "$1" --task task.json --no-store
fi
)sh";

// Files of the bundle, by their names in it.
using Files = std::map<std::string, std::string>;

void add_outcomes(const study::CandidateHistory& candidate, std::string& outcomes, std::string& claims) {
  const std::string id = std::to_string(candidate.row.id);
  std::map<std::pair<int64_t, db::StageRound>, std::pair<double, double>> right;  // and all
  for (const db::OutcomeRow& row : candidate.outcomes) {
    outcomes += id + "\t" + std::to_string(row.attempt) + "\t" + db::stage_round_name(row.stage) + "\t" + row.problem +
                "\t" + std::to_string(row.trial) + "\t" + (row.correct ? "1" : "0") + "\t" +
                std::to_string(row.tokens) + "\t" + row.tokens_hash + "\n";
    auto& [correct, all] = right[{row.attempt, row.stage}];
    correct += row.correct ? 1 : 0;
    all += 1;
  }
  for (const db::StageRow& stage : candidate.stages) {
    const job::Metric accuracy = study::metric_of(stage, "accuracy");
    if (accuracy.name.empty() || !right.contains({stage.attempt, stage.stage})) { continue; }
    claims += id + "\t" + std::to_string(stage.attempt) + "\t" + db::stage_round_name(stage.stage) + "\t" +
              nlohmann::json(accuracy.value).dump() + "\n";
  }
}

nlohmann::json stages_json(const study::CandidateHistory& candidate) {
  nlohmann::json stages = nlohmann::json::array();
  for (const db::StageRow& row : candidate.stages) {
    stages.push_back({{"attempt", row.attempt},
                      {"stage", db::stage_round_name(row.stage)},
                      {"verdict", row.verdict},
                      {"blame", name_of(row.blame)},
                      {"message", row.message},
                      {"metrics", nlohmann::json::parse(row.metrics, nullptr, false)},
                      {"evidence", nlohmann::json::parse(row.evidence, nullptr, false)},
                      {"seconds", row.seconds},
                      {"created", row.created}});
  }
  return stages;
}

Status add_ancestry(const study::LoadedRun& run, const study::CandidateHistory& candidate, Files& files) {
  nlohmann::json edges = nlohmann::json::array();
  std::set<int64_t> written;
  for (const study::Ancestor& line : study::ancestry(run.history, candidate.row.id)) {
    if (line.depth == 0) { continue; }
    edges.push_back({{"child", line.child}, {"parent", line.candidate}, {"operation", line.operation}});
    const study::CandidateHistory* ancestor = run.history.find(line.candidate);
    if (ancestor == nullptr || !written.insert(line.candidate).second) { continue; }
    VORTEX_ASSIGN(const study::CandidateFiles sources, study::files_of(*run.store, ancestor->row));
    const std::string name = "ancestry/" + std::to_string(line.candidate);
    files[name + ".py"] = sources.module_text;
    files[name + ".json"] = sources.config_text;
  }
  files["ancestry/lineage.json"] = edges.dump(2) + "\n";
  files["ancestry/tree.txt"] = study::ancestry_text(run.history, candidate.row.id);
  return ok_status();
}

std::string readme(const study::LoadedRun& run, const study::CandidateHistory& candidate, bool confirmed) {
  std::string text = claim_text(run, candidate, confirmed);
  text +=
      "\nIntervals are 95 % ones: cluster bootstraps over problems for accuracy.\n\n"
      "| file | what |\n| --- | --- |\n"
      "| `policy/` | the module and its configuration, as vortex_torch reads them |\n"
      "| `ancestry/` | the policies that it comes from, and what was done to them |\n"
      "| `stages.json` | every stage of the ladder, also of dense attention: metrics, evidence, environment |\n"
      "| `outcomes.tsv` | every graded answer, with the hash of its tokens |\n"
      "| `claims.tsv` | the accuracies that stages claim |\n"
      "| `search.json` | the options of the search |\n"
      "| `task.json` | the problems that it was scored on, as a task file |\n"
      "| `verify.sh` | checks the sums and the claims; `./verify.sh MODEL` also runs the policy again |\n";
  return text;
}

}  // namespace

std::string claim_text(const study::LoadedRun& run, const study::CandidateHistory& candidate, bool confirmed) {
  std::string text =
      "# Candidate " + std::to_string(candidate.row.id) + " of search " + markdown_text(run.history.run.name) + "\n\n";
  text += "Policy `" + candidate.row.key + "`\n\n";
  if (!confirmed) {
    text +=
        "**NOT CONFIRMED.** Held-out problems did not find it to keep dense attention's accuracy, or it was not "
        "asked.\n\n";
  }
  if (const auto point = study::point_of(candidate, run.options.rank_speed, run.options.seed)) {
    text += "- accuracy on the search problems: " + interval_text(point->accuracy, 3) +
            "\n- speed over dense attention" +
            std::string(run.options.rank_speed == study::RankSpeed::kModelled ? ", by the cost model" : "") + ": " +
            interval_text(point->speed.ratio, 2) + "\n";
  }
  if (const auto claim = study::claim_on(run.history, run.options, candidate.row.id)) {
    text += "- accuracy on " + std::to_string(claim->problems) +
            " held-out problems: " + interval_text(claim->accuracy, 3) + ", dense attention's there " +
            interval_text(claim->dense_accuracy, 3) + "\n- difference: " + interval_text(claim->difference, 3) +
            "; within " + format_number(100 * run.options.margin) +
            " points: " + std::string(evals::keeping_name(claim->keeping)) + "\n";
    if (claim->speed) {
      text += "- speed over dense attention, in processes that had no part in its selection: " +
              interval_text(claim->speed->ratio, 2) + "\n";
    }
  }
  return text;
}

Result<fs::path> write_pair(const study::LoadedRun& run, const study::CandidateHistory& candidate, bool confirmed,
                            const fs::path& folder) {
  VORTEX_ASSIGN(study::CandidateFiles files, study::files_of(*run.store, candidate.row));
  auto config = nlohmann::ordered_json::parse(files.config_text, nullptr, false);
  if (!config.is_object()) { return internal_error("the configuration in the store is no JSON object"); }
  // Plain where it checks; a row of an older program may hold anything.
  const std::string name =
      path_component(config.value("vortex_module_name", "policy_" + std::to_string(candidate.row.id)));
  config["vortex_module_path"] = name + ".py";
  if (!confirmed) { files.module_text = "# Not confirmed on held-out problems.\n" + files.module_text; }
  const fs::path module = folder / (name + ".py");
  VORTEX_TRY(write_file_atomic(module, files.module_text));
  VORTEX_TRY(write_file_atomic(fs::path(module).replace_extension(".json"), config.dump(2) + "\n"));
  return module;
}

Result<fs::path> write_bundle(const study::LoadedRun& run, const study::CandidateHistory& candidate, bool confirmed,
                              const fs::path& folder) {
  VORTEX_ASSIGN(const fs::path module, write_pair(run, candidate, confirmed, folder / "policy"));
  Files files;
  for (const char* extension : {".py", ".json"}) {
    const fs::path path = fs::path(module).replace_extension(extension);
    VORTEX_ASSIGN(files["policy/" + path.filename().string()], read_file(path));
  }
  std::string outcomes = "candidate\tattempt\tstage\tproblem\ttrial\tcorrect\ttokens\ttokens_hash\n";
  std::string claims = "candidate\tattempt\tstage\taccuracy\n";
  nlohmann::json stages = {{"candidate", stages_json(candidate)}};
  for (const study::CandidateHistory& other : run.history.candidates) {
    if (!study::is_dense(other.row)) { continue; }
    stages["dense"] = stages_json(other);
    add_outcomes(other, outcomes, claims);
  }
  add_outcomes(candidate, outcomes, claims);
  VORTEX_TRY(add_ancestry(run, candidate, files));
  files["outcomes.tsv"] = std::move(outcomes);
  files["claims.tsv"] = std::move(claims);
  files["stages.json"] = stages.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
  files["search.json"] = study::to_json(run.options).dump(2) + "\n";
  files["README.md"] = readme(run, candidate, confirmed);
  files["verify.sh"] = kVerify;
  files["task.json"] = job::to_json(run.options.job.task).dump(2) + "\n";
  std::string sums;
  for (const auto& [name, bytes] : files) {
    VORTEX_TRY(write_file_atomic(folder / name, bytes));
    sums += sha256_hex(bytes) + "  " + name + "\n";
  }
  VORTEX_TRY(write_file_atomic(folder / "SHA256SUMS", sums));
  std::error_code ec;
  fs::permissions(folder / "verify.sh", fs::perms::owner_exec, fs::perm_options::add, ec);
  if (ec) { return environment_error("cannot make verify.sh executable: " + ec.message()); }
  return module;
}

}  // namespace vortex::cli
