// The router of an expert layer with what it works on, for the tests of the choice and of the products.
#pragma once

#include "kernels/cpu/router.h"
#include "kernels/cuda/experts.h"
#include "tests/kernels/cuda/support.h"

namespace vortex::cuda {

inline constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

inline std::vector<float> random_floats(std::size_t count, Random& random, float scale = 1.0F) {
  std::vector<float> x(count);
  for (float& value : x) { value = normal(random, scale); }
  return x;
}

// What the router works on, and what it says, for any rule.
struct TestedRouter {
  RouteExperts args;
  DeviceArray<float> bias, logits, weights;
  DeviceArray<std::int32_t> experts, order, num_tiles;
  DeviceArray<ExpertTile> tiles;
  DeviceArray<std::uint32_t> arrived;
  DeviceArray<unsigned long long> touched;
  DeviceArray<std::uint8_t> active;
  std::vector<float> host_bias;
  std::vector<std::uint8_t> host_active;

  TestedRouter(const cpu::ExpertRule& rule, int rows, bool shared)
      : logits(static_cast<std::size_t>(rows * rule.experts)),
        weights(static_cast<std::size_t>(rows * rule.chosen)),
        experts(weights.size()),
        order(weights.size()),
        num_tiles(1),
        tiles(kMaxExpertTiles),
        arrived(std::vector<std::uint32_t>(1)),
        touched(std::vector<unsigned long long>(1)) {
    if (rule.bias != nullptr) { host_bias.assign(rule.bias, rule.bias + rule.experts); }
    bias = DeviceArray<float>(host_bias);
    args.rule = rule;
    args.rule.bias = host_bias.empty() ? nullptr : bias.data();
    args.rows = rows;
    args.hidden = 8;
    args.shared = shared;
    args.logits = logits.data();
    args.arrived = arrived.data();
    args.touched = touched.data();
    args.plan = {experts.data(), weights.data(), order.data(), tiles.data(), num_tiles.data()};
  }

  void set_active(const std::vector<std::uint8_t>& rows) {
    host_active = rows;
    active = DeviceArray<std::uint8_t>(rows);
    args.active = active.data();
  }

  void plan() {
    experts.poison();
    weights.poison();
    order.poison();
    tiles.poison();
    num_tiles.poison();
    ASSERT_EQ(plan_experts(args, nullptr), cudaSuccess);
    finish();
  }

  bool is_active(int row) const { return host_active.empty() || host_active[static_cast<std::size_t>(row)] != 0; }
};

inline cpu::ExpertRule rule_of(int experts, int chosen, bool sigmoid) {
  cpu::ExpertRule rule;
  rule.experts = experts;
  rule.chosen = chosen;
  rule.sigmoid = sigmoid;
  return rule;
}

}  // namespace vortex::cuda
