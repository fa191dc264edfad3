#include "job/serving.h"

#include <set>

#include "base/json_reader.h"
#include "job/limits.h"

namespace vortex::job {
namespace {

constexpr int kMaxPort = 65535;
constexpr int kMaxCount = 1 << 20;

void read_policies(JsonReader& reader, std::vector<ServedPolicy>& policies) {
  const nlohmann::json* array = reader.find("policies", false);
  if (array == nullptr) { return; }
  if (!array->is_array()) { return reader.refuse("policies", "must be a list of policies"); }
  std::set<std::string> names = {"dense"};
  for (const nlohmann::json& item : *array) {
    ServedPolicy& policy = policies.emplace_back();
    JsonReader member(item, reader.path() + ".policies");
    member.required("name", policy.name);
    member.required("module_text", policy.module_text);
    member.required("config_text", policy.config_text);
    reader.take(member.finish());
    if (!names.insert(policy.name).second) { return reader.refuse("policies", "has two policies of one name"); }
  }
}

void read_origins(JsonReader& reader, std::vector<std::string>& origins) {
  const nlohmann::json* array = reader.find("allowed_origins", false);
  if (array == nullptr) { return; }
  if (!array->is_array()) { return reader.refuse("allowed_origins", "must be a list of texts"); }
  for (const nlohmann::json& item : *array) {
    if (!item.is_string()) { return reader.refuse("allowed_origins", "must be a list of texts"); }
    origins.push_back(item.get<std::string>());
  }
}

}  // namespace

nlohmann::json to_json(const ServingJob& job) {
  nlohmann::json policies = nlohmann::json::array();
  for (const ServedPolicy& policy : job.policies) {
    policies.push_back(
        {{"name", policy.name}, {"module_text", policy.module_text}, {"config_text", policy.config_text}});
  }
  return {{"model_path", job.model_path},
          {"model_name", job.model_name},
          {"policies", policies},
          {"address", job.address},
          {"port", job.port},
          {"allowed_origins", job.allowed_origins},
          {"device", job.device},
          {"cpu_math", job.cpu_math},
          {"threads", job.threads},
          {"batch", job.batch},
          {"queue", job.queue},
          {"max_context", job.max_context},
          {"kv_memory_bytes", job.kv_memory_bytes},
          {"chunk_tokens", job.chunk_tokens},
          {"chunk_ms", job.chunk_ms},
          {"decode_share", job.decode_share},
          {"share_patience", job.share_patience},
          {"prefix_cache", job.prefix_cache},
          {"pack_prompts", job.pack_prompts},
          {"request_seconds", job.request_seconds},
          {"drain_seconds", job.drain_seconds}};
}

Result<ServingJob> serving_job_from_json(const nlohmann::json& json) {
  ServingJob job;
  JsonReader reader(json, "serving");
  reader.required("model_path", job.model_path);
  reader.required("model_name", job.model_name);
  read_policies(reader, job.policies);
  reader.optional("address", job.address);
  reader.optional("port", job.port);
  read_origins(reader, job.allowed_origins);
  reader.optional("device", job.device);
  reader.optional("cpu_math", job.cpu_math);
  reader.optional("threads", job.threads);
  reader.optional("batch", job.batch);
  reader.optional("queue", job.queue);
  reader.optional("max_context", job.max_context);
  reader.optional("kv_memory_bytes", job.kv_memory_bytes);
  reader.optional("chunk_tokens", job.chunk_tokens);
  reader.optional("chunk_ms", job.chunk_ms);
  reader.optional("decode_share", job.decode_share);
  reader.optional("share_patience", job.share_patience);
  reader.optional("prefix_cache", job.prefix_cache);
  reader.optional("pack_prompts", job.pack_prompts);
  reader.optional("request_seconds", job.request_seconds);
  reader.optional("drain_seconds", job.drain_seconds);
  if (job.device != "auto" && job.device != "cuda" && job.device != "cpu") {
    reader.refuse("device", "must be auto, cuda or cpu");
  }
  check_range(reader, "port", job.port, 0, kMaxPort);
  check_range(reader, "threads", job.threads, 1, kMaxCount);
  check_range(reader, "batch", job.batch, 1, kMaxCount);
  check_range(reader, "queue", job.queue, 0, kMaxCount);
  check_range(reader, "max_context", job.max_context, 0, kMaxCount);
  check_range(reader, "chunk_tokens", job.chunk_tokens, 0, kMaxCount);
  check_range(reader, "chunk_ms", job.chunk_ms, -1, 1e9);
  check_range(reader, "decode_share", job.decode_share, 0, 0.95);
  check_range(reader, "share_patience", job.share_patience, 0, 1e6);
  check_range(reader, "kv_memory_bytes", static_cast<double>(job.kv_memory_bytes), 0, 1e15);
  VORTEX_TRY(reader.finish());
  return job;
}

}  // namespace vortex::job
