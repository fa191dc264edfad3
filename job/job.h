#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "job/stage.h"
#include "job/task_spec.h"

namespace vortex::job {

// Another candidate that a new one is held against before it races: what its recall stage measured.
struct Rival {
  int64_t candidate = 0;
  double answer_bytes = 0;        // of answering the task's problems, by the limit model
  std::vector<double> answer_kl;  // of each problem's right answer, in nats a token; in the order of the problems
};

// One candidate for a worker. The dense baseline is a Job with `dense` set and no policy.
struct Job {
  std::string id;
  bool dense = false;
  std::string module_text;
  std::string config_text;
  std::string model_path;
  TaskSpec task;
  std::vector<Stage> stages;                 // in climbing order; the first that does not pass ends the climb
  uint64_t seed = 0;                         // of sampling, validation inputs and bootstraps
  std::string prefix_folder;                 // shared dense prefills; empty: none kept
  int64_t prefix_bytes = int64_t{16} << 30;  // of prefills kept there, besides the job's own; those used longest ago go
  std::vector<Outcome>
      incumbent;                // outcomes of the dense baseline, search and held-out: race and confirm pair with these
  double race_margin = 0.25;    // pruned once the interval of the paired difference lies below -race_margin
  std::vector<Rival> rivals;    // pruned at recall where it reads no less than one and takes right answers surely worse
  std::string device = "auto";  // cuda, cpu, or auto: cuda where there is a device for it
  std::string cpu_math = "float32";  // of products on the CPU: float32, or bf16 on the processor's bfloat16 units
  int tensor_parallel = 1;           // ranks that the model is spread over (docs/tensor-parallel.md)
  int device_sharers = 1;            // workers on the same GPU, this one among them: its memory is divided by so many
  int threads = 1;
  int batch = 16;
  int recall_problems = 4;        // of the task's first ones
  int recall_tokens = 256;        // of a dense trace at most
  int recall_answer_tokens = 48;  // of a right answer at most
  bool recall_heads = false;      // look at every kv head while right answers are written
  bool recall_ceiling = true;     // answer with the oracle's pages, too, where the engine has them
  std::vector<TaskSpec> gate;     // what the gate stage asks; needed where it is a stage
  double gate_bar = 0.85;         // share of dense attention's accuracy there that must be in reach
  int speed_tokens = 48;          // tokens that every request of the speed stage decodes: fixed work
  // Wall time that the speed stage may take, but for the fewest turns that give an interval.
  double speed_seconds = 3.0;
  double speed_precision = 0.01;  // it ends when half the interval of the ratio is this share of it
  uint64_t confirm_seed = 0;      // of the held-out problems; must differ from task.seed where confirm is a stage
  int confirm_problems = 0;       // 0: as many as the task has
  std::optional<TaskSpec> confirm_task;  // held-out problems; absent: the task with confirm_seed and confirm_problems
  int64_t kv_memory_bytes = 0;
  int turn_descriptor = -1;  // a lock that its worker inherits (base/process_lock.h): who measures on the GPU; -1: none
  nlohmann::json kept;       // what its worker inherits of a keeper (evals/ladder/kept.h); null: nothing
};

// JSON both ways. Reading is strict: unknown keys, wrong types and values out of range are refused by name. Members
// that are absent keep their defaults, except id, model_path and stages, which must be there.
nlohmann::json to_json(const Job& job);
Result<Job> job_from_json(const nlohmann::json& json);

}  // namespace vortex::job
