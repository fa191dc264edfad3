#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

#include <atomic>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "agent/loop/search.h"
#include "db/store.h"
#include "study/history.h"
#include "tests/agent/synthetic.h"

namespace vortex::agent {

// Searches of made-up workers in folders of their own.
class SearchTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (std::filesystem::temp_directory_path() / "vortex-search-XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
    hooks_ = test_hooks(workers_, &now_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  static std::unique_ptr<db::Store> open(const std::filesystem::path& folder) {
    auto store = db::Store::open(folder);
    EXPECT_TRUE(store.ok()) << store.error().message;
    return std::move(store).value();
  }

  static db::Run add_run(db::Store& store, const study::SearchOptions& options) {
    db::Run run;
    run.name = "test";
    run.config = to_json(options).dump();
    EXPECT_TRUE(store.add_run(run).ok());
    return *store.find_run("test").value();
  }

  Result<SearchEnd> sit(db::Store& store) { return run_search(store, run_of(store), options_, test_model(), hooks_); }

  db::Run run_of(db::Store& store) {
    const auto found = store.find_run("test").value();
    return found ? *found : add_run(store, options_);
  }

  // What must be equal between a search in one go and one that was interrupted: decisions and results, not attempts.
  static std::vector<std::string> decisions(db::Store& store) {
    const study::History history = study::read_history(store, *store.find_run("test").value()).value();
    std::vector<std::string> lines;
    for (const study::CandidateHistory& candidate : history.candidates) {
      const db::Candidate& row = candidate.row;
      std::string line = std::to_string(row.id) + " " + std::to_string(row.batch) + "." + std::to_string(row.slot) +
                         "." + std::to_string(row.draw) + " " + row.key + " " + row.module_object + " " +
                         row.config_object + " " + std::string(name_of(row.origin)) + " " +
                         std::string(name_of(row.state)) + " " + std::string(name_of(row.verdict));
      for (const db::LineageEdge& edge : candidate.parents) {
        line += " <" + std::to_string(edge.parent) + edge.operation;
      }
      for (const db::StageRow& stage : study::last_climb(candidate)) {
        line += " " + db::stage_round_name(stage.stage) + "=" + std::string(name_of(stage.verdict));
        for (const job::Outcome& outcome : study::outcomes_of(candidate, stage)) {
          line += outcome.correct ? "1" : "0";
        }
      }
      lines.push_back(line);
    }
    return lines;
  }

  static void expect_same_decisions(db::Store& a, db::Store& b) {
    const std::vector<std::string> left = decisions(a);
    const std::vector<std::string> right = decisions(b);
    ASSERT_EQ(left.size(), right.size());
    for (size_t i = 0; i < left.size(); ++i) { EXPECT_EQ(left[i], right[i]); }
  }

  std::filesystem::path folder_;
  SyntheticWorkers workers_;
  std::atomic<double> now_ = 1000;
  study::SearchOptions options_ = test_options();
  SearchHooks hooks_;
};

}  // namespace vortex::agent
