#include "sandbox/jail.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <mutex>
#include <tuple>

#include "base/text.h"
#include "sandbox/folders.h"
#include "sandbox/run_program.h"

namespace vortex::sandbox {
namespace {

namespace fs = std::filesystem;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kSanitized = true;  // their run time needs calls that no honest worker makes
#else
constexpr bool kSanitized = false;
#endif

constexpr int64_t kSharedMemoryBytes = int64_t{64} << 20;  // of /dev/shm
constexpr double kTrialSeconds = 20;
constexpr const char* kSystemFolders[] = {"/usr", "/bin", "/sbin", "/lib", "/lib64", "/lib32"};
constexpr const char* kSystemFiles[] = {"/etc/alternatives", "/etc/ld.so.cache", "/etc/ld.so.preload", "/etc/localtime",
                                        "/etc/nvidia"};
constexpr const char* kDevices[] = {"/dev/null", "/dev/zero", "/dev/random", "/dev/urandom"};
constexpr const char* kNamespaceKinds[] = {"user", "mnt", "pid", "ipc", "uts", "net"};

// Control devices, and the card of every GPU.
std::vector<std::string> gpu_devices() {
  std::vector<std::string> devices;
  std::error_code ec;
  for (const auto& entry : fs::directory_iterator("/dev", ec)) {
    const std::string name = entry.path().filename();
    const bool card =
        name.starts_with("nvidia") && name.size() > 6 && name.find_first_not_of("0123456789", 6) == std::string::npos;
    if (card || name == "nvidiactl" || name == "nvidia-uvm") { devices.push_back(entry.path()); }
  }
  std::sort(devices.begin(), devices.end());
  return devices;
}

std::string find_bubblewrap(const JailOptions& options) {
  if (!options.bubblewrap.empty()) { return options.bubblewrap; }
  for (const char* path : {"/usr/bin/bwrap", "/usr/local/bin/bwrap", "/bin/bwrap"}) {
    if (::access(path, X_OK) == 0) { return path; }
  }
  return {};
}

std::string outside_namespace(const std::string& kind) {
  std::error_code ec;
  return fs::read_symlink("/proc/self/ns/" + kind, ec).string();
}

// bubblewrap's command line, filled from the outside in.
class Wrapping {
 public:
  // `leaves_root`: the launcher will, and needs the right to.
  Wrapping(std::string program, NamespaceMode mode, bool leaves_root)
      : words_{std::move(program), "--die-with-parent", "--new-session"} {
    if (mode == NamespaceMode::kMapped) {
      add({"--userns", "@userns", "--cap-drop", "ALL"});
      if (leaves_root) { add({"--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"}); }
    } else {
      add({"--unshare-user", "--disable-userns", "--cap-drop", "ALL"});
      if (mode == NamespaceMode::kRenamed) {
        const std::string user = std::to_string(kWorkerUser);
        add({"--uid", user, "--gid", user});
      }
    }
    add({"--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts", "--unshare-cgroup-try", "--hostname",
         "worker"});
  }

  void add(const std::vector<std::string>& words) { words_.insert(words_.end(), words.begin(), words.end()); }

  // The folders of a system, some of which are links into others.
  void add_system(bool gpu) {
    for (const std::string folder : kSystemFolders) {
      std::error_code ec;
      if (fs::is_symlink(folder, ec)) {
        add({"--symlink", fs::read_symlink(folder, ec).string(), folder});
      } else if (fs::is_directory(folder, ec)) {
        bind("--ro-bind", folder);
      }
    }
    for (const char* file : kSystemFiles) { bind("--ro-bind-try", file); }
    add({"--proc", "/proc"});
    // Even where the worker stays root: bubblewrap guards these against others alone.
    for (const std::string path : {"/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/proc/bus"}) {
      add({"--ro-bind-try", path, path});
    }
    add({"--dev", "/dev", "--perms", "1777", "--size", std::to_string(kSharedMemoryBytes), "--tmpfs", "/dev/shm"});
    if (gpu) {
      bind("--ro-bind-try", "/sys");
      for (const std::string& device : gpu_devices()) { add({"--dev-bind", device, device}); }
    }
    add({"--remount-ro", "/dev"});
  }

  void bind(const std::string& how, const std::string& path) {
    make_parents(path);
    add({how, path, path});
  }

  void add_scratch(const std::string& path, int64_t bytes) {
    make_parents(path);
    add({"--perms", "0777", "--size", std::to_string(bytes), "--tmpfs", path, "--chdir", path, "--remount-ro", "/"});
  }

  std::vector<std::string> take() { return std::move(words_); }

 private:
  // bubblewrap's own parents can be entered by their owner alone.
  void make_parents(const std::string& path) {
    for (size_t at = path.find('/', 1); at != std::string::npos; at = path.find('/', at + 1)) {
      const std::string parent = path.substr(0, at);
      if (std::find(parents_.begin(), parents_.end(), parent) != parents_.end()) { continue; }
      parents_.push_back(parent);
      const bool exists = std::any_of(std::begin(kSystemFolders), std::end(kSystemFolders), [&](const char* folder) {
        return parent == folder || parent.starts_with(std::string(folder) + "/");
      });
      if (exists || parent == "/dev" || parent == "/proc" || parent == "/sys") { continue; }
      add({"--perms", "0755", "--dir", parent});
    }
  }

  std::vector<std::string> words_;
  std::vector<std::string> parents_;
};

// The launcher's command line: what it closes behind it.
std::vector<std::string> launcher_words(const Launch& launch, const Premises& premises, const JailOptions& options,
                                        NamespaceMode mode, const std::string& private_path) {
  std::vector<std::string> words = {keeper_path(), "enter", "report=@report"};
  const auto add = [&](const std::string& key, const std::string& value) { words.push_back(key + "=" + value); };
  if (mode != NamespaceMode::kNone) {
    for (const std::string kind : kNamespaceKinds) { add("outside-" + kind, outside_namespace(kind)); }
    // Counted in the new user namespace alone.
    if (options.uses(Layer::kLimits)) { add("nproc", std::to_string(options.processes)); }
  }
  if (options.uses(Layer::kUser)) {
    add("leave-root", "1");
    if (mode == NamespaceMode::kMapped && private_path.empty()) {
      add("user", std::to_string(kWorkerUser));
    } else {
      add("user-why", mode == NamespaceMode::kMapped ? private_path : "it takes namespaces to hand files to another");
    }
  }
  if (options.uses(Layer::kLandlock)) {
    add("landlock", "1");
    for (const char* folder : kSystemFolders) { add("read", folder); }
    for (const char* file : kSystemFiles) { add("read", file); }
    add("read", "/proc");
    for (const std::string& path : premises.read_only) { add("read", path); }
    for (const std::string& path : {launch.argv.front(), premises.loader}) {
      if (!path.empty()) { add("execute", path); }
    }
    for (const std::string& path : options.executable) { add("execute", path); }
    add("write", premises.scratch);
    for (const std::string& path : premises.writable) { add("write", path); }
    for (const char* device : kDevices) { add("device", device); }
    if (premises.gpu) {
      add("read", "/sys");
      add("write", "/dev/shm");
      add("write", "/proc");  // the driver names its threads there; the kernel's own settings are not the worker's
      for (const std::string& device : gpu_devices()) { add("device", device); }
    }
  }
  if (options.uses(Layer::kSeccomp) && !kSanitized) {
    add("calls", premises.gpu ? "gpu" : "cpu");
    if (options.kill_unlisted) { add("kill-unlisted", "1"); }
  }
  if (!launch.descriptors.empty()) {
    std::vector<std::string> numbers;
    for (const int descriptor : launch.descriptors) { numbers.push_back(std::to_string(descriptor)); }
    add("inherit", join(numbers, ","));
  }
  words.emplace_back("--");
  words.insert(words.end(), launch.argv.begin(), launch.argv.end());
  return words;
}

const LayerReport* find_layer(const std::vector<LayerReport>& layers, Layer layer) {
  const auto found =
      std::find_if(layers.begin(), layers.end(), [&](const LayerReport& report) { return report.layer == layer; });
  return found == layers.end() ? nullptr : &*found;
}

// Runs /bin/true in the jail. `why` tells what went wrong, where it did.
std::vector<LayerReport> try_jail(const JailOptions& options, const JailSupport& support, std::string& why) {
  const auto scratch = ScratchFolder::make(temporary_scratch_root());
  if (!scratch.ok()) {
    why = scratch.error().message;
    return {};
  }
  JailOptions trial = options;
  trial.executable = {"/usr", "/bin", "/lib", "/lib64"};
  trial.required.clear();
  Launch launch;
  launch.argv = {"/bin/true"};
  launch.folder = (*scratch)->path();
  launch.open_files = 512;
  Premises premises;
  premises.scratch = launch.folder;
  put_in_jail(launch, premises, trial, support);
  RunOptions run;
  run.deadline_seconds = kTrialSeconds;
  const auto outcome = run_program(launch, {}, run, {});
  if (!outcome.ok()) {
    why = outcome.error().message;
    return {};
  }
  if (!outcome->failure.empty()) { why = outcome->log.empty() ? outcome->failure : first_line(outcome->log); }
  return outcome->layers;
}

JailSupport probe(const JailOptions& options) {
  JailSupport support;
  const bool root = ::geteuid() == 0;
  if (!options.uses(Layer::kNamespaces)) {
    support.why = "switched off";
  } else if (const std::string found = find_bubblewrap(options); found.empty()) {
    support.why = "bubblewrap (bwrap) is not installed";
  } else {
    std::vector<NamespaceMode> modes = {NamespaceMode::kOwn};
    if (root) { modes = {NamespaceMode::kMapped, NamespaceMode::kRenamed}; }
    for (const NamespaceMode mode : modes) {
      std::string why;
      JailSupport tried;
      tried.namespaces = mode;
      tried.bubblewrap = found;
      support.layers = try_jail(options, tried, why);
      if (why.empty()) {
        support.namespaces = mode;
        support.bubblewrap = found;
        break;
      }
      if (support.why.empty()) { support.why = why; }
    }
  }
  std::string why;
  if (support.namespaces == NamespaceMode::kNone) { support.layers = try_jail(options, {}, why); }
  support.layers = complete_layers(support.layers, options, support);
  return support;
}

}  // namespace

bool JailOptions::uses(Layer layer) const { return std::find(off.begin(), off.end(), layer) == off.end(); }

Result<std::vector<Layer>> layers_from_text(const std::string& text, const std::string& option) {
  if (text.empty() || text == "none") { return std::vector<Layer>{}; }
  if (text == "full") { return std::vector<Layer>(kLayers.begin(), kLayers.end()); }
  std::vector<Layer> layers;
  std::vector<std::string> names = {"full", "none"};
  for (const Layer layer : kLayers) { names.emplace_back(layer_name(layer)); }
  for (size_t at = 0; at <= text.size();) {
    const size_t comma = std::min(text.find(',', at), text.size());
    const std::string name = text.substr(at, comma - at);
    at = comma + 1;
    const auto layer = layer_from_name(name);
    if (!layer) {
      const auto nearest = nearest_word(name, names);
      return candidate_error(option + ": no layer of the sandbox is called \"" + name + "\"",
                             nearest ? "did you mean " + *nearest + "?" : "there are: " + join(names, ", "));
    }
    layers.push_back(*layer);
  }
  return layers;
}

JailSupport jail_support(const JailOptions& options) {
  static std::mutex mutex;
  static std::map<std::tuple<std::vector<Layer>, std::string, bool>, JailSupport> known;
  const std::lock_guard guard(mutex);
  const auto key = std::make_tuple(options.off, options.bubblewrap, options.kill_unlisted);
  const auto found = known.find(key);
  if (found != known.end()) { return found->second; }
  return known.emplace(key, probe(options)).first->second;
}

void put_in_jail(Launch& launch, const Premises& premises, const JailOptions& options, const JailSupport& support) {
  const NamespaceMode mode = support.namespaces;
  std::vector<std::string> needed = premises.read_only;
  needed.insert(needed.end(), {launch.argv.front(), keeper_path()});
  const std::string private_path = first_private(needed, kWorkerUser);
  const bool other = mode == NamespaceMode::kMapped && options.uses(Layer::kUser) && private_path.empty();
  std::vector<std::string> inner = launcher_words(launch, premises, options, mode, private_path);
  if (::geteuid() == 0) {
    // What it writes must be its own, whoever it was the last time.
    for (const std::string& folder : premises.writable) {
      give_folder(folder, other ? 0 : kWorkerUser, other ? kWorkerUser : 0);
    }
  }
  if (mode != NamespaceMode::kNone) {
    // The bwrap that was tried: one that went missing meanwhile is named by the error of its start.
    Wrapping wrapping(support.bubblewrap, mode, other);
    wrapping.add_system(premises.gpu);
    wrapping.bind("--ro-bind", keeper_path());
    wrapping.bind("--ro-bind", launch.argv.front());
    for (const std::string& path : premises.read_only) { wrapping.bind("--ro-bind-try", path); }
    for (const std::string& path : premises.writable) { wrapping.bind("--bind-try", path); }
    wrapping.add_scratch(premises.scratch, options.scratch_bytes);
    std::vector<std::string> words = wrapping.take();
    words.emplace_back("--");
    words.insert(words.end(), inner.begin(), inner.end());
    inner = std::move(words);
  }
  launch.argv = std::move(inner);
  launch.launcher = true;
  launch.cgroup = options.uses(Layer::kCgroups);
  launch.group_processes = options.processes;
  if (!options.uses(Layer::kLimits)) {
    launch.memory_bytes = launch.file_bytes = 0;
    launch.cpu_seconds = 0;
    launch.open_files = 0;
  }
}

std::vector<LayerReport> complete_layers(const std::vector<LayerReport>& reported, const JailOptions& options,
                                         const JailSupport& support) {
  std::vector<LayerReport> layers;
  for (const Layer layer : kLayers) {
    const LayerReport* own = find_layer(reported, layer);
    if (!options.uses(layer)) {
      layers.push_back({layer, LayerState::kOff, "switched off"});
    } else if (layer == Layer::kSeccomp && kSanitized) {
      layers.push_back({layer, LayerState::kOff, "this is a build with sanitizers"});
    } else if (own != nullptr) {
      layers.push_back(*own);
    } else {
      layers.push_back({layer, LayerState::kUnavailable, support.why.empty() ? "it was not reached" : support.why});
    }
    const bool renamed = support.namespaces == NamespaceMode::kRenamed && own != nullptr;
    if (renamed && (layer == Layer::kNamespaces || layer == Layer::kUser)) {
      layers.back() = {layer, LayerState::kPartly, "root under another name: " + support.why};
    }
  }
  return layers;
}

nlohmann::json layers_evidence(const std::vector<LayerReport>& layers) {
  nlohmann::json evidence = {{"held", nlohmann::json::array()}};
  for (const LayerReport& report : layers) {
    const std::string name(layer_name(report.layer));
    if (report.state == LayerState::kActive) {
      evidence["held"].push_back(name);
    } else {
      evidence[report.state == LayerState::kPartly ? "partly" : "missing"][name] = report.detail;
    }
  }
  return evidence;
}

Status check_required(const std::vector<LayerReport>& layers, const JailOptions& options) {
  for (const Layer layer : options.required) {
    const LayerReport* report = find_layer(layers, layer);
    if (report != nullptr && report->state == LayerState::kActive) { continue; }
    const std::string state(report == nullptr ? "unavailable" : layer_state_name(report->state));
    const std::string why = report == nullptr || report->detail.empty() ? "" : " (" + report->detail + ")";
    return environment_error("the sandbox holds with less than --require-sandbox asks for: " +
                                 std::string(layer_name(layer)) + " is " + state + why,
                             "`vortex doctor` shows every layer; ask for less, or mend what is missing");
  }
  return ok_status();
}

bool has_gpu() { return ::access("/dev/nvidiactl", F_OK) == 0; }

}  // namespace vortex::sandbox
