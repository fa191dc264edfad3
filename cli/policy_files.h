#pragma once

#include <string>

#include "base/result.h"
#include "core/vflow/policy.h"
#include "job/job.h"

namespace vortex::cli {

// The policy that a user names by its module; the configuration defaults to the .json beside it.
Result<vflow::PolicySource> read_policy(const std::string& module_path, const std::string& config_path);

// Can the configuration be read? If not, its diagnostics are the error's message.
Status check_config(const vflow::PolicySource& source);

// The model folder to check against: `model` if given, else the configuration's model_path.
Result<std::string> model_of(const vflow::PolicySource& source, const std::string& model);

// What a device covers: `device` is cpu, cuda, or auto, which is cuda where this machine has a device for it and this
// program's worker the kernels, and otherwise covers everything.
vflow::BackendLimits limits_of_device(const std::string& device);

// What the policies of a search are checked against: the longest request of its task and its memory.
Result<vflow::ModelGeometry> geometry_of_job(const job::Job& job);

// Reads and checks; the diagnostics of a refused policy are the error's message.
Result<vflow::Policy> checked_policy(const vflow::PolicySource& source, const vflow::ModelGeometry& model);

// Longest context that policies are checked for when nothing says otherwise, in tokens.
inline constexpr int kDefaultContext = 4608;

}  // namespace vortex::cli
