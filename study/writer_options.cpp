#include "study/writer_options.h"

#include "base/json_reader.h"

namespace vortex::study {

nlohmann::json to_json(const WriterOptions& options) {
  return {{"mode", options.mode},
          {"repairs", options.repairs},
          {"notebook_tokens", options.notebook_tokens},
          {"prompts_folder", options.prompts_folder},
          {"models", options.models},
          {"command", options.command},
          {"command_seconds", options.command_seconds},
          {"replies_folder", options.replies_folder},
          {"record_folder", options.record_folder},
          {"fallback", options.fallback}};
}

Result<WriterOptions> writer_options_from_json(const nlohmann::json& json) {
  WriterOptions options;
  JsonReader reader(json, "search.writer");
  reader.optional("mode", options.mode);
  if (options.mode != "iterate" && options.mode != "innovate") { reader.refuse("mode", "must be iterate or innovate"); }
  reader.optional("repairs", options.repairs);
  reader.optional("notebook_tokens", options.notebook_tokens);
  reader.optional("prompts_folder", options.prompts_folder);
  reader.optional("models", options.models);
  reader.optional("command", options.command);
  reader.optional("command_seconds", options.command_seconds);
  reader.optional("replies_folder", options.replies_folder);
  reader.optional("record_folder", options.record_folder);
  reader.optional("fallback", options.fallback);
  if (options.fallback != "none" && options.fallback != "evolve") {
    reader.refuse("fallback", "must be none or evolve");
  }
  VORTEX_TRY(reader.finish());
  return options;
}

}  // namespace vortex::study
