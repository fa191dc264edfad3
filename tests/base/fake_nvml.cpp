// A management library with two GPUs, for gpu_test: one hot and shared, one whose driver tells little.
#include <cstdio>
#include <cstring>

namespace {
constexpr int kFine = 0;
constexpr int kNotSupported = 3;
int gpus[2] = {0, 1};
int index_of(void* gpu) { return *static_cast<int*>(gpu); }
}  // namespace

extern "C" {

int nvmlInit_v2() { return kFine; }
int nvmlShutdown() { return kFine; }
int nvmlDeviceGetCount_v2(unsigned* count) { return *count = 2, kFine; }
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void** gpu) { return *gpu = &gpus[index], kFine; }

int nvmlSystemGetDriverVersion(char* text, unsigned size) {
  std::snprintf(text, size, "580.1");
  return kFine;
}

int nvmlDeviceGetName(void* gpu, char* text, unsigned size) {
  std::snprintf(text, size, "Card %d", index_of(gpu));
  return kFine;
}

int nvmlDeviceGetPciInfo_v3(void* gpu, void* info) {
  const unsigned place[3] = {0, 0x1b, static_cast<unsigned>(index_of(gpu))};
  std::memcpy(static_cast<char*>(info) + 16, place, sizeof place);
  return kFine;
}

int nvmlDeviceGetCudaComputeCapability(void*, int* major, int* minor) {
  *major = 9;
  *minor = 0;
  return kFine;
}

int nvmlDeviceGetMemoryInfo(void* gpu, unsigned long long* total_free_used) {
  if (index_of(gpu) == 1) { return kNotSupported; }
  total_free_used[0] = 80ULL << 30;
  total_free_used[1] = 60ULL << 30;
  total_free_used[2] = 20ULL << 30;
  return kFine;
}

int nvmlDeviceGetClockInfo(void*, int which, unsigned* mhz) { return *mhz = which == 1 ? 345 : 2619, kFine; }
int nvmlDeviceGetMaxClockInfo(void*, int which, unsigned* mhz) { return *mhz = which == 1 ? 1980 : 2619, kFine; }
int nvmlDeviceGetTemperature(void*, int, unsigned* celsius) { return *celsius = 77, kFine; }
int nvmlDeviceGetPowerUsage(void*, unsigned* milliwatts) { return *milliwatts = 320500, kFine; }

// The first: power cap and heat (driver), and the bit of an idle GPU, which holds nothing down.
int nvmlDeviceGetCurrentClocksThrottleReasons(void* gpu, unsigned long long* reasons) {
  return *reasons = index_of(gpu) == 0 ? 0x25 : 0x1, kFine;
}

struct Process {
  unsigned pid;
  unsigned long long memory;
  unsigned gpu_instance, compute_instance;
};

int nvmlDeviceGetComputeRunningProcesses_v3(void* gpu, unsigned* count, Process* processes) {
  if (index_of(gpu) == 1) { return *count = 0, kFine; }
  processes[0] = {100, 1ULL << 30, 0, 0};
  processes[1] = {200, ~0ULL, 0, 0};
  processes[2] = {300, 2ULL << 30, 0, 0};
  return *count = 3, kFine;
}

int nvmlSystemGetProcessName(unsigned pid, char* text, unsigned size) {
  if (pid == 300) { return kNotSupported; }
  std::snprintf(text, size, pid == 100 ? "/usr/bin/python3" : "/opt/vortex-worker");
  return kFine;
}
}
