#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/result.h"
#include "sandbox/layers.h"
#include "sandbox/process_tree.h"

namespace vortex::sandbox {

// How a worker is to be held. Every layer that the machine allows is used, unless it is switched off.
struct JailOptions {
  std::vector<Layer> off;
  std::vector<Layer> required;               // no worker runs unless each of these is active
  int64_t scratch_bytes = int64_t{1} << 30;  // of its scratch folder, where there are namespaces
  int processes = 1024;                      // and threads of one worker, at most
  std::string bubblewrap;                    // path of bwrap; empty: looked for where systems install it
  // For tests.
  bool kill_unlisted = false;           // system calls that are on no list kill instead of failing
  std::vector<std::string> executable;  // folders whose programs the worker may start

  bool uses(Layer layer) const;
};

// Reads a list of layers as users write it: "full", "none", or names with commas. `option` names it in errors.
Result<std::vector<Layer>> layers_from_text(const std::string& text, const std::string& option);

// What a worker may see and change. Paths are absolute.
struct Premises {
  std::string scratch;                 // its working directory; writable
  std::vector<std::string> read_only;  // files and folders
  std::vector<std::string> writable;   // folders
  std::string loader;                  // of the program, which the kernel starts in its place
  bool gpu = false;                    // NVIDIA's devices are in reach
};

// How this machine makes namespaces for us.
enum class NamespaceMode {
  kNone,     // not at all
  kOwn,      // as an ordinary user: a user namespace with this one user in it
  kRenamed,  // as root, which is only renamed inside: files are still checked as root's
  kMapped,   // as root, which is left for good inside: the worker is another user
};

// What a trial on this machine showed. Made once for each way to be held, then remembered. Thread-safe.
struct JailSupport {
  NamespaceMode namespaces = NamespaceMode::kNone;
  std::string bubblewrap;           // path of the bwrap that made them; empty where there are none
  std::string why;                  // there are none, or no better ones
  std::vector<LayerReport> layers;  // of the trial, all kLayers in order
};
JailSupport jail_support(const JailOptions& options);

// Puts a launch behind the walls: wraps its argv, sets its limits. Prepares the folders of `premises` for the user that
// the worker will be.
void put_in_jail(Launch& launch, const Premises& premises, const JailOptions& options, const JailSupport& support);

// All layers of a worker: what its tree reported, what is off, and why the rest is missing.
std::vector<LayerReport> complete_layers(const std::vector<LayerReport>& reported, const JailOptions& options,
                                         const JailSupport& support);

// {"held": [names], "partly": {name: what is missing}, "missing": {name: why}}; empty members are left out.
nlohmann::json layers_evidence(const std::vector<LayerReport>& layers);

// Fails (environment) when a required layer is not active.
Status check_required(const std::vector<LayerReport>& layers, const JailOptions& options);

// Is there an NVIDIA device that a worker could use?
bool has_gpu();

}  // namespace vortex::sandbox
