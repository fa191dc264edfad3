#include "sandbox/devices.h"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <fstream>
#include <map>
#include <sstream>

namespace vortex::sandbox {
namespace {

namespace fs = std::filesystem;

std::optional<int> whole_number(std::string_view text) {
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < 0) { return std::nullopt; }
  return value;
}

std::string trimmed(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t\n");
  if (first == std::string_view::npos) { return {}; }
  return std::string(text.substr(first, text.find_last_not_of(" \t\n") - first + 1));
}

std::string first_line(const fs::path& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return trimmed(line);
}

std::vector<fs::path> sorted_entries(const fs::path& folder) {
  std::vector<fs::path> entries;
  std::error_code ec;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, ec)) { entries.push_back(entry.path()); }
  std::sort(entries.begin(), entries.end());
  return entries;
}

bool can_open(const fs::path& root, int minor) {
  return ::access((root / "dev" / ("nvidia" + std::to_string(minor))).c_str(), R_OK | W_OK) == 0;
}

std::vector<int> cores_of(const fs::path& root, const std::string& address) {
  const auto node = whole_number(first_line(root / "sys/bus/pci/devices" / address / "numa_node"));
  if (!node) {
    return {};  // a machine of one node says -1
  }
  return parse_cores(first_line(root / "sys/devices/system/node" / ("node" + std::to_string(*node)) / "cpulist"));
}

// One folder of /proc/driver/nvidia/gpus, which is named by the PCI address.
std::optional<Gpu> read_gpu(const fs::path& root, const fs::path& folder) {
  std::map<std::string, std::string> facts;
  std::ifstream file(folder / "information");
  for (std::string line; std::getline(file, line);) {
    const size_t colon = line.find(':');
    if (colon != std::string::npos) { facts[trimmed(line.substr(0, colon))] = trimmed(line.substr(colon + 1)); }
  }
  const auto minor = whole_number(facts["Device Minor"]);
  if (!minor) { return std::nullopt; }
  std::string address = folder.filename().string();
  std::transform(address.begin(), address.end(), address.begin(), [](unsigned char c) { return std::tolower(c); });
  std::string uuid = facts["GPU UUID"];
  if (uuid.find('?') != std::string::npos) {
    uuid.clear();  // a driver that has not started yet
  }
  return Gpu{*minor, facts["Model"], uuid, cores_of(root, address)};
}

// Where the driver tells nothing, the nodes alone count.
std::vector<Gpu> gpus_of_nodes(const fs::path& root) {
  std::vector<Gpu> gpus;
  for (const fs::path& node : sorted_entries(root / "dev")) {
    const std::string name = node.filename().string();
    const auto minor = name.starts_with("nvidia") ? whole_number(name.substr(6)) : std::nullopt;
    if (minor && can_open(root, *minor)) { gpus.push_back({*minor, {}, {}, {}}); }
  }
  std::sort(gpus.begin(), gpus.end(), [](const Gpu& a, const Gpu& b) { return a.minor < b.minor; });
  return gpus;
}

std::vector<Gpu> chosen(const std::vector<Gpu>& all, const std::string& visible) {
  std::vector<Gpu> gpus;
  std::istringstream list(visible);
  for (std::string item; std::getline(list, item, ',');) {
    const std::string name = trimmed(item);
    const auto number = whole_number(name);
    const auto named = std::find_if(all.begin(), all.end(), [&](const Gpu& gpu) {
      return number ? &gpu - all.data() == *number : !name.empty() && gpu.visible_as.starts_with(name);
    });
    if (named == all.end()) { break; }
    gpus.push_back(*named);
  }
  return gpus;
}

}  // namespace

std::vector<Gpu> find_gpus(const fs::path& root, const char* visible) {
  std::vector<Gpu> gpus;
  for (const fs::path& folder : sorted_entries(root / "proc/driver/nvidia/gpus")) {
    const std::optional<Gpu> gpu = read_gpu(root, folder);
    if (gpu && can_open(root, gpu->minor)) { gpus.push_back(*gpu); }
  }
  if (gpus.empty()) { gpus = gpus_of_nodes(root); }
  for (size_t i = 0; i < gpus.size(); ++i) {
    if (gpus[i].visible_as.empty()) { gpus[i].visible_as = std::to_string(i); }
  }
  return visible == nullptr ? gpus : chosen(gpus, visible);
}

std::vector<Gpu> in_groups(const std::vector<Gpu>& gpus, int size) {
  const auto together = static_cast<size_t>(size);
  std::vector<Gpu> groups;
  for (size_t first = 0; first + together <= gpus.size(); first += together) {
    Gpu group = gpus[first];
    for (size_t i = first + 1; i < first + together; ++i) { group.visible_as += "," + gpus[i].visible_as; }
    groups.push_back(std::move(group));
  }
  return groups;
}

Status check_groups(size_t gpus, int size, int workers) {
  if (size <= 1 || gpus == 0) { return ok_status(); }
  const auto have = static_cast<int>(gpus);
  const std::string here = std::to_string(have) + (have == 1 ? " GPU" : " GPUs") + " of one kind";
  if (have < size) {
    return candidate_error("--tensor-parallel " + std::to_string(size) + " wants as many GPUs, and here " +
                               (have == 1 ? "is " : "are ") + here,
                           "spread the model over fewer, or over threads of the CPU: --device cpu");
  }
  if (have % size != 0) {
    return candidate_error(
        here + " cannot be shared out in groups of " + std::to_string(size),
        "name those to be used in CUDA_VISIBLE_DEVICES, " + std::to_string(have - have % size) + " or fewer");
  }
  if (workers * size > have) {
    return candidate_error(std::to_string(workers) + " workers with " + std::to_string(size) + " GPUs each want " +
                               std::to_string(workers * size) + ", and here are " + here +
                               ": a group serves one worker",
                           "--workers " + std::to_string(have / size));
  }
  return ok_status();
}

std::vector<int> parse_cores(const std::string& list) {
  std::vector<int> cores;
  std::istringstream ranges(list);
  for (std::string range; std::getline(ranges, range, ',');) {
    const size_t dash = range.find('-');
    const auto first = whole_number(trimmed(range.substr(0, dash)));
    const auto last = dash == std::string::npos ? first : whole_number(trimmed(range.substr(dash + 1)));
    if (!first || !last || *last >= CPU_SETSIZE) { continue; }
    for (int core = *first; core <= *last; ++core) { cores.push_back(core); }
  }
  return cores;
}

std::vector<int> own_cores() {
  std::vector<int> cores;
  cpu_set_t set;
  CPU_ZERO(&set);
  if (::sched_getaffinity(0, sizeof set, &set) != 0) { return cores; }
  for (int core = 0; core < CPU_SETSIZE; ++core) {
    if (CPU_ISSET(static_cast<size_t>(core), &set)) { cores.push_back(core); }
  }
  return cores;
}

std::vector<Share> share_out(const std::vector<Gpu>& gpus, const std::vector<int>& own, int workers) {
  std::vector<Share> shares(static_cast<size_t>(workers));
  if (gpus.empty()) { return shares; }
  std::map<std::vector<int>, std::vector<Share*>> nodes;  // by their cores
  for (size_t i = 0; i < shares.size(); ++i) {
    const Gpu& gpu = gpus[i % gpus.size()];
    shares[i].gpu = static_cast<int>(i % gpus.size());
    shares[i].visible_as = gpu.visible_as;
    shares[i].sharers = static_cast<int>((shares.size() - 1 - i % gpus.size()) / gpus.size()) + 1;
    std::vector<int> usable;
    std::copy_if(gpu.cores.begin(), gpu.cores.end(), std::back_inserter(usable),
                 [&](int core) { return std::find(own.begin(), own.end(), core) != own.end(); });
    nodes[usable].push_back(&shares[i]);
  }
  for (const auto& [cores, users] : nodes) {
    for (size_t i = 0; i < users.size(); ++i) {
      const auto first = static_cast<std::ptrdiff_t>(cores.size() * i / users.size());
      const auto last = static_cast<std::ptrdiff_t>(cores.size() * (i + 1) / users.size());
      users[i]->cores.assign(cores.begin() + first, cores.begin() + last);
      if (first == last) {
        users[i]->cores = cores;  // more workers than cores
      }
    }
  }
  return shares;
}

}  // namespace vortex::sandbox
