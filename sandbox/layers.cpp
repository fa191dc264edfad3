#include "sandbox/layers.h"

namespace vortex::sandbox {

std::string_view layer_name(Layer layer) {
  switch (layer) {
    case Layer::kNamespaces:
      return "namespaces";
    case Layer::kUser:
      return "user";
    case Layer::kLandlock:
      return "landlock";
    case Layer::kSeccomp:
      return "seccomp";
    case Layer::kCgroups:
      return "cgroups";
    case Layer::kLimits:
      break;
  }
  return "limits";
}

std::string_view layer_state_name(LayerState state) {
  switch (state) {
    case LayerState::kActive:
      return "active";
    case LayerState::kPartly:
      return "partly";
    case LayerState::kUnavailable:
      return "unavailable";
    case LayerState::kOff:
      break;
  }
  return "off";
}

std::optional<Layer> layer_from_name(std::string_view name) {
  for (const Layer layer : kLayers) {
    if (layer_name(layer) == name) { return layer; }
  }
  return std::nullopt;
}

}  // namespace vortex::sandbox
