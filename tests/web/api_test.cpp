#include "web/server/api.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <thread>

#include "db/lock.h"
#include "tests/web/synthetic_run.h"

namespace vortex::web {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

class ApiTest : public testing::Test {
 protected:
  void SetUp() override {
    workspace_ = fs::temp_directory_path() / ("api-" + std::to_string(::getpid()));
    fs::remove_all(workspace_);
    write("made-up", 80);
    api_ = std::make_unique<Api>(ApiOptions{workspace_, true, "vortex"});
  }
  void TearDown() override { fs::remove_all(workspace_); }

  void write(const std::string& name, int candidates) {
    SyntheticOptions options;
    options.name = name;
    options.candidates = candidates;
    options.seed = std::hash<std::string>()(name);
    options.model_path = std::string(VORTEX_SOURCE_DIR) + "/models/chain-4m";
    options.policies = std::string(VORTEX_SOURCE_DIR) + "/examples/policies";
    const Status written = write_synthetic_run(workspace_, options);
    ASSERT_TRUE(written.ok()) << written.error().message;
  }

  Response ask(const std::vector<std::string>& path, const std::map<std::string, std::string>& query = {}) {
    return api_->handle({"GET", path, query, ""});
  }
  json get(const std::vector<std::string>& path, const std::map<std::string, std::string>& query = {}) {
    const Response response = ask(path, query);
    EXPECT_EQ(response.status, 200) << response.body.substr(0, 400);
    return json::parse(response.body);
  }
  Response post(const std::vector<std::string>& path, const json& body) {
    return api_->handle({"POST", path, {}, body.dump()});
  }
  json run(const char* view, const std::map<std::string, std::string>& query = {}) {
    return get({"runs", "made-up", view}, query);
  }

  fs::path workspace_;
  std::unique_ptr<Api> api_;
};

TEST_F(ApiTest, TheOverviewAddsUp) {
  const json overview = run("overview");
  EXPECT_EQ(overview["run"]["state"], "finished");
  EXPECT_EQ(overview["counts"]["candidates"], 80);
  EXPECT_GT(overview["front"].size(), 1u);
  EXPECT_EQ(overview["front"].front()["keeps"], "dense");
  int proposed = 0;
  for (const json& origin : overview["origins"]) { proposed += origin["proposed"].get<int>(); }
  EXPECT_EQ(proposed, 80);
  const size_t points = overview["points"]["candidate"].size();
  EXPECT_EQ(points, overview["points"]["speed"].size());
  EXPECT_EQ(points, overview["counts"]["passed"].get<size_t>() + 1) << "and dense attention";
}

TEST_F(ApiTest, CandidatesAreFilteredSortedAndPaged) {
  const json all = run("candidates", {{"limit", "500"}});
  EXPECT_EQ(all["total"], 81);
  const json failed = run("candidates", {{"verdict", "fail"}});
  for (const json& row : failed["items"]) { EXPECT_EQ(row["verdict"], "fail"); }
  EXPECT_GT(failed["total"], 0);
  const json fast = run("candidates", {{"verdict", "pass"}, {"sort", "-speed"}, {"limit", "10"}, {"offset", "2"}});
  EXPECT_EQ(fast["items"].size(), 10u);
  for (size_t i = 1; i < 10; ++i) { EXPECT_LE(fast["items"][i]["speed"], fast["items"][i - 1]["speed"]); }
  EXPECT_EQ(run("candidates", {{"q", "signal 9"}})["total"], run("candidates", {{"verdict", "error"}})["total"]);
  EXPECT_EQ(ask({"runs", "made-up", "candidates"}, {{"limit", "-1"}}).status, 400);
}

TEST_F(ApiTest, ACandidateHasEverything) {
  const int64_t id = run("candidates", {{"verdict", "front"}, {"sort", "-speed"}})["items"][0]["candidate"];
  const json candidate = get({"candidates", std::to_string(id)});
  EXPECT_TRUE(candidate["front"].is_object());
  EXPECT_FALSE(candidate["files"]["module"].get<std::string>().empty());
  ASSERT_EQ(candidate["graph"].size(), 2u) << candidate["graph_problem"];
  EXPECT_GT(candidate["graph"][1]["nodes"].size(), 1u);
  EXPECT_EQ(candidate["mass_per_layer"].size(), 4u);
  EXPECT_FALSE(candidate["outcomes"].empty());
  EXPECT_TRUE(candidate["outcomes"][0]["dense_correct"].is_boolean());
  EXPECT_TRUE(candidate["difference"].is_object());
  EXPECT_EQ(candidate["commands"][0]["command"], "vortex export " + std::to_string(id) +
                                                     " --to vortex-torch --out winner/" +
                                                     (candidate["front"]["keeps"] == "kept" ? "" : " --unconfirmed"));
  EXPECT_LT(candidate["cost"]["policy_bytes"], candidate["cost"]["dense_bytes"]);
  EXPECT_LT(candidate["cost"]["selected_pages"], candidate["cost"]["pages"]);
}

TEST_F(ApiTest, OtherViewsAnswer) {
  const json lineage = run("lineage");
  EXPECT_EQ(lineage["candidate"].size(), 81u);
  EXPECT_GT(lineage["edges"].size(), 10u);
  const json diversity = run("diversity");
  const size_t n = diversity["candidates"].size();
  EXPECT_EQ(diversity["matrix"].size(), n * n);
  EXPECT_EQ(diversity["order"].size(), n);
  EXPECT_FALSE(run("failures").empty());
  EXPECT_FALSE(run("notebook").empty());
  EXPECT_EQ(run("environment")["evidence"]["device"], "made up");
  EXPECT_EQ(get({"runs"}).size(), 1u);
  EXPECT_EQ(get({"about"})["newest"], "made-up");
}

TEST_F(ApiTest, ComparisonsArePaired) {
  const json front = run("overview")["front"];
  const std::string a = std::to_string(front[0]["candidate"].get<int64_t>());
  const std::string b = std::to_string(front.back()["candidate"].get<int64_t>());
  const json compared = get({"compare"}, {{"candidates", a + "," + b}});
  ASSERT_EQ(compared.size(), 2u);
  EXPECT_TRUE(compared[0]["difference"].is_null());
  EXPECT_EQ(compared[1]["difference"], front.back()["difference"]) << "dense attention is the first of both";
  const double problems = 16;
  double won = 0;
  for (const json& flip : compared[1]["flips"]) { won += flip["this"].get<bool>() ? 1 : -1; }
  EXPECT_NEAR(compared[1]["difference"]["value"], won / problems, 1e-6);
  EXPECT_EQ(ask({"compare"}, {{"candidates", a}}).status, 400);
  EXPECT_EQ(ask({"compare"}, {{"candidates", a + ",x"}}).status, 400);
}

TEST_F(ApiTest, WhatIsNotThereIsSaid) {
  EXPECT_EQ(ask({"candidates", "99999"}).status, 404);
  EXPECT_EQ(ask({"runs", "nobody", "overview"}).status, 404);
  EXPECT_EQ(ask({"runs", "made-up", "nothing"}).status, 404);
  EXPECT_EQ(ask({"candidates", "1 OR 1=1"}).status, 400);
  EXPECT_EQ(ask({"calls", "../../etc/passwd"}).status, 400);
  EXPECT_EQ(ask({}).status, 404);
}

TEST_F(ApiTest, MarksAreKept) {
  EXPECT_EQ(post({"candidates", "3", "mark"}, {{"starred", true}, {"hidden", true}, {"note", "look again"}}).status,
            200);
  api_->runs().refresh();
  EXPECT_EQ(get({"candidates", "3"})["mark"]["note"], "look again");
  EXPECT_EQ(run("candidates", {{"hidden", "1"}, {"verdict", "starred"}})["total"], 1);
  EXPECT_EQ(run("candidates", {{"verdict", "starred"}})["total"], 0) << "hidden";
  EXPECT_EQ(post({"candidates", "3", "mark"}, {{"starred", "yes"}, {"hidden", false}, {"note", ""}}).status, 400);
  EXPECT_EQ(post({"candidates", "3", "mark"}, {{"starred", true}}).status, 400);
}

TEST_F(ApiTest, ActionsAreRows) {
  EXPECT_EQ(post({"runs", "made-up", "stop"}, {{"now", false}}).status, 400) << "it has ended";
  const int64_t passed = run("candidates", {{"verdict", "pass"}, {"sort", "candidate"}})["items"][1]["candidate"];
  const int64_t failed = run("candidates", {{"verdict", "fail"}})["items"][0]["candidate"];
  EXPECT_EQ(post({"candidates", std::to_string(failed), "request"}, {{"kind", "retest"}}).status, 400);
  EXPECT_EQ(post({"candidates", std::to_string(passed), "request"}, {{"kind", "format the disk"}}).status, 400);
  EXPECT_EQ(post({"candidates", std::to_string(passed), "request"}, {{"kind", "retest"}}).status, 200);
  api_->runs().refresh();
  const json requests = run("overview")["requests"];
  ASSERT_EQ(requests.size(), 1u);
  EXPECT_EQ(requests[0]["state"], "waiting");
  Api shows({workspace_, false, "vortex"});
  EXPECT_EQ(shows.handle({"POST", {"candidates", "3", "mark"}, {}, "{}"}).status, 400);
}

// A page that knows a version is told what came after it, and nothing else; put together, it has what a new page gets.
TEST_F(ApiTest, DeltasAddUpToTheWhole) {
  const std::shared_ptr<LiveRun> live = *api_->runs().find("made-up");
  const int64_t before = live->version();
  EXPECT_TRUE(live->since(before).empty());
  EXPECT_EQ(live->version_of(live->cursor()), before);
  EXPECT_EQ(live->version_of("another-7"), 0);
  EXPECT_EQ(live->version_of("nonsense"), 0);

  const std::unique_ptr<db::Store> store = std::move(*db::Store::open(workspace_));
  const db::Run row = live->run();
  db::Candidate fast = *store->find_candidate(run("overview")["front"].back()["candidate"].get<int64_t>()).value();
  fast.batch = 900;
  fast.key = "faster";
  fast.state = db::CandidateState::kRunning;
  fast.verdict.reset();
  const int64_t id = *store->add_candidate(fast, {});
  ASSERT_TRUE(*live->refresh());
  const json begun = json::parse(live->since(before));
  EXPECT_FALSE(begun.contains("points")) << "nothing has passed yet";
  EXPECT_FALSE(begun.contains("front"));
  EXPECT_EQ(begun["counts"]["candidates"], 81);

  const int64_t middle = live->version();
  db::StageRow race{0,
                    id,
                    1,
                    job::Stage::kRace,
                    job::Verdict::kPass,
                    std::nullopt,
                    "",
                    R"([{"name":"accuracy","value":1,"lo":0.8,"hi":1,"unit":""}])",
                    "{}",
                    "",
                    1,
                    0};
  std::vector<db::OutcomeRow> outcomes;
  for (int i = 0; i < 16; ++i) {
    outcomes.push_back({id, 1, job::Stage::kRace, "chain-780-16-" + std::to_string(i), 0, true, 1, "", "", ""});
  }
  ASSERT_TRUE(store->add_stage(race, outcomes).ok());
  db::StageRow speed = race;
  speed.stage = job::Stage::kSpeed;
  speed.metrics = R"([{"name":"speedup_vs_dense","value":9,"lo":8.9,"hi":9.1,"unit":""}])";
  ASSERT_TRUE(store->add_stage(speed, {}).ok());
  ASSERT_TRUE(store->set_candidate_state(id, db::CandidateState::kDone, job::Verdict::kPass).ok());
  ASSERT_TRUE(*live->refresh());
  const json passed = json::parse(live->since(middle));
  EXPECT_EQ(passed["points"]["candidate"], json::array({id}));
  EXPECT_EQ(passed["front"].back()["candidate"], id);
  EXPECT_FALSE(passed.contains("events"));
  ASSERT_FALSE(*live->refresh()) << "nothing was written";

  Api fresh({workspace_, true, "vortex"});
  json whole = json::parse(fresh.handle({"GET", {"runs", "made-up", "overview"}, {}, ""}).body);
  json ours = json::parse(live->since(0));
  whole.erase("cursor");
  ours.erase("cursor");
  const auto sorted = [](json& overview) {  // points in whatever order
    std::vector<std::array<double, 3>> points;
    for (size_t i = 0; i < overview["points"]["candidate"].size(); ++i) {
      points.push_back(
          {overview["points"]["candidate"][i], overview["points"]["speed"][i], overview["points"]["accuracy"][i]});
    }
    std::sort(points.begin(), points.end());
    overview["points"] = points;
  };
  sorted(whole);
  sorted(ours);
  EXPECT_EQ(ours, whole);
}

TEST_F(ApiTest, ManyReadersAtOnce) {
  std::vector<std::thread> readers;
  std::atomic<int> good = 0;
  for (int t = 0; t < 8; ++t) {
    readers.emplace_back([&, t] {
      for (int i = 0; i < 5; ++i) {
        if (t == 0) { api_->runs().refresh(); }
        good += ask({"runs", "made-up", t % 2 == 0 ? "overview" : "lineage"}).status == 200 ? 1 : 0;
      }
    });
  }
  for (std::thread& reader : readers) { reader.join(); }
  EXPECT_EQ(good, 40);
}

}  // namespace
}  // namespace vortex::web
