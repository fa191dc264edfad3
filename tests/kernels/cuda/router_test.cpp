// The choice of experts on the device against the CPU's router.
#include <map>
#include <set>

#include "tests/kernels/cuda/router_support.h"

namespace vortex::cuda {
namespace {

// What was chosen must be what the CPU chooses from these logits, with the same weights to the bit.
void expect_choices(const TestedRouter& router, const std::vector<float>& logits, std::set<std::int32_t>& touched) {
  cpu::ExpertRule rule = router.args.rule;
  rule.bias = router.host_bias.empty() ? nullptr : router.host_bias.data();
  const auto chosen = static_cast<std::size_t>(rule.chosen);
  const std::vector<std::int32_t> experts = router.experts.read();
  const std::vector<float> weights = router.weights.read();
  for (int row = 0; row < router.args.rows; ++row) {
    const auto at = static_cast<std::size_t>(row) * chosen;
    std::vector<std::int32_t> wanted(chosen, -1);
    std::vector<float> weighed(chosen, 0.0F);
    if (router.is_active(row)) {
      cpu::choose_experts(rule, &logits[static_cast<std::size_t>(row * rule.experts)], wanted.data(), weighed.data());
      touched.insert(wanted.begin(), wanted.end());
    }
    for (std::size_t i = 0; i < chosen; ++i) {
      ASSERT_EQ(experts[at + i], wanted[i]) << "row " << row << " slot " << i;
      if (std::isnan(weighed[i])) {
        ASSERT_TRUE(std::isnan(weights[at + i])) << "row " << row << " slot " << i;
      } else {
        ASSERT_EQ(weights[at + i], weighed[i]) << "row " << row << " slot " << i;
      }
    }
  }
}

// The list has every chosen pair once, in its expert's tiles, in ascending order.
void expect_list(const TestedRouter& router, std::size_t touched) {
  const int slots = router.args.rule.chosen + (router.args.shared ? 1 : 0);
  const std::vector<std::int32_t> experts = router.experts.read();
  const std::vector<std::int32_t> order = router.order.read();
  const std::vector<ExpertTile> tiles = router.tiles.read();
  std::map<int, std::vector<std::int32_t>> pairs;
  for (std::size_t i = 0; i < experts.size(); ++i) {
    const int row = static_cast<int>(i) / router.args.rule.chosen;
    const int slot = static_cast<int>(i) % router.args.rule.chosen;
    if (experts[i] >= 0) { pairs[experts[i]].push_back(row * slots + slot); }
  }
  ASSERT_EQ(pairs.size(), touched);
  std::size_t tile = 0;
  std::int32_t place = 0;
  const auto most = static_cast<std::size_t>(expert_tile_rows(router.args.rows));
  for (const auto& [expert, expected] : pairs) {
    for (std::size_t first = 0; first < expected.size(); first += most, ++tile) {
      ASSERT_LT(tile, tiles.size());
      ASSERT_EQ(tiles[tile].expert, expert) << "tile " << tile;
      ASSERT_EQ(tiles[tile].first, place) << "tile " << tile;
      ASSERT_EQ(tiles[tile].rows, std::min(most, expected.size() - first)) << "tile " << tile;
      for (std::size_t i = first; i < std::min(first + most, expected.size()); ++i) {
        ASSERT_EQ(order[static_cast<std::size_t>(place++)], expected[i]) << "expert " << expert;
      }
    }
  }
  ASSERT_EQ(router.num_tiles.read()[0], static_cast<std::int32_t>(tile));
  ASSERT_EQ(router.touched.read()[0], touched);
  ASSERT_EQ(router.arrived.read()[0], 0U);
}

void expect_plan(TestedRouter& router, const std::vector<float>& logits) {
  router.logits.write(logits);
  router.touched.write({0});
  router.plan();
  std::set<std::int32_t> touched;
  expect_choices(router, logits, touched);
  if (!testing::Test::HasFatalFailure()) { expect_list(router, touched.size()); }
}

class Router : public DeviceTest {};

TEST_F(Router, ChoosesWhatTheCpuChooses) {
  Random random(1);
  for (const int experts : {4, 6, 8, 60, 64, 128, 160, 256, 300, 512}) {
    for (const int chosen : {1, 2, 3, 4, 6, 8}) {
      for (const int rows : {1, 2, 7, 8, 33, 128}) {
        if (chosen > experts || (experts > 64 && rows == 7)) { continue; }
        const bool sigmoid = (experts + chosen + rows) % 2 == 0;
        SCOPED_TRACE(testing::Message() << experts << " experts, " << chosen << " chosen, " << rows << " rows");
        cpu::ExpertRule rule = rule_of(experts, chosen, sigmoid);
        rule.normalised = chosen % 2 == 0;
        rule.scale = 1.8F;
        const std::vector<float> bias = random_floats(static_cast<std::size_t>(experts), random);
        if (rows % 2 == 1) { rule.bias = bias.data(); }
        TestedRouter router(rule, rows, chosen == 4);
        expect_plan(router, random_floats(router.logits.size(), random, 2.0F));
        if (HasFatalFailure()) { return; }
      }
    }
  }
}

TEST_F(Router, KeepsTheGroupsThatTheCpuKeeps) {
  Random random(2);
  for (const auto& [experts, groups] : {std::pair{16, 4}, {64, 8}, {160, 8}, {256, 8}, {12, 6}, {64, 32}}) {
    for (const bool two : {false, true}) {
      for (const int kept : {1, 2, 4}) {
        SCOPED_TRACE(testing::Message() << experts << " experts, " << groups << " groups, " << kept << " kept, two "
                                        << two);
        cpu::ExpertRule rule = rule_of(experts, std::min(8, experts / groups * kept), two);
        rule.groups = groups;
        rule.kept_groups = kept;
        rule.two_a_group = two;
        rule.normalised = two;
        const std::vector<float> bias = random_floats(static_cast<std::size_t>(experts), random, 0.1F);
        rule.bias = bias.data();
        TestedRouter router(rule, 33, false);
        std::vector<float> logits = random_floats(router.logits.size(), random);
        for (std::size_t i = 0; i < logits.size() / 2; ++i) { logits[i] = std::round(logits[i]); }  // many are equal
        expect_plan(router, logits);
        if (HasFatalFailure()) { return; }
      }
    }
  }
}

TEST_F(Router, EqualScoresGoToTheLowerIndexAndWhatIsNoNumberComesLast) {
  Random random(3);
  for (const bool sigmoid : {false, true}) {
    for (const int experts : {8, 64, 256}) {
      SCOPED_TRACE(testing::Message() << experts << " experts, sigmoid " << sigmoid);
      TestedRouter router(rule_of(experts, 8, sigmoid), 9, true);
      std::vector<float> logits = random_floats(router.logits.size(), random);
      const auto row = [&](std::size_t r) { return logits.begin() + static_cast<std::ptrdiff_t>(r) * experts; };
      std::fill(row(0), row(1), 1.5F);
      std::fill(row(1), row(2), kNan);
      for (int i = 0; i < experts; i += 3) { row(2)[i] = kNan; }
      for (int i = 0; i < experts; ++i) { row(3)[i] = i == 5 ? 1.0F : kNan; }
      for (int i = 0; i < experts; ++i) { row(4)[i] = i % 2 == 0 ? 0.0F : -0.0F; }
      for (int i = 0; i < experts; ++i) { row(5)[i] = -200.0F; }  // sigmoids of almost nothing
      row(6)[3] = std::numeric_limits<float>::infinity();
      row(7)[experts - 1] = -std::numeric_limits<float>::infinity();
      for (int i = 0; i < experts; ++i) { row(8)[i] = static_cast<float>(i % 4); }
      expect_plan(router, logits);
    }
  }
}

TEST_F(Router, ACorrectionChoosesAndDoesNotWeigh) {
  Random random(4);
  cpu::ExpertRule rule = rule_of(64, 4, true);
  rule.normalised = true;
  for (const float centre : {11.5F, -3.0F}) {
    std::vector<float> bias(64);
    for (float& b : bias) { b = centre + normal(random, 0.3F); }
    rule.bias = bias.data();
    TestedRouter router(rule, 16, true);
    std::vector<float> logits(router.logits.size());
    for (float& x : logits) { x = -18.0F + normal(random); }  // sigmoids about 1e-8
    expect_plan(router, logits);
  }
}

TEST_F(Router, RowsThatAreNotActiveTouchNoExpert) {
  Random random(5);
  TestedRouter router(rule_of(64, 4, true), 24, true);
  std::vector<std::uint8_t> active(24, 1);
  for (const std::size_t row : {3U, 4U, 17U, 23U}) { active[row] = 0; }
  router.set_active(active);
  std::vector<float> logits = random_floats(router.logits.size(), random);
  std::fill(logits.begin() + 3 * 64, logits.begin() + 5 * 64, kNan);
  expect_plan(router, logits);
  router.set_active(std::vector<std::uint8_t>(24, 0));
  expect_plan(router, logits);
}

TEST_F(Router, ManyRowsAreListed) {
  Random random(6);
  for (const int experts : {4, 64, 512}) {
    TestedRouter router(rule_of(experts, 4, true), 1024, true);
    expect_plan(router, random_floats(router.logits.size(), random));
  }
}

TEST_F(Router, LogitsAreProductsWhoseBitsDependOnTheRowAlone) {
  Random random(7);
  for (const int hidden : {8, 64, 1000, 2048, 3072}) {
    for (const int experts : {4, 60, 256}) {
      SCOPED_TRACE(testing::Message() << "hidden " << hidden << " experts " << experts);
      constexpr int kRows = 19;
      const auto width = static_cast<std::size_t>(hidden);
      const std::vector<Bf16> x = random_bf16(kRows * width, random);
      const std::vector<float> w = random_floats(static_cast<std::size_t>(experts) * width, random, 0.05F);
      const DeviceArray<Bf16> device_x(x);
      const DeviceArray<float> device_w(w);
      TestedRouter router(rule_of(experts, 1, true), kRows, false);
      router.args.x = device_x.data();
      router.args.router = device_w.data();
      router.args.hidden = hidden;
      router.logits.poison();
      ASSERT_EQ(router_logits(router.args, nullptr), cudaSuccess);
      finish();
      const std::vector<float> logits = router.logits.read();
      for (std::size_t row = 0; row < kRows; ++row) {
        for (std::size_t e = 0; e < static_cast<std::size_t>(experts); ++e) {
          double sum = 0;
          for (std::size_t i = 0; i < width; ++i) {
            sum += value(x[row * width + i]) * static_cast<double>(w[e * width + i]);
          }
          ASSERT_NEAR(static_cast<double>(logits[row * static_cast<std::size_t>(experts) + e]), sum, 2e-5);
        }
      }
      router.args.rows = 1;
      router.args.x = device_x.data() + 18 * width;
      ASSERT_EQ(router_logits(router.args, nullptr), cudaSuccess);
      finish();
      const std::vector<float> alone = router.logits.read();
      for (std::size_t e = 0; e < static_cast<std::size_t>(experts); ++e) {
        ASSERT_EQ(alone[e], logits[18 * static_cast<std::size_t>(experts) + e]);
      }
    }
  }
}

}  // namespace
}  // namespace vortex::cuda
