#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/result.h"

namespace vortex::job {

// A policy that a server has loaded.
struct ServedPolicy {
  std::string name;  // what clients put behind the model's name and a colon
  std::string module_text;
  std::string config_text;
};

// What `vortex serve` asks of vortex-serve. Dense attention is always served as well, under the name "dense".
struct ServingJob {
  std::string model_path;
  std::string model_name;              // what clients call the model
  std::vector<ServedPolicy> policies;  // the first one answers to the model's bare name; none: dense attention does
  std::string address = "127.0.0.1";
  int port = 8000;                           // 0: any that is free
  std::vector<std::string> allowed_origins;  // of pages in browsers, besides those of this machine
  std::string device = "auto";               // where the engines run: cpu, cuda, or auto: cuda where all of it can
  std::string cpu_math = "float32";          // as Job::cpu_math
  int threads = 1;
  int batch = 16;               // requests decoded together, of each policy
  int queue = 256;              // requests that may wait beyond those, of each policy
  int max_context = 0;          // tokens of a request and its answer; 0: as many as the model has positions
  int64_t kv_memory_bytes = 0;  // for all policies together; 0: enough for full batches
  int chunk_tokens = 2048;      // of prompts, read between two decode rounds of a policy; 0: no limit
  double chunk_ms = -1;         // that reading them may take, about; 0: no limit; negative: as suits the device
  double decode_share = 0;      // of the time while requests decode, what their rounds have at least; on a GPU
  double share_patience = 2;    // seconds of waiting after which a prompt is read all the same; 0: never
  bool prefix_cache = true;     // prompts that begin alike are read once
  bool pack_prompts = true;     // short ones that wait are read together, on a GPU
  double request_seconds = 0;   // after which a request is given up; 0: never
  double drain_seconds = 30;    // that running requests have to end when the server is told to
};

// JSON both ways; reading is strict.
nlohmann::json to_json(const ServingJob& job);
Result<ServingJob> serving_job_from_json(const nlohmann::json& json);

}  // namespace vortex::job
