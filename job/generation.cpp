#include "job/generation.h"

#include "job/limits.h"

namespace vortex::job {
namespace {

constexpr int kMaxBatch = 100'000;

std::string_view end_name(TokenEnd end) {
  if (end == TokenEnd::kGoesOn) { return ""; }
  return end == TokenEnd::kStopToken ? "stop" : "length";
}

void read_prompts(JsonReader& reader, std::vector<std::vector<int32_t>>& prompts) {
  const nlohmann::json* array = reader.find("prompts", true);
  if (array == nullptr) { return; }
  if (!array->is_array() || array->empty()) { return reader.refuse("prompts", "must be a list of prompts"); }
  for (const nlohmann::json& item : *array) {
    if (!item.is_array() || item.empty()) { return reader.refuse("prompts", "must not have an empty prompt"); }
    std::vector<int32_t>& prompt = prompts.emplace_back();
    for (const nlohmann::json& id : item) {
      if (!id.is_number_unsigned() || id.get<uint64_t>() > INT32_MAX) {
        return reader.refuse("prompts", "has a token that is none");
      }
      prompt.push_back(id.get<int32_t>());
    }
  }
}

}  // namespace

nlohmann::json to_json(const GenerationJob& job) {
  return {{"model_path", job.model_path},
          {"dense", job.dense},
          {"module_text", job.module_text},
          {"config_text", job.config_text},
          {"prompts", job.prompts},
          {"max_new_tokens", job.max_new_tokens},
          {"temperature", job.temperature},
          {"top_p", job.top_p},
          {"top_k", job.top_k},
          {"seed", job.seed},
          {"device", job.device},
          {"cpu_math", job.cpu_math},
          {"tensor_parallel", job.tensor_parallel},
          {"threads", job.threads},
          {"batch", job.batch}};
}

Result<GenerationJob> generation_job_from_json(const nlohmann::json& json) {
  GenerationJob job;
  JsonReader reader(json, "generation");
  reader.required("model_path", job.model_path);
  reader.optional("dense", job.dense);
  reader.optional("module_text", job.module_text);
  reader.optional("config_text", job.config_text);
  read_prompts(reader, job.prompts);
  reader.optional("max_new_tokens", job.max_new_tokens);
  reader.optional("temperature", job.temperature);
  reader.optional("top_p", job.top_p);
  reader.optional("top_k", job.top_k);
  reader.optional("seed", job.seed);
  reader.optional("device", job.device);
  reader.optional("cpu_math", job.cpu_math);
  reader.optional("tensor_parallel", job.tensor_parallel);
  reader.optional("threads", job.threads);
  reader.optional("batch", job.batch);
  check_range(reader, "max_new_tokens", job.max_new_tokens, 1, kMaxTokens);
  if (job.cpu_math != "float32" && job.cpu_math != "bf16") { reader.refuse("cpu_math", "must be float32 or bf16"); }
  check_range(reader, "tensor_parallel", job.tensor_parallel, 1, kMaxRanks);
  check_range(reader, "threads", job.threads, 1, kMaxThreads);
  check_range(reader, "batch", job.batch, 1, kMaxBatch);
  if (!job.dense && !job.has_policy()) { reader.refuse("dense", "must be true where there is no policy"); }
  VORTEX_TRY(reader.finish());
  return job;
}

nlohmann::json to_json(const NewToken& token) {
  nlohmann::json json = {{"event", "token"}, {"dense", token.dense}, {"prompt", token.prompt}, {"id", token.id}};
  if (token.end != TokenEnd::kGoesOn) { json["end"] = end_name(token.end); }
  return json;
}

Result<NewToken> new_token_from_json(const nlohmann::json& json) {
  NewToken token;
  std::string event;
  std::string end;
  JsonReader reader(json, "token");
  reader.required("event", event);
  reader.required("dense", token.dense);
  reader.required("prompt", token.prompt);
  reader.required("id", token.id);
  reader.optional("end", end);
  if (token.id < 0) { reader.refuse("id", "is out of range"); }
  if (end == "stop") { token.end = TokenEnd::kStopToken; }
  if (end == "length") { token.end = TokenEnd::kLength; }
  if (end != end_name(token.end)) { reader.refuse("end", "must be stop or length"); }
  VORTEX_TRY(reader.finish());
  return token;
}

nlohmann::json to_json(const GenerationRun& run) {
  return {{"event", "run"},
          {"dense", run.dense},
          {"prompt_tokens", run.prompt_tokens},
          {"new_tokens", run.new_tokens},
          {"prefill_seconds", run.prefill_seconds},
          {"decode_seconds", run.decode_seconds},
          {"pages_visible", run.pages_visible},
          {"pages_attended", run.pages_attended}};
}

Result<GenerationRun> generation_run_from_json(const nlohmann::json& json) {
  GenerationRun run;
  std::string event;
  JsonReader reader(json, "run");
  reader.required("event", event);
  reader.required("dense", run.dense);
  reader.required("prompt_tokens", run.prompt_tokens);
  reader.required("new_tokens", run.new_tokens);
  reader.required("prefill_seconds", run.prefill_seconds);
  reader.required("decode_seconds", run.decode_seconds);
  reader.required("pages_visible", run.pages_visible);
  reader.required("pages_attended", run.pages_attended);
  VORTEX_TRY(reader.finish());
  return run;
}

}  // namespace vortex::job
