#include "core/engine/device_choice.h"

namespace vortex::engine {

Result<DeviceChoice> choose_device(const std::string& wanted, const Status& found, const Status& covered) {
  if (wanted == "cpu") { return DeviceChoice{}; }
  if (wanted == "cuda") {
    VORTEX_TRY(found);
    VORTEX_TRY(covered);
    return DeviceChoice{true, {}};
  }
  if (!found.ok()) { return DeviceChoice{}; }
  if (!covered.ok()) { return DeviceChoice{false, covered.error().message}; }
  return DeviceChoice{true, {}};
}

}  // namespace vortex::engine
