#include "fleet/setup.h"

#include "base/json_reader.h"

namespace vortex::fleet {

nlohmann::json to_json(const Setup& setup) {
  nlohmann::json ahead = nlohmann::json::array();
  for (const job::TaskSpec& task : setup.ahead) { ahead.push_back(job::to_json(task)); }
  return {{"model", to_json(setup.model)},
          {"job", job::to_json(setup.job)},
          {"ahead", ahead},
          {"keep", setup.keep},
          {"stage_seconds", setup.stage_seconds},
          {"memory_bytes", setup.memory_bytes},
          {"silence_seconds", setup.silence_seconds},
          {"require_sandbox", setup.require_sandbox},
          {"sandbox_without", setup.sandbox_without}};
}

Result<Setup> setup_from_json(const nlohmann::json& json) {
  Setup setup;
  JsonReader reader(json, "setup");
  const nlohmann::json* model = reader.find("model", true);
  const nlohmann::json* job = reader.find("job", true);
  const nlohmann::json* ahead = reader.find("ahead", true);
  reader.required("keep", setup.keep);
  reader.required("stage_seconds", setup.stage_seconds);
  reader.required("memory_bytes", setup.memory_bytes);
  reader.required("silence_seconds", setup.silence_seconds);
  reader.required("require_sandbox", setup.require_sandbox);
  reader.required("sandbox_without", setup.sandbox_without);
  if (ahead != nullptr && !ahead->is_array()) { reader.refuse("ahead", "must be an array of tasks"); }
  VORTEX_TRY(reader.finish());
  VORTEX_ASSIGN(setup.model, manifest_from_json(*model));
  VORTEX_ASSIGN(setup.job, job::job_from_json(*job));
  for (const nlohmann::json& task : *ahead) {
    VORTEX_ASSIGN(job::TaskSpec read, job::task_from_json(task, "setup.ahead"));
    setup.ahead.push_back(std::move(read));
  }
  return setup;
}

}  // namespace vortex::fleet
