#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/vflow/config/config.h"
#include "core/vflow/diagnostics.h"
#include "core/vflow/program.h"

namespace vortex::vflow {

// A policy as files: the vFlow module and its engine configuration.
struct PolicySource {
  std::string module_text;                // the .py
  std::string config_text;                // the .json
  std::string module_file = "policy.py";  // names used in messages
  std::string config_file = "policy.json";
};

// What the backend that is going to run a policy covers; without a name it covers everything.
struct BackendLimits {
  std::string name;              // "CUDA"
  std::vector<int> head_dims;    // empty: any
  int block_multiple = 1;        // of tokens a block
  std::vector<Dtype> kv_dtypes;  // empty: any
  size_t max_fields = 0;         // k and v among them; 0: any number
  // Of the model around it (core/model/model.h, check_covered).
  int max_hidden = 0;       // 0: any
  int hidden_multiple = 1;  // of hidden and intermediate sizes
  int max_stop_tokens = 0;  // 0: any number
  std::string remedy;       // what to do with a model that it does not cover
};

// What a policy is checked against.
struct ModelGeometry {
  int layers = 1;
  int num_q_heads = 1;
  int num_kv_heads = 1;
  int head_dim = 1;
  int max_context = 4096;       // tokens; bounds pages a row
  int64_t kv_memory_bytes = 0;  // memory for KV and fields together; 0 means unlimited
  int token_budget = 0;         // tokens that a row may choose, those of reserved pages aside; 0: any number
  int kv_lora_rank = 0;         // MLA models only
  int rope_dim = 0;             // MLA models only
  BackendLimits backend;
};

// A policy that passed every check, traced for one model.
struct Policy {
  Program program;
  EngineConfig config;
};

struct CheckReport {
  std::optional<Policy> policy;         // present iff no diagnostic is an error
  std::vector<Diagnostic> diagnostics;  // errors and warnings, in source order
};

// Parses, traces and checks a policy at the configured block size and the given model. Never throws, never does I/O,
// always ends: step, depth and size limits turn a hostile module into a diagnostic.
CheckReport check_policy(const PolicySource& source, const ModelGeometry& model);

// Prints a policy as source that checks back to the same canonical hash (canonical.h), in vortex_torch's own style.
PolicySource print_policy(const Policy& policy);

}  // namespace vortex::vflow
