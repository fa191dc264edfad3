#include "study/rivals.h"

#include <gtest/gtest.h>

namespace vortex::study {
namespace {

db::StageRow recall_row(const std::string& evidence) {
  db::StageRow row;
  row.candidate = 7;
  row.stage = job::Stage::kRecall;
  row.evidence = evidence;
  return row;
}

TEST(Rivals, AreReadFromTheLastRecall) {
  const auto rival = rival_of({recall_row(R"({"answer_bytes": 1, "answers": [{"kl": 9}]})"),
                               recall_row(R"({"answer_bytes": 1e9, "answers": [{"kl": 0.5}, {"kl": 0.25}]})")});
  ASSERT_TRUE(rival.has_value());
  EXPECT_EQ(rival->candidate, 7);
  EXPECT_EQ(rival->answer_bytes, 1e9);
  EXPECT_EQ(rival->answer_kl, (std::vector<double>{0.5, 0.25}));
  EXPECT_FALSE(rival_of({recall_row(R"({"positions": 31})")}).has_value()) << "no right answers were forced";
  EXPECT_FALSE(rival_of({}).has_value());
}

TEST(Rivals, ThoseThatAnotherCoversGo) {
  std::vector<job::Rival> rivals;
  const auto names = [&] {
    std::vector<int64_t> all;
    for (const job::Rival& one : rivals) { all.push_back(one.candidate); }
    return all;
  };
  add_rival({1, 100, {0.1, 0.3}}, rivals);
  add_rival({2, 200, {0.1, 0.1}}, rivals);
  EXPECT_EQ(names(), (std::vector<int64_t>{1, 2})) << "reads more, and is nearer";
  add_rival({3, 250, {0.1, 0.2}}, rivals);
  add_rival({4, 200, {0.2, 0.0}}, rivals);
  EXPECT_EQ(names(), (std::vector<int64_t>{1, 2})) << "covered, and as good as one that is there";
  add_rival({5, 90, {0.05, 0.05}}, rivals);
  EXPECT_EQ(names(), std::vector<int64_t>{5});
}

}  // namespace
}  // namespace vortex::study
