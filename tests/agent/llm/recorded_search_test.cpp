// The recorded search of examples/recorded-search, replayed with its kept stage results in place of workers: the same
// replies give the same decisions, byte for byte.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <set>

#include "agent/loop/search.h"
#include "base/files.h"
#include "base/sha256.h"
#include "core/model/model.h"
#include "core/vflow/tell/cost.h"
#include "evals/tasks/task.h"
#include "study/history.h"
#include "study/standing.h"

namespace vortex::agent {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

const fs::path kExample = fs::path(VORTEX_SOURCE_DIR) / "examples/recorded-search";

json read_json(const fs::path& file) { return json::parse(read_file(file).value()); }

// Policies that a language model wrote and that problems were answered with: those that were refused do not count.
int64_t evaluated_policies(const study::History& history) {
  return std::count_if(
      history.candidates.begin(), history.candidates.end(), [](const study::CandidateHistory& candidate) {
        const bool written = candidate.row.origin == db::Origin::kLlm || candidate.row.origin == db::Origin::kRepair;
        return written && study::last_stage(candidate, job::Stage::kRace) != nullptr;
      });
}

// What was decided and what became of it, a line each, without times.
std::string decisions(db::Store& store, const study::History& history, const study::SearchOptions& options) {
  std::string text;
  for (const study::CandidateHistory& candidate : history.candidates) {
    const db::Candidate& row = candidate.row;
    text += "candidate " + std::to_string(row.id) + " at " + std::to_string(row.batch) + "." +
            std::to_string(row.slot) + "." + std::to_string(row.draw) + ": " + std::string(name_of(row.origin)) + " " +
            row.key.substr(0, 16) + " " + std::string(name_of(row.verdict));
    for (const db::LineageEdge& edge : candidate.parents) { text += " <" + std::to_string(edge.parent); }
    text += "\n  " + row.rationale.substr(0, row.rationale.find('\n')) + "\n";
  }
  const std::vector<db::NoteVerdict> verdicts = store.verdicts(history.run.id).value();
  for (const auto rows = store.notes(history.run.id).value(); const db::Note& note : rows) {
    text += std::string(name_of(note.kind)) + ": " + note.text + "\n";
    for (const db::NoteVerdict& verdict : verdicts) {
      if (verdict.note == note.id) {
        text += "  " + std::string(name_of(verdict.verdict)) + ", " + verdict.reason + "\n";
      }
    }
  }
  std::set<int64_t> front;
  for (const study::Point& point : study::standing_of(history, options).front()) { front.insert(point.candidate); }
  text += "front:";
  for (const int64_t candidate : front) { text += " " + std::to_string(candidate); }
  return text + "\n";
}

class KeptResults {
 public:
  Result<std::vector<job::StageResult>> run(const job::Job& job,
                                            const std::function<void(const job::StageResult&)>& on_result) const {
    const std::string key = job.dense ? "dense" : sha256_hex(job.module_text + std::string(1, '\0') + job.config_text);
    if (!results_.contains(key)) {
      return internal_error("a policy that the recorded search did not evaluate: " + key);
    }
    std::vector<job::StageResult> done;
    for (job::Stage stage : job.stages) {
      for (const json& kept : results_[key]) {
        if (kept["stage"] != job::stage_name(stage)) { continue; }
        const auto result = job::stage_result_from_json(kept);
        if (!result.ok()) { return result.error(); }
        done.push_back(*result);
        on_result(*result);
      }
      if (done.empty() || done.back().verdict != job::Verdict::kPass) { break; }
    }
    return done;
  }

 private:
  json results_ = read_json(kExample / "results.json");
};

TEST(RecordedSearchTest, ReplaysByteForByte) {
  std::string pattern = (fs::temp_directory_path() / "vortex-replay-XXXXXX").string();
  ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
  const fs::path folder = pattern;
  json config = read_json(kExample / "search.json");
  config["seeds_folder"] = (kExample / "seeds").string();
  config["confirm"] = false;  // held-out answers steer no decision, and were kept for other finalists than today's
  config["writer"]["replies_folder"] = (kExample / "replies").string();
  const auto options = study::options_from_json(config);
  ASSERT_TRUE(options.ok()) << options.error().message;
  const auto architecture = model::read_model_config(fs::path(VORTEX_SOURCE_DIR) / "models/chain-4m");
  ASSERT_TRUE(architecture.ok());
  const vflow::ModelGeometry geometry =
      model::geometry_of(*architecture, evals::context_bound(options->job.task), options->job.kv_memory_bytes);

  auto store = db::Store::open(folder).value();
  db::Run run;
  run.name = "replay";
  run.config = to_json(*options).dump();
  run.id = store->add_run(run).value();
  const KeptResults results;
  double now = 0;
  SearchHooks hooks;
  hooks.run_job = [&](const job::Job& job, const auto& on_result, const auto&) { return results.run(job, on_result); };
  hooks.modelled_speed = [&](const vflow::Policy& policy) {
    return vflow::decode_cost(policy, geometry, geometry.max_context).byte_ratio();
  };
  hooks.stop = [] { return StopLevel::kNone; };
  hooks.clock = [&] { return now; };
  hooks.sleep = [&](double seconds) { now += seconds; };
  const auto end = run_search(*store, run, *options, geometry, hooks);
  ASSERT_TRUE(end.ok()) << end.error().message;
  const study::History history = study::read_history(*store, *store->find_run("replay").value()).value();
  EXPECT_GE(evaluated_policies(history), 24);
  EXPECT_EQ(decisions(*store, history, *options), read_file(kExample / "decisions.txt").value());
  store.reset();
  fs::remove_all(folder);
}

}  // namespace
}  // namespace vortex::agent
