#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace vortex::compile {

// Everything beside the source that decides what NVRTC makes of it: its version, the flags and the embedded headers.
std::string nvrtc_identity(const std::string& arch);

// What the assembler counted of one kernel, the functions that it calls included.
struct KernelResources {
  std::string name;
  int registers = 0;     // a thread
  int stack_bytes = 0;   // a thread
  int spill_stores = 0;  // bytes a thread
  int spill_loads = 0;   // bytes a thread
  int shared_bytes = 0;  // static, a thread block

  int spill_bytes() const { return spill_stores + spill_loads; }
};

// The kernels of an assembler's verbose log, in its order.
std::vector<KernelResources> resources_in(std::string_view log);

// One kernel a line, for people and for the cache: name, then the numbers in the order of the struct.
std::string resources_text(const std::vector<KernelResources>& kernels);
// The kernels of such a text; empty where it is none.
std::vector<KernelResources> resources_from_text(std::string_view text);

struct CompiledSource {
  std::string cubin;
  std::string ptx;
  std::vector<KernelResources> resources;
};

// Device code of one architecture ("sm_90"). A source that NVRTC refuses is our bug; its log is in the message.
Result<CompiledSource> compile_source(const std::string& source, const std::string& arch);

}  // namespace vortex::compile
