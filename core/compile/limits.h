// What each backend covers, for checks that come before an engine is made. Needs no device and no toolkit.
#pragma once

#include "core/vflow/policy.h"

namespace vortex::compile {

vflow::BackendLimits cuda_limits();
vflow::BackendLimits cpu_limits();

}  // namespace vortex::compile
