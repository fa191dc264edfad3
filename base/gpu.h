// What the GPUs of this machine are and how they do, as NVIDIA's management library (NVML) tells: loaded when it is
// asked for, so that every program starts without it. Needs no CUDA and touches no GPU.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"

namespace vortex {

struct GpuProcess {
  int64_t pid = 0;
  std::string name;  // empty where the system does not tell, as across namespaces
  int64_t memory_bytes = 0;
};

// One GPU now. What a GPU or its driver does not report stays empty or 0.
struct Gpu {
  int index = 0;  // as NVML numbers them
  std::string name;
  std::string uuid;
  std::string bus_id;  // as CUDA spells it: 0000:1b:00.0
  std::string driver;
  int capability = 0;  // compute capability: 90 is 9.0
  int64_t memory_bytes = 0;
  int64_t memory_used = 0;
  int sm_mhz = 0;  // clock of the multiprocessors, and its maximum
  int sm_mhz_most = 0;
  int memory_mhz = 0;
  int memory_mhz_most = 0;
  int celsius = 0;
  double watts = 0;
  double watts_most = 0;
  std::vector<std::string> limits;    // what holds its clocks down now, in words; idling is none
  bool throttled = false;             // one of them is heat, a brake or a fault, not a cap that somebody set
  std::vector<GpuProcess> processes;  // that compute on it
};

// All GPUs that the driver shows. The environment's error where there is no library, no driver or no permission.
Result<std::vector<Gpu>> look_at_gpus();
// The same by another library: for tests.
Result<std::vector<Gpu>> look_at_gpus(const std::string& library);
// The GPU at this place; nothing where none is there or nobody tells.
std::optional<Gpu> look_at_gpu(const std::string& bus_id);

// Processes on the GPU that are none of ours: not this one (`own_pid`), no other vortex program. Where this process
// cannot be told from the nameless ones, one of them is taken for it.
int other_processes(const Gpu& gpu, int64_t own_pid);

// "NVIDIA H100 80GB HBM3, 79.6 GiB (0.4 in use), driver 580.159.04, compute capability 9.0, 1980 of 1980 MHz, 31 C"
std::string describe(const Gpu& gpu);

// What makes measurements on it doubtful, a sentence each; empty: nothing.
std::vector<std::string> doubts(const Gpu& gpu, int64_t own_pid);

// For evidence: everything but the processes, whose number is `others`.
nlohmann::json to_json(const Gpu& gpu, int64_t own_pid);

}  // namespace vortex
