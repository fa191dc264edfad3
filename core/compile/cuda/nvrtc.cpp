#include "core/compile/cuda/nvrtc.h"

#include <nvrtc.h>

#include <vector>

#include "base/sha256.h"
#include "base/text.h"
#include "core/compile/cuda/generate.h"

namespace vortex::compile {

namespace {

// No fused multiply-add but where the source says so, and IEEE division and roots: the CPU backend computes the same.
std::vector<std::string> flags(const std::string& arch) {
  return {"--gpu-architecture=" + arch, "--std=c++20", "--fmad=false"};
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
    if (program_ != nullptr) {
      nvrtcDestroyProgram(&program_);
    }
  }

  Result<std::string> compile(const std::string& arch) {
    const std::vector<std::string> all = flags(arch);
    std::vector<const char*> options;
    for (const std::string& flag : all) {
      options.push_back(flag.c_str());
    }
    if (status_ == NVRTC_SUCCESS) {
      status_ = nvrtcCompileProgram(program_, static_cast<int>(options.size()), options.data());
    }
    if (status_ != NVRTC_SUCCESS) {
      return internal_error(std::string("NVRTC refused a generated kernel: ") + nvrtcGetErrorString(status_) + "\n" +
                            log());
    }
    size_t size = 0;
    if (nvrtcGetCUBINSize(program_, &size) != NVRTC_SUCCESS || size == 0) {
      return internal_error("NVRTC made no cubin for " + arch);
    }
    std::string cubin(size, '\0');
    if (nvrtcGetCUBIN(program_, cubin.data()) != NVRTC_SUCCESS) {
      return internal_error("NVRTC did not hand out its cubin");
    }
    return cubin;
  }

 private:
  std::string log() const {
    size_t size = 0;
    if (program_ == nullptr || nvrtcGetProgramLogSize(program_, &size) != NVRTC_SUCCESS || size == 0) {
      return {};
    }
    std::string text(size, '\0');
    nvrtcGetProgramLog(program_, text.data());
    text.resize(size - 1);  // its terminating zero
    return text;
  }

  nvrtcProgram program_ = nullptr;
  nvrtcResult status_ = NVRTC_SUCCESS;
};

std::string digest_of_headers() {
  std::string all;
  for (const auto& [name, text] : embedded_headers()) {
    all += name + '\n' + text + '\n';
  }
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

Result<std::string> compile_to_cubin(const std::string& source, const std::string& arch) {
  return NvrtcProgram(source).compile(arch);
}

}  // namespace vortex::compile
