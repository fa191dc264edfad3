#include "study/notebook.h"

#include <gtest/gtest.h>

namespace vortex::study {
namespace {

TEST(NotebookTest, VerdictsComeFromIntervals) {
  struct Case {
    Prediction prediction;
    evals::Interval effect;
    db::Finding verdict;
  };
  const std::vector<Case> cases = {
      {{"speed", "higher", 0, 0}, {0.2, 0.1, 0.3}, db::Finding::kConfirmed},
      {{"speed", "higher", 0.15, 0}, {0.2, 0.1, 0.3}, db::Finding::kInconclusive},
      {{"speed", "higher", 0.3, 0}, {0.2, 0.1, 0.3}, db::Finding::kRefuted},
      {{"speed", "higher", 0, 0}, {0.0, 0.0, 0.0}, db::Finding::kRefuted},
      {{"accuracy", "lower", 0, 0}, {-0.2, -0.3, -0.1}, db::Finding::kConfirmed},
      {{"accuracy", "lower", 0, 0}, {0.2, 0.1, 0.3}, db::Finding::kRefuted},
      {{"accuracy", "lower", 0.05, 0}, {-0.1, -0.2, 0.0}, db::Finding::kInconclusive},
      {{"accuracy", "same", 0.1, 0}, {0.01, -0.05, 0.07}, db::Finding::kConfirmed},
      {{"accuracy", "same", 0.1, 0}, {0.05, -0.05, 0.15}, db::Finding::kInconclusive},
      {{"accuracy", "same", 0.1, 0}, {0.3, 0.2, 0.4}, db::Finding::kRefuted},
  };
  for (const Case& c : cases) {
    EXPECT_EQ(judge(c.prediction, c.effect), c.verdict)
        << c.prediction.metric << " " << c.prediction.direction << " by " << c.prediction.by;
  }
}

TEST(NotebookTest, PredictionsAreReadStrictly) {
  const auto read = [](const char* text) { return prediction_from_json(nlohmann::json::parse(text)); };
  const auto good = read(R"({"metric":"speed","direction":"higher","by":0.5,"against":12})");
  ASSERT_TRUE(good.ok());
  EXPECT_EQ(good->against, 12);
  EXPECT_EQ(prediction_from_json(to_json(*good))->by, 0.5);
  EXPECT_GT(read(R"({"metric":"accuracy","direction":"same"})")->by, 0) << "no two measurements are the same";
  for (const char* text : {R"({"metric":"taste","direction":"higher"})", R"({"metric":"speed","direction":"up"})",
                           R"({"metric":"speed"})", R"({"metric":"speed","direction":"higher","by":-1})",
                           R"({"metric":"speed","direction":"higher","against":"best"})",
                           R"({"metric":"speed","direction":"higher","twice":1})", "[]"}) {
    EXPECT_FALSE(read(text).ok()) << text;
  }
}

}  // namespace
}  // namespace vortex::study
