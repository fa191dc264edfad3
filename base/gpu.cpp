#include "base/gpu.h"

#include <dlfcn.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cmath>
#include <cstdio>
#include <memory>
#include <string_view>
#include <utility>

#include "base/text.h"

namespace vortex {
namespace {

// The parts of NVML's C interface that are used here, declared by its documentation.
using Handle = void*;
struct Memory {
  unsigned long long total, free, used;
};
struct Process {
  unsigned int pid;
  unsigned long long memory;
  unsigned int gpu_instance, compute_instance;
};
constexpr int kSuccess = 0;
constexpr int kSmClock = 1;
constexpr int kMemoryClock = 2;
constexpr int kGpuSensor = 0;
constexpr unsigned kTextBytes = 256;
constexpr unsigned long long kNotAvailable = ~0ULL;

// What may hold clocks down (nvmlClocksEventReasons).
struct Reason {
  unsigned long long bit;
  const char* words;
  bool throttles;
};
constexpr std::array kReasons = {
    Reason{0x02, "clocks set by an administrator", false},
    Reason{0x04, "power cap", false},
    Reason{0x08, "hardware slowdown", true},
    Reason{0x10, "sync boost", false},
    Reason{0x20, "heat (driver)", true},
    Reason{0x40, "heat (hardware)", true},
    Reason{0x80, "power brake", true},
    Reason{0x100, "display clocks", false},
};

// The library, initialised; gone with this object.
class Nvml {
 public:
  static Result<std::unique_ptr<Nvml>> open(const std::string& path) {
    void* library = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) { return environment_error("no NVIDIA driver: " + path + " is not there"); }
    std::unique_ptr<Nvml> nvml(new Nvml(library));
    const int code = nvml->call<int()>("nvmlInit_v2");
    nvml->started_ = code == kSuccess;
    if (code != kSuccess) {
      return environment_error("the NVIDIA driver does not answer: NVML error " + std::to_string(code));
    }
    return nvml;
  }
  Nvml(const Nvml&) = delete;
  Nvml& operator=(const Nvml&) = delete;
  ~Nvml() {
    if (started_) { call<int()>("nvmlShutdown"); }
    ::dlclose(library_);
  }

  // Calls a function by name; an error code where the library has none of it.
  template <typename Signature, typename... Arguments>
  int call(const char* name, Arguments... arguments) const {
    auto* function = reinterpret_cast<Signature*>(::dlsym(library_, name));
    return function == nullptr ? -1 : function(arguments...);
  }

  // A text that a function of a GPU gives.
  std::string text(const char* name, Handle gpu) const {
    std::array<char, kTextBytes> buffer{};
    const int code = call<int(Handle, char*, unsigned)>(name, gpu, buffer.data(), kTextBytes - 1);
    return code == kSuccess ? buffer.data() : "";
  }

  // A number that a function of a GPU gives; 0 where it gives none.
  int number(const char* name, Handle gpu) const {
    unsigned value = 0;
    return call<int(Handle, unsigned*)>(name, gpu, &value) == kSuccess ? static_cast<int>(value) : 0;
  }
  int number_of(const char* name, Handle gpu, int which) const {
    unsigned value = 0;
    return call<int(Handle, int, unsigned*)>(name, gpu, which, &value) == kSuccess ? static_cast<int>(value) : 0;
  }

 private:
  explicit Nvml(void* library) : library_(library) {}
  void* library_;
  bool started_ = false;
};

std::string driver_of(const Nvml& nvml) {
  std::array<char, kTextBytes> buffer{};
  const int code = nvml.call<int(char*, unsigned)>("nvmlSystemGetDriverVersion", buffer.data(), kTextBytes - 1);
  return code == kSuccess ? buffer.data() : "";
}

// NVML's bus ids have a domain of eight digits and capital letters, CUDA's one of four and small ones.
std::string bus_id_of(const Nvml& nvml, Handle gpu) {
  struct Pci {
    char legacy[16];
    unsigned domain, bus, device, ids, subsystem;
    char bus_id[32];
    std::array<char, 256> room;  // for members of later versions
  } pci{};
  if (nvml.call<int(Handle, Pci*)>("nvmlDeviceGetPciInfo_v3", gpu, &pci) != kSuccess) { return ""; }
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%04x:%02x:%02x.0", pci.domain, pci.bus, pci.device);
  return text.data();
}

std::vector<GpuProcess> processes_of(const Nvml& nvml, Handle gpu) {
  std::array<Process, 128> found{};
  auto count = static_cast<unsigned>(found.size());
  const int code =
      nvml.call<int(Handle, unsigned*, Process*)>("nvmlDeviceGetComputeRunningProcesses_v3", gpu, &count, found.data());
  std::vector<GpuProcess> processes;
  if (code != kSuccess) { return processes; }
  for (unsigned i = 0; i < std::min<unsigned>(count, found.size()); ++i) {
    std::array<char, kTextBytes> name{};
    const bool named = nvml.call<int(unsigned, char*, unsigned)>("nvmlSystemGetProcessName", found[i].pid, name.data(),
                                                                 kTextBytes - 1) == kSuccess;
    const auto memory = found[i].memory == kNotAvailable ? 0 : static_cast<int64_t>(found[i].memory);
    processes.push_back({found[i].pid, named ? name.data() : "", memory});
  }
  return processes;
}

void read_limits(const Nvml& nvml, Handle handle, Gpu& gpu) {
  unsigned long long reasons = 0;
  const char* name = "nvmlDeviceGetCurrentClocksThrottleReasons";  // the name that every version has
  if (nvml.call<int(Handle, unsigned long long*)>(name, handle, &reasons) != kSuccess) { return; }
  for (const Reason& reason : kReasons) {
    if ((reasons & reason.bit) == 0) { continue; }
    gpu.limits.emplace_back(reason.words);
    gpu.throttled = gpu.throttled || reason.throttles;
  }
}

Gpu look(const Nvml& nvml, Handle handle, int index) {
  Gpu gpu;
  gpu.index = index;
  gpu.name = nvml.text("nvmlDeviceGetName", handle);
  gpu.uuid = nvml.text("nvmlDeviceGetUUID", handle);
  gpu.bus_id = bus_id_of(nvml, handle);
  gpu.driver = driver_of(nvml);
  int major = 0;
  int minor = 0;
  if (nvml.call<int(Handle, int*, int*)>("nvmlDeviceGetCudaComputeCapability", handle, &major, &minor) == kSuccess) {
    gpu.capability = 10 * major + minor;
  }
  Memory memory{};
  if (nvml.call<int(Handle, Memory*)>("nvmlDeviceGetMemoryInfo", handle, &memory) == kSuccess) {
    gpu.memory_bytes = static_cast<int64_t>(memory.total);
    gpu.memory_used = static_cast<int64_t>(memory.used);
  }
  gpu.sm_mhz = nvml.number_of("nvmlDeviceGetClockInfo", handle, kSmClock);
  gpu.sm_mhz_most = nvml.number_of("nvmlDeviceGetMaxClockInfo", handle, kSmClock);
  gpu.memory_mhz = nvml.number_of("nvmlDeviceGetClockInfo", handle, kMemoryClock);
  gpu.memory_mhz_most = nvml.number_of("nvmlDeviceGetMaxClockInfo", handle, kMemoryClock);
  gpu.celsius = nvml.number_of("nvmlDeviceGetTemperature", handle, kGpuSensor);
  gpu.watts = nvml.number("nvmlDeviceGetPowerUsage", handle) / 1000.0;
  gpu.watts_most = nvml.number("nvmlDeviceGetEnforcedPowerLimit", handle) / 1000.0;
  read_limits(nvml, handle, gpu);
  gpu.processes = processes_of(nvml, handle);
  return gpu;
}

std::string gib(int64_t bytes) { return format_number(std::round(static_cast<double>(bytes) / (1 << 30) * 10) / 10); }

// The library takes a while to start: the driver's own is started once a process.
const Result<std::unique_ptr<Nvml>>& shared_nvml() {
  static const Result<std::unique_ptr<Nvml>> nvml = Nvml::open("libnvidia-ml.so.1");
  return nvml;
}

// The GPUs at `bus_id`, or, where that is empty, all.
Result<std::vector<Gpu>> look_with(const Nvml& nvml, const std::string& bus_id) {
  unsigned count = 0;
  if (nvml.call<int(unsigned*)>("nvmlDeviceGetCount_v2", &count) != kSuccess) {
    return environment_error("the NVIDIA driver does not say how many GPUs there are");
  }
  std::vector<Gpu> gpus;
  for (unsigned i = 0; i < count; ++i) {
    Handle handle = nullptr;
    if (nvml.call<int(unsigned, Handle*)>("nvmlDeviceGetHandleByIndex_v2", i, &handle) != kSuccess) { continue; }
    if (!bus_id.empty() && bus_id_of(nvml, handle) != bus_id) { continue; }
    gpus.push_back(look(nvml, handle, static_cast<int>(i)));
  }
  return gpus;
}

}  // namespace

Result<std::vector<Gpu>> look_at_gpus() {
  if (!shared_nvml().ok()) { return shared_nvml().error(); }
  return look_with(**shared_nvml(), "");
}

Result<std::vector<Gpu>> look_at_gpus(const std::string& library) {
  VORTEX_ASSIGN(const std::unique_ptr<Nvml> nvml, Nvml::open(library));
  return look_with(*nvml, "");
}

std::optional<Gpu> look_at_gpu(const std::string& bus_id) {
  if (!shared_nvml().ok() || bus_id.empty()) { return std::nullopt; }
  Result<std::vector<Gpu>> gpus = look_with(**shared_nvml(), bus_id);
  if (!gpus.ok() || gpus->empty()) { return std::nullopt; }
  return std::move(gpus->front());
}

int other_processes(const Gpu& gpu, int64_t own_pid) {
  int others = 0;
  int nameless = 0;
  bool found_own = false;
  for (const GpuProcess& process : gpu.processes) {
    if (process.pid == own_pid) {
      found_own = true;
    } else if (process.name.empty()) {
      ++nameless;
    } else if (process.name.substr(process.name.rfind('/') + 1).rfind("vortex", 0) != 0) {
      ++others;
    }
  }
  return others + std::max(0, nameless - (found_own ? 0 : 1));
}

std::string describe(const Gpu& gpu) {
  std::string text = gpu.name + ", " + gib(gpu.memory_bytes) + " GiB (" + gib(gpu.memory_used) + " in use), driver " +
                     gpu.driver + ", compute capability " + std::to_string(gpu.capability / 10) + "." +
                     std::to_string(gpu.capability % 10) + ", " + std::to_string(gpu.sm_mhz) + " of " +
                     std::to_string(gpu.sm_mhz_most) + " MHz, " + std::to_string(gpu.celsius) + " C";
  if (!gpu.limits.empty()) { text += ", held down by " + join(gpu.limits, ", "); }
  return text;
}

std::vector<std::string> doubts(const Gpu& gpu, int64_t own_pid) {
  std::vector<std::string> found;
  if (gpu.throttled) {
    found.push_back(gpu.name + " is throttled: " + join(gpu.limits, ", ") + "; " + std::to_string(gpu.sm_mhz) + " of " +
                    std::to_string(gpu.sm_mhz_most) + " MHz at " + std::to_string(gpu.celsius) + " C");
  }
  const int others = other_processes(gpu, own_pid);
  if (others > 0) {
    found.push_back(gpu.name + " is shared: " + std::to_string(others) +
                    (others == 1 ? " other process computes" : " other processes compute") + " on it");
  }
  return found;
}

nlohmann::json to_json(const Gpu& gpu, int64_t own_pid) {
  return {{"name", gpu.name},
          {"uuid", gpu.uuid},
          {"driver", gpu.driver},
          {"capability", gpu.capability},
          {"memory_bytes", gpu.memory_bytes},
          {"memory_used", gpu.memory_used},
          {"sm_mhz", gpu.sm_mhz},
          {"sm_mhz_most", gpu.sm_mhz_most},
          {"memory_mhz", gpu.memory_mhz},
          {"memory_mhz_most", gpu.memory_mhz_most},
          {"celsius", gpu.celsius},
          {"watts", gpu.watts},
          {"watts_most", gpu.watts_most},
          {"limits", gpu.limits},
          {"throttled", gpu.throttled},
          {"others", other_processes(gpu, own_pid)}};
}

}  // namespace vortex
