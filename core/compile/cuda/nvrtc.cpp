#include "core/compile/cuda/nvrtc.h"

#include <nvrtc.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <sstream>

#include "base/sha256.h"
#include "base/text.h"
#include "core/compile/cuda/generate.h"

namespace vortex::compile {

namespace {

// NVRTC keeps what it compiled since version 12.9, but not what the assembler said of it.
bool keeps_results() {
  int major = 0;
  int minor = 0;
  return nvrtcVersion(&major, &minor) == NVRTC_SUCCESS && (major > 12 || (major == 12 && minor >= 9));
}

// No fused multiply-add but where the source says so, and IEEE division and roots: the CPU backend computes the same.
// The assembler tells what it used, every time.
std::vector<std::string> flags(const std::string& arch) {
  std::vector<std::string> flags = {"--gpu-architecture=" + arch, "--std=c++20", "--fmad=false", "--ptxas-options=-v"};
  if (keeps_results()) { flags.emplace_back("--no-cache"); }
  return flags;
}

class NvrtcProgram {
 public:
  explicit NvrtcProgram(const std::string& source) {
    std::vector<const char*> texts;
    std::vector<const char*> names;
    for (const auto& [name, text] : embedded_headers()) {
      names.push_back(name.c_str());
      texts.push_back(text.c_str());
    }
    status_ = nvrtcCreateProgram(&program_, source.c_str(), "policy.cu", static_cast<int>(names.size()), texts.data(),
                                 names.data());
  }
  NvrtcProgram(const NvrtcProgram&) = delete;
  NvrtcProgram& operator=(const NvrtcProgram&) = delete;
  ~NvrtcProgram() {
    if (program_ != nullptr) { nvrtcDestroyProgram(&program_); }
  }

  Result<CompiledSource> compile(const std::string& arch) {
    const std::vector<std::string> all = flags(arch);
    std::vector<const char*> options;
    for (const std::string& flag : all) { options.push_back(flag.c_str()); }
    if (status_ == NVRTC_SUCCESS) {
      status_ = nvrtcCompileProgram(program_, static_cast<int>(options.size()), options.data());
    }
    if (status_ != NVRTC_SUCCESS) {
      return internal_error(std::string("NVRTC refused a generated kernel: ") + nvrtcGetErrorString(status_) + "\n" +
                            log());
    }
    CompiledSource compiled;
    compiled.cubin = output(nvrtcGetCUBINSize, nvrtcGetCUBIN);
    compiled.ptx = output(nvrtcGetPTXSize, nvrtcGetPTX);
    compiled.resources = resources_in(log());
    if (compiled.cubin.empty()) { return internal_error("NVRTC made no cubin for " + arch); }
    return compiled;
  }

 private:
  // One of the program's results; empty where there is none.
  template <typename Size, typename Get>
  std::string output(const Size& size_of, const Get& get) const {
    size_t size = 0;
    if (size_of(program_, &size) != NVRTC_SUCCESS) { return {}; }
    std::string text(size, '\0');
    return get(program_, text.data()) == NVRTC_SUCCESS ? text : std::string();
  }

  std::string log() const {
    size_t size = 0;
    if (program_ == nullptr || nvrtcGetProgramLogSize(program_, &size) != NVRTC_SUCCESS || size == 0) { return {}; }
    std::string text(size, '\0');
    nvrtcGetProgramLog(program_, text.data());
    text.resize(size - 1);  // its terminating zero
    return text;
  }

  nvrtcProgram program_ = nullptr;
  nvrtcResult status_ = NVRTC_SUCCESS;
};

// The number that stands before `unit` in the line; nothing where the line has no such number.
std::optional<int> number_before(std::string_view line, std::string_view unit) {
  const size_t end = line.find(unit);
  if (end == std::string_view::npos || end == 0) { return std::nullopt; }
  size_t begin = end;
  while (begin > 0 && line[begin - 1] >= '0' && line[begin - 1] <= '9') { --begin; }
  int number = 0;
  const auto [rest, error] = std::from_chars(line.data() + begin, line.data() + end, number);
  return error == std::errc() ? std::optional(number) : std::nullopt;
}

std::string digest_of_headers() {
  std::string all;
  for (const auto& [name, text] : embedded_headers()) { all += name + '\n' + text + '\n'; }
  return sha256_hex(all);
}

}  // namespace

std::string nvrtc_identity(const std::string& arch) {
  static const std::string headers = digest_of_headers();
  int major = 0;
  int minor = 0;
  nvrtcVersion(&major, &minor);
  return "nvrtc " + std::to_string(major) + "." + std::to_string(minor) + "\n" + join(flags(arch), " ") + "\nheaders " +
         headers + "\n";
}

// The log names an entry function, then lists the properties of it and of each function that it calls.
std::vector<KernelResources> resources_in(std::string_view log) {
  constexpr std::string_view kEntry = "Compiling entry function '";
  std::vector<KernelResources> kernels;
  for (const std::string& line : split_lines(log)) {
    const size_t entry = line.find(kEntry);
    if (entry != std::string::npos) {
      const size_t begin = entry + kEntry.size();
      kernels.emplace_back().name = line.substr(begin, line.find('\'', begin) - begin);
    }
    if (kernels.empty()) { continue; }
    KernelResources& kernel = kernels.back();
    kernel.stack_bytes = std::max(kernel.stack_bytes, number_before(line, " bytes stack frame").value_or(0));
    kernel.spill_stores += number_before(line, " bytes spill stores").value_or(0);
    kernel.spill_loads += number_before(line, " bytes spill loads").value_or(0);
    kernel.registers = std::max(kernel.registers, number_before(line, " registers").value_or(0));
    kernel.shared_bytes = std::max(kernel.shared_bytes, number_before(line, " bytes smem").value_or(0));
  }
  return kernels;
}

std::string resources_text(const std::vector<KernelResources>& kernels) {
  std::string text;
  for (const KernelResources& k : kernels) {
    text += k.name + " registers " + std::to_string(k.registers) + " stack " + std::to_string(k.stack_bytes) +
            " spill_stores " + std::to_string(k.spill_stores) + " spill_loads " + std::to_string(k.spill_loads) +
            " shared " + std::to_string(k.shared_bytes) + "\n";
  }
  return text;
}

std::vector<KernelResources> resources_from_text(std::string_view text) {
  std::vector<KernelResources> kernels;
  for (const std::string& line : split_lines(text)) {
    std::istringstream words(line);
    std::string unit;
    KernelResources k;
    words >> k.name >> unit >> k.registers >> unit >> k.stack_bytes >> unit >> k.spill_stores >> unit >>
        k.spill_loads >> unit >> k.shared_bytes;
    if (!words) { return {}; }
    kernels.push_back(std::move(k));
  }
  return kernels;
}

Result<CompiledSource> compile_source(const std::string& source, const std::string& arch) {
  return NvrtcProgram(source).compile(arch);
}

}  // namespace vortex::compile
