#pragma once

#include <memory>

#include "core/vflow/config/schedule_code.h"
#include "core/vflow/source.h"

namespace vortex::vflow {

// Compiles the text of a `vortex_schedule_policy`. Null after a report.
std::shared_ptr<const ScheduleCode> parse_schedule(Reporter& reporter);

}  // namespace vortex::vflow
