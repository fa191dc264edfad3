#include "cli/export/formats.h"

#include <array>

#include "cli/export/bundle.h"
#include "cli/export/cuda.h"

namespace vortex::cli {
namespace {

namespace fs = std::filesystem;

std::string said_of_pair(const fs::path& module, const std::string&, const std::string& key) {
  return "wrote " + module.string() + " and its .json; they check back to " + key;
}

std::string said_of_bundle(const fs::path&, const std::string& folder, const std::string&) {
  return "wrote " + folder + "; verify it with " + folder + "/verify.sh";
}

std::string said_of_cuda(const fs::path&, const std::string& folder, const std::string&) {
  return "wrote " + folder + "; its README.md says how to build it";
}

constexpr std::array kFormats = {
    ExportFormat{"vortex-torch", "a .py and .json pair", write_pair, "module", said_of_pair},
    ExportFormat{"bundle", "with everything that it was judged by", write_bundle, "bundle", said_of_bundle},
    ExportFormat{"cuda", "its kernels, with a header and a driver", write_cuda, "cuda", said_of_cuda},
};

}  // namespace

std::span<const ExportFormat> export_formats() { return kFormats; }

}  // namespace vortex::cli
