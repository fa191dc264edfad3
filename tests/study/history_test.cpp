#include "study/history.h"

#include <gtest/gtest.h>

namespace vortex::study {
namespace {

job::Metric found(const std::string& metrics, const char* name) {
  db::StageRow row;
  row.metrics = metrics;
  return metric_of(row, name);
}

TEST(MetricOf, FindsTheOneThatIsAskedFor) {
  const std::string two = R"([{"hi":3,"lo":1,"name":"speed","unit":"x","value":2},)"
                          R"({"hi":0.9,"lo":0.7,"name":"accuracy","unit":"","value":0.8}])";
  EXPECT_EQ(found(two, "speed").value, 2);
  EXPECT_EQ(found(two, "accuracy").hi, 0.9);
  EXPECT_TRUE(found(two, "spee").name.empty());
  EXPECT_TRUE(found("[]", "speed").name.empty());
  EXPECT_TRUE(found("", "speed").name.empty());
}

TEST(MetricOf, IsNotMisledByUnits) {
  const std::string name_as_unit = R"([{"hi":1,"lo":1,"name":"other","unit":"speed","value":1},)"
                                   R"({"hi":2,"lo":2,"name":"speed","unit":"","value":2}])";
  EXPECT_EQ(found(name_as_unit, "speed").value, 2);
  EXPECT_TRUE(found(R"([{"hi":1,"lo":1,"name":"other","unit":"speed","value":1}])", "speed").name.empty());
  const std::string braces = R"([{"hi":2,"lo":2,"name":"speed","unit":"}{","value":2}])";
  EXPECT_EQ(found(braces, "speed").value, 2);
  EXPECT_EQ(found(R"([{"hi":2,"lo":2,"name":"speed","unit":"\"speed\"","value":2}])", "speed").value, 2);
}

}  // namespace
}  // namespace vortex::study
