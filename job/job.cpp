#include "job/job.h"

#include <algorithm>

#include "job/limits.h"

namespace vortex::job {
namespace {

constexpr int kMaxDescriptor = 1024;

void read_stages(JsonReader& reader, std::vector<Stage>& stages) {
  const nlohmann::json* array = reader.find("stages", true);
  if (array == nullptr) { return; }
  if (!array->is_array()) { return reader.refuse("stages", "must be an array of stage names"); }
  for (const nlohmann::json& item : *array) {
    const auto stage = item.is_string() ? stage_from_name(item.get<std::string>()) : std::nullopt;
    if (!stage) { return reader.refuse("stages", "has an unknown stage: " + item.dump()); }
    if (!stages.empty() && *stage <= stages.back()) {
      return reader.refuse("stages", "must be in climbing order, each stage once");
    }
    stages.push_back(*stage);
  }
}

void read_incumbent(JsonReader& reader, std::vector<Outcome>& incumbent) {
  const nlohmann::json* array = reader.find("incumbent", false);
  if (array == nullptr) { return; }
  if (!array->is_array()) { return reader.refuse("incumbent", "must be an array of outcomes"); }
  for (size_t i = 0; i < array->size(); ++i) {
    Result<Outcome> outcome = outcome_from_json((*array)[i], reader.path() + ".incumbent[" + std::to_string(i) + "]");
    if (!outcome.ok()) { return reader.take(outcome.error()); }
    incumbent.push_back(std::move(outcome).value());
  }
}

void read_rivals(JsonReader& reader, std::vector<Rival>& rivals) {
  const nlohmann::json* array = reader.find("rivals", false);
  if (array == nullptr) { return; }
  if (!array->is_array()) { return reader.refuse("rivals", "must be an array"); }
  for (size_t i = 0; i < array->size(); ++i) {
    Rival rival;
    JsonReader one((*array)[i], reader.path() + ".rivals[" + std::to_string(i) + "]");
    one.required("candidate", rival.candidate);
    one.required("answer_bytes", rival.answer_bytes);
    if (const nlohmann::json* values = one.find("answer_kl", true)) {
      const bool numbers = values->is_array() && std::all_of(values->begin(), values->end(),
                                                             [](const nlohmann::json& v) { return v.is_number(); });
      if (!numbers) { one.refuse("answer_kl", "must be an array of numbers"); }
      if (numbers) { values->get_to(rival.answer_kl); }
    }
    if (const Status read = one.finish(); !read.ok()) { return reader.take(read); }
    rivals.push_back(std::move(rival));
  }
}

void read_task(JsonReader& reader, const nlohmann::json& json, const std::string& path, TaskSpec& task) {
  Result<TaskSpec> read = task_from_json(json, path);
  if (!read.ok()) { return reader.take(read.error()); }
  task = std::move(read).value();
}

void read_tasks(JsonReader& reader, Job& job) {
  if (const nlohmann::json* task = reader.find("task", false)) { read_task(reader, *task, "task", job.task); }
  if (const nlohmann::json* task = reader.find("confirm_task", false)) {
    read_task(reader, *task, reader.path() + ".confirm_task", job.confirm_task.emplace());
  }
  const nlohmann::json* gate = reader.find("gate", false);
  if (gate == nullptr) { return; }
  if (!gate->is_array()) { return reader.refuse("gate", "must be an array of tasks"); }
  for (size_t i = 0; i < gate->size(); ++i) {
    read_task(reader, (*gate)[i], reader.path() + ".gate[" + std::to_string(i) + "]", job.gate.emplace_back());
  }
}

void check_job_ranges(JsonReader& reader, const Job& job) {
  if (job.id.empty()) { reader.refuse("id", "must not be empty"); }
  if (job.dense && !(job.module_text.empty() && job.config_text.empty())) {
    reader.refuse("dense", "excludes a policy: dense attention has none");
  }
  check_range(reader, "race_margin", job.race_margin, 0.0, 1.0);
  if (job.device != "auto" && job.device != "cuda" && job.device != "cpu") {
    reader.refuse("device", "must be auto, cuda or cpu");
  }
  if (job.cpu_math != "float32" && job.cpu_math != "bf16") { reader.refuse("cpu_math", "must be float32 or bf16"); }
  check_range(reader, "tensor_parallel", job.tensor_parallel, 1, kMaxRanks);
  check_range(reader, "device_sharers", job.device_sharers, 1, kMaxThreads);
  check_range(reader, "turn_descriptor", job.turn_descriptor, -1, kMaxDescriptor);
  check_range(reader, "threads", job.threads, 1, kMaxThreads);
  check_range(reader, "batch", job.batch, 1, kMaxProblems);
  check_range(reader, "recall_problems", job.recall_problems, 1, kMaxProblems);
  check_range(reader, "recall_tokens", job.recall_tokens, 1, kMaxTokens);
  check_range(reader, "recall_answer_tokens", job.recall_answer_tokens, 1, kMaxTokens);
  check_range(reader, "gate_bar", job.gate_bar, 0.0, 1.0);
  const bool gates = std::find(job.stages.begin(), job.stages.end(), Stage::kGate) != job.stages.end();
  if (gates && job.gate.empty()) { reader.refuse("gate", "must not be empty where it is a stage"); }
  check_range(reader, "speed_tokens", job.speed_tokens, 1, kMaxTokens);
  check_range(reader, "confirm_problems", job.confirm_problems, 0, kMaxProblems);
  const bool confirms = !job.stages.empty() && job.stages.back() == Stage::kConfirm;
  if (confirms && !job.confirm_task && job.confirm_seed == job.task.seed) {
    reader.refuse("confirm_seed", "must differ from task.seed: these problems are to be held out");
  }
  check_range(reader, "speed_seconds", job.speed_seconds, 0.0, 86400.0);
  check_range(reader, "speed_precision", job.speed_precision, 0.0, 1.0);
  if (job.prefix_bytes < 0) { reader.refuse("prefix_bytes", "must not be negative"); }
  if (job.kv_memory_bytes < 0) { reader.refuse("kv_memory_bytes", "must not be negative"); }
}

}  // namespace

nlohmann::json to_json(const Job& job) {
  nlohmann::json json = {{"id", job.id},
                         {"dense", job.dense},
                         {"module_text", job.module_text},
                         {"config_text", job.config_text},
                         {"model_path", job.model_path},
                         {"task", to_json(job.task)},
                         {"stages", nlohmann::json::array()},
                         {"seed", job.seed},
                         {"prefix_folder", job.prefix_folder},
                         {"prefix_bytes", job.prefix_bytes},
                         {"incumbent", nlohmann::json::array()},
                         {"race_margin", job.race_margin},
                         {"device", job.device},
                         {"cpu_math", job.cpu_math},
                         {"tensor_parallel", job.tensor_parallel},
                         {"device_sharers", job.device_sharers},
                         {"turn_descriptor", job.turn_descriptor},
                         {"threads", job.threads},
                         {"batch", job.batch},
                         {"recall_problems", job.recall_problems},
                         {"recall_tokens", job.recall_tokens},
                         {"recall_answer_tokens", job.recall_answer_tokens},
                         {"recall_heads", job.recall_heads},
                         {"recall_ceiling", job.recall_ceiling},
                         {"gate_bar", job.gate_bar},
                         {"speed_tokens", job.speed_tokens},
                         {"speed_seconds", job.speed_seconds},
                         {"speed_precision", job.speed_precision},
                         {"confirm_seed", job.confirm_seed},
                         {"confirm_problems", job.confirm_problems},
                         {"kv_memory_bytes", job.kv_memory_bytes}};
  if (!job.kept.is_null()) { json["kept"] = job.kept; }
  if (!job.gate.empty()) { json["gate"] = nlohmann::json::array(); }
  for (const TaskSpec& task : job.gate) { json["gate"].push_back(to_json(task)); }
  if (job.confirm_task) { json["confirm_task"] = to_json(*job.confirm_task); }
  for (const Stage stage : job.stages) { json["stages"].push_back(stage_name(stage)); }
  for (const Outcome& outcome : job.incumbent) { json["incumbent"].push_back(to_json(outcome)); }
  for (const Rival& rival : job.rivals) {
    json["rivals"].push_back(
        {{"candidate", rival.candidate}, {"answer_bytes", rival.answer_bytes}, {"answer_kl", rival.answer_kl}});
  }
  return json;
}

Result<Job> job_from_json(const nlohmann::json& json) {
  Job job;
  JsonReader reader(json, "job");
  reader.required("id", job.id);
  reader.optional("dense", job.dense);
  reader.optional("module_text", job.module_text);
  reader.optional("config_text", job.config_text);
  reader.required("model_path", job.model_path);
  read_tasks(reader, job);
  read_stages(reader, job.stages);
  reader.optional("seed", job.seed);
  reader.optional("prefix_folder", job.prefix_folder);
  reader.optional("prefix_bytes", job.prefix_bytes);
  read_incumbent(reader, job.incumbent);
  read_rivals(reader, job.rivals);
  reader.optional("race_margin", job.race_margin);
  reader.optional("device", job.device);
  reader.optional("cpu_math", job.cpu_math);
  reader.optional("tensor_parallel", job.tensor_parallel);
  reader.optional("device_sharers", job.device_sharers);
  reader.optional("turn_descriptor", job.turn_descriptor);
  reader.optional("threads", job.threads);
  reader.optional("batch", job.batch);
  reader.optional("recall_problems", job.recall_problems);
  reader.optional("recall_tokens", job.recall_tokens);
  reader.optional("recall_answer_tokens", job.recall_answer_tokens);
  reader.optional("recall_heads", job.recall_heads);
  reader.optional("recall_ceiling", job.recall_ceiling);
  reader.optional("gate_bar", job.gate_bar);
  reader.optional("speed_tokens", job.speed_tokens);
  reader.optional("speed_seconds", job.speed_seconds);
  reader.optional("speed_precision", job.speed_precision);
  reader.optional("confirm_seed", job.confirm_seed);
  reader.optional("confirm_problems", job.confirm_problems);
  reader.optional("kv_memory_bytes", job.kv_memory_bytes);
  if (const nlohmann::json* kept = reader.find("kept", false)) {
    if (!kept->is_object()) { reader.refuse("kept", "must be an object"); }
    job.kept = *kept;
  }
  check_job_ranges(reader, job);
  VORTEX_TRY(reader.finish());
  return job;
}

}  // namespace vortex::job
