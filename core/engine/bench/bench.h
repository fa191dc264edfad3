// The engine's benchmark program: decode steps, a trace of requests, a policy beside dense attention on such a trace,
// a served load. Weights are random at a named
// geometry, or a checkpoint's shape; every line says how near the time comes to the limit model (core/engine/limit.h).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "core/engine/engine.h"
#include "core/engine/limit.h"
#include "core/engine/stepper.h"
#include "core/engine/tensor_parallel.h"
#include "core/engine/workload/plan.h"
#include "core/engine/workload/timing.h"
#include "core/model/model.h"
#include "core/vflow/policy.h"

namespace vortex::bench {

struct Options {
  std::string device = "auto";          // auto, cuda, cpu
  std::string geometry = "qwen3-1.7b";  // a named one, or a folder with a config.json
  int layers = 0;                       // of it, the first ones; 0: all
  bool fp8_experts = false;             // its experts as a checkpoint in fp8 has them
  std::string policy;                   // a vFlow .py file; empty: dense
  std::string config;                   // its .json; empty: beside it
  std::string kv = "";                  // bfloat16, float32, fp8_e4m3, fp8_e5m2; empty: the policy's own
  int pages = 0;                        // attended per row, whatever the length; 0: the policy's own budget
  double ratio = -1;                    // budget as a share of the pages; < 0: the policy's own
  std::vector<int> dense_layers;        // of the policy, where pages or ratio are given
  int max_batch = 64;
  int max_context = 17408;
  double kv_gigabytes = 0;  // 0: what the batch needs, or all that is free
  int threads = 1;
  int ranks = 1;                     // that the model is spread over: devices, or threads of the CPU
  std::string cpu_math = "float32";  // as cpu_math.h names it
  bool batch_invariant = false;
  int row_pieces = 4;  // with batch_invariant: thread blocks that a row of attention may be spread over
  int steps = 8;       // decode steps a sample
  int samples = 11;
  std::vector<std::string> shapes;  // step, recall, ranks: REQUESTSxTOKENS; prompt: TOKENS
  // step: stages to leave out, one after the other, each a line beside the whole step's
  std::vector<std::string> without;
  // trace
  int requests = 480;
  double mean_output = 12600;
  double sigma = 0.6;  // of the logarithm
  int longest_output = 32000;
  int prompt = 150;
  double scale = 1;      // of the number of requests
  int windows = 32;      // places of the trace at which the step time is measured; 0: run all of it
  bool warm_up = false;  // with windows 0: run it once before
  // workload
  double precision = 0.01;
  double seconds = 30;
  uint64_t seed = 1;
  // serve-sim
  double rate = 1;  // requests a second
  int outputs = 256;
  double prompt_sigma = 0;  // of the logarithm of a prompt's tokens; 0: all alike
  double output_sigma = 0;
  double chunk_milliseconds = 20;  // of prompts between two decode steps; 0: a whole prompt
  double decode_share = 0;         // of the time that somebody decodes, that steps have at least
  double share_patience = 0;  // seconds of waiting after which a prompt is read all the same; 0: no matter how long
  // recall (with outputs)
  int look_every = 8;  // decode steps between two looks at the softmax
  // regress
  std::string tree = ".";         // where examples/ and docs/ are
  std::string speed_register;     // a folder; empty: docs/benchmarks/register of the tree
  std::vector<std::string> only;  // cases; empty: all
  bool record = false;            // write the device's file
  int runs = 0;                   // with an engine made anew for each; 0: 1, with `record` 3
  int turns = 9;
  std::string build;  // what was measured: a commit
  std::string format = "text";
  bool progress = false;         // say on stderr what is done, and when
  std::string json;              // a file to which the lines are appended as one JSON object
  bool cublas_only = false;      // matrix products by cuBLASLt alone
  int prompt_chunk = 0;          // tokens of a prompt that are computed together; 0: as the engine likes it
  bool plain_attention = false;  // prompts attend by the kernel that takes every type
};

// One measured line.
struct Record {
  std::string what;
  std::string shape;
  std::string policy;
  double seconds = 0;  // median, of one step unless `what` says otherwise
  double fastest = 0;
  double slowest = 0;
  double bytes = 0;  // by the limit model
  double limit = 0;  // the least time as bytes that a copy moves (limit_bytes); 0: as long as these bytes take
  double tokens_per_second = 0;
};

class Report {
 public:
  Report(const Options& options, const std::string& device, double copy_bytes_per_second);
  void add(const Record& record);
  // A number that is no step: name, value, unit.
  void add_value(const std::string& name, double value, const std::string& unit);
  void note(const std::string& text);  // on stderr
  // Prints what the format prints at the end, and appends to the file. Until then FILE.part has what there is, for who
  // ends this program before.
  Status finish();

 private:
  std::string object() const;
  void keep(const std::string& line);

  std::string format_;
  std::string file_;
  std::string device_;  // and the geometry
  double copy_;
  std::string json_;
};

// The model's shape and the policy as the options ask for it.
Result<model::ModelConfig> find_geometry(const Options& options);
Result<std::optional<vflow::Policy>> find_policy(const Options& options, const model::ModelConfig& model);
std::string policy_name(const Options& options, const std::optional<vflow::Policy>& policy);
Result<vflow::Dtype> kv_dtype_of(const Options& options);

// With options.progress: `done` on stderr, behind the seconds since the first thing that was said.
void say(const Options& options, const std::string& done);

Result<bool> wants_cuda(const Options& options);
// Its name, without what changes from day to day: "NVIDIA H100 80GB HBM3", "Some CPU, 1 thread, avx512".
Result<std::string> device_name(const Options& options);
engine::EngineOptions engine_options(const Options& options);
Result<std::unique_ptr<engine::Engine>> make_engine(const Options& options, const model::ModelConfig& model);
// An engine under a policy, a view of it that takes steps, and the bytes a second that its device copies.
struct Rig {
  std::unique_ptr<engine::Engine> engine;
  std::unique_ptr<engine::Stepper> stepper;
  double copy = 0;
};
Result<Rig> make_rig(const Options& options, const model::ModelConfig& model,
                     const std::optional<vflow::Policy>& policy);
// Of a model with weights: on one device, whatever options.ranks says, or on that many ranks.
Result<std::unique_ptr<engine::Engine>> make_engine_of(const Options& options, const model::Model& model);
Result<engine::RankEngines> make_ranks_of(const Options& options, const model::Model& model);
// How `step` and `trace` time: so many samples of so many steps, on requests of one length or in windows of a plan.
engine::StepSampling step_sampling(const Options& options);
engine::PlanSampling trace_sampling(const Options& options);
// The requests of `trace` and `workload`.
std::vector<engine::RequestLength> trace_requests(const Options& options);
Status check_fits(int prompt, int answer, int context);
Status check_trace_fits(const Options& options);

// The benchmarks.
Status bench_step(const Options& options);
Status bench_prompt(const Options& options);
Status bench_trace(const Options& options);
Status bench_workload(const Options& options);
Status bench_serve(const Options& options);
Status bench_recall(const Options& options);
Status bench_math(const Options& options);
Status bench_ranks(const Options& options);
Status bench_regress(const Options& options);

// A batch of equal requests, as REQUESTSxTOKENS says it.
struct BatchShape {
  int requests = 0;
  int tokens = 0;
};
Result<BatchShape> parse_shape(const std::string& text);
engine::Batch batch_of(const BatchShape& shape);

}  // namespace vortex::bench
