#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace vortex::sandbox {

// What holds a worker, one wall behind the other. docs/security.md says what each of them stops.
enum class Layer {
  kNamespaces,  // user, mount, pid, ipc, uts and net namespaces, through bubblewrap
  kUser,        // no root: another user, or at least no capabilities
  kLandlock,    // files, TCP ports, abstract sockets and signals, by rules of the kernel
  kSeccomp,     // system calls, by a list
  kCgroups,     // memory and processes of the whole tree
  kLimits,      // rlimits: address space, CPU time, file size, descriptors
};
inline constexpr std::array kLayers = {Layer::kNamespaces, Layer::kUser,    Layer::kLandlock,
                                       Layer::kSeccomp,    Layer::kCgroups, Layer::kLimits};

enum class LayerState {
  kActive,
  kPartly,       // `detail` says what is missing
  kUnavailable,  // `detail` says why
  kOff,          // the user switched it off
};

struct LayerReport {
  Layer layer = Layer::kNamespaces;
  LayerState state = LayerState::kUnavailable;
  std::string detail;
};

std::string_view layer_name(Layer layer);
std::string_view layer_state_name(LayerState state);
std::optional<Layer> layer_from_name(std::string_view name);

}  // namespace vortex::sandbox
