#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "core/vflow/config/schedule.h"
#include "core/vflow/diagnostics.h"

namespace vortex::vflow {

enum class Dtype : uint8_t { kBf16, kFp16, kFp32, kFp8E5m2, kFp8E4m3 };
std::string_view dtype_name(Dtype dtype);
int dtype_bytes(Dtype dtype);

// The engine configuration of a policy: the JSON object that vortex_torch's get_engine takes as keyword arguments.
// Defaults are those of get_engine, except model_path, which is never defaulted.
struct EngineConfig {
  std::string model_path;   // empty when the file does not name one
  std::string module_path;  // vortex_module_path
  std::string module_name;  // vortex_module_name: must equal the @register string
  int block_size = 16;
  int workload_chunk_size = 32;
  int topk_val = 29;        // static budget of middle pages
  double topk_ratio = 0.0;  // budget as a share of the pages; the larger of the two counts
  int reserved_bos = 1;
  int reserved_eos = 2;
  std::vector<int> layers_skip = {0};  // layers that stay dense
  int max_seq_lens = 20480;
  Dtype dtype = Dtype::kBf16;     // fields and values that cross a kernel boundary
  Dtype kv_dtype = Dtype::kBf16;  // k and v
  std::string schedule_policy;    // source text; empty means the default rule
  Schedule schedule;              // compiled from schedule_policy
  bool disable_radix_cache = false;
  double mem_fraction_static = 0.8;
  int tp_size = 1;
  // Keys that have no meaning for this runtime but belong to the file, kept for export, as (key, JSON text).
  std::vector<std::pair<std::string, std::string>> passthrough;
};

// Reads an engine configuration. Unknown keys, wrong types and out-of-range values are diagnostics (all of them in one
// pass, with the nearest known key); a known key whose feature this runtime lacks is refused by name.
// `source` names the text in messages. The config is usable only if no diagnostic is an error.
EngineConfig parse_config(std::string_view json_text, std::string_view source, std::vector<Diagnostic>& diagnostics);

// The JSON text that parses back to the same configuration; keys in a fixed order, defaults that vortex_torch's two
// default sets disagree on always written.
std::string print_config(const EngineConfig& config);

// What the schedule policy is asked with for a row of `blocks` pages.
ScheduleInputs schedule_inputs(const EngineConfig& config, int blocks);

// Pages that a row with `blocks` pages attends: min(budget, blocks), where the budget is the schedule policy's, by
// default max(topk_val + bos + eos, int(float32(blocks) * float32(topk_ratio))).
int selected_blocks(const EngineConfig& config, int blocks);

bool layer_is_dense(const EngineConfig& config, int layer);

}  // namespace vortex::vflow
