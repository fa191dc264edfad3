// The stages of a decode step by name, so that a profile can leave one out and see what the step then takes.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

namespace vortex::engine {

enum class Stage : std::uint8_t {
  kAttention,
  kSelect,    // scores and selection
  kProducts,  // the matrix products of the layers
  kSmall,     // norms and append
  kHead,      // the head's product and the sampler
  kPlanning,  // planning and counters
  kExchange,  // sums over ranks
};

inline constexpr std::array<std::string_view, 7> kStageNames = {"attention", "select",   "products", "small",
                                                                "head",      "planning", "exchange"};

inline std::optional<Stage> find_stage(std::string_view name) {
  for (std::size_t i = 0; i < kStageNames.size(); ++i) {
    if (kStageNames[i] == name) { return static_cast<Stage>(i); }
  }
  return std::nullopt;
}

}  // namespace vortex::engine
