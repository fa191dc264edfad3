// A search whose endpoint is down, slow or silent ends with its budget, and says what it waited for.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <filesystem>
#include <thread>

#include "agent/loop/search.h"
#include "base/files.h"
#include "core/model/model.h"
#include "evals/tasks/task.h"
#include "tests/agent/llm/llm_server.h"

namespace vortex::agent {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

const fs::path kExample = fs::path(VORTEX_SOURCE_DIR) / "examples/recorded-search";

// What the first candidate that is no policy of ours, dense attention, came to in the recorded search.
Result<std::vector<job::StageResult>> kept_results(const job::Job& job,
                                                   const std::function<void(const job::StageResult&)>& on_result) {
  static const json kept = json::parse(read_file(kExample / "results.json").value());
  std::vector<job::StageResult> done;
  for (const json& each : kept["dense"]) {
    const auto result = job::stage_result_from_json(each);
    if (!result.ok()) { return result.error(); }
    if (std::find(job.stages.begin(), job.stages.end(), result->stage) == job.stages.end()) { continue; }
    done.push_back(*result);
    on_result(*result);
  }
  return done;
}

struct Outage {
  const char* name;
  std::vector<std::string> script;  // none: nobody listens
  bool told = false;                // to stop, instead of a budget that ends
  const char* message;
};

class OutageSearchTest : public ::testing::TestWithParam<Outage> {};

TEST_P(OutageSearchTest, EndsWithItsBudget) {
  const Outage& outage = GetParam();
  vortex::testing::LlmServer server;
  server.behave(outage.script);
  std::string pattern = (fs::temp_directory_path() / "vortex-outage-XXXXXX").string();
  ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
  const fs::path folder = pattern;
  fs::create_directories(folder / "seeds");
  for (const char* file : {"quest.py", "quest.json"}) { fs::copy(kExample / "seeds" / file, folder / "seeds" / file); }
  json config = json::parse(read_file(kExample / "search.json").value());
  const std::string url = outage.script.empty() ? "http://127.0.0.1:1/v1" : server.base();
  config["proposer"] = "llm";
  config["seeds_folder"] = (folder / "seeds").string();
  config["seconds"] = 1e6;
  config["writer"]["models"] =
      json({{"models", {{{"name", "local"}, {"url", url}, {"api", "chat"}, {"model", "m"}}}}, {"first_pause", 0.01}})
          .dump();
  const auto options = study::options_from_json(config);
  ASSERT_TRUE(options.ok()) << options.error().message;
  const auto architecture = model::read_model_config(fs::path(VORTEX_SOURCE_DIR) / "models/chain-4m");
  const vflow::ModelGeometry geometry = model::geometry_of(*architecture, evals::context_bound(options->job.task), 0);
  auto store = db::Store::open(folder / "work").value();
  db::Run run;
  run.name = "outage";
  run.config = to_json(*options).dump();
  run.state = db::RunState::kRunning;
  run.id = store->add_run(run).value();

  // Time passes with every look at whether to stop, from the end of the dense climb on.
  std::atomic<bool> climbed = false;
  std::atomic<int> looks = 0;
  SearchHooks hooks;
  hooks.run_job = [&](const job::Job& job, const auto& on_result, const auto&) {
    auto results = kept_results(job, on_result);
    climbed = true;
    return results;
  };
  hooks.modelled_speed = [](const vflow::Policy&) { return 2.0; };
  hooks.stop = [&] {
    if (climbed) {
      ++looks;
      std::this_thread::sleep_for(std::chrono::milliseconds(20));  // an endpoint on this machine answers meanwhile
    }
    return outage.told && looks > 25 ? StopLevel::kDrain : StopLevel::kNone;
  };
  hooks.clock = [&] { return outage.told ? 0.0 : 4e4 * looks; };
  hooks.sleep = [](double) {};
  const auto end = run_search(*store, run, *options, geometry, hooks);
  ASSERT_TRUE(end.ok()) << end.error().message;
  EXPECT_EQ(*end, outage.told ? SearchEnd::kInterrupted : SearchEnd::kBudget);

  for (const auto calls = store->llm_calls(run.id).value(); const db::LlmCall& call : calls) {
    EXPECT_TRUE(call.state == db::CallState::kFailed) << "nothing is left in flight";
  }
  std::string waited_for;
  for (const auto events = store->events(run.id).value(); const db::Event& event : events) {
    const json detail = json::parse(event.detail);
    if (event.kind == "stall" && detail.value("ended", false)) { waited_for = detail["message"]; }
  }
  EXPECT_NE(waited_for.find(outage.message), std::string::npos) << waited_for;
  EXPECT_FALSE(store->llm_calls(run.id).value().empty());
  store.reset();
  fs::remove_all(folder);
}

INSTANTIATE_TEST_SUITE_P(Faults, OutageSearchTest,
                         ::testing::Values(Outage{"Down", {}, false, "local: "},
                                           Outage{"Failing", std::vector<std::string>(500, "status:500"), false, "500"},
                                           Outage{"Busy", std::vector<std::string>(500, "status:429:60"), false, "429"},
                                           Outage{"Comments", std::vector<std::string>(50, "trickle"), false,
                                                  "no whole reply of it yet"},
                                           Outage{"Silent", std::vector<std::string>(50, "hang"), false, "local"},
                                           Outage{"Told", std::vector<std::string>(500, "status:500"), true, "500"}),
                         [](const auto& made) { return std::string(made.param.name); });

}  // namespace
}  // namespace vortex::agent
