// Checks one policy and says what that took, in instructions of this process alone, where the processor's counters may
// be read; tests/core/vflow/linear.py asks. Under callgrind, count what is below check_policy.
// usage: check_work MODULE CONFIG        prints "CODE INSTRUCTIONS", the number -1 where nobody counts

#include <linux/perf_event.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>

#include "base/files.h"
#include "core/vflow/policy.h"

namespace {

int open_counter() {
  perf_event_attr wanted = {};
  wanted.size = sizeof wanted;
  wanted.type = PERF_TYPE_HARDWARE;
  wanted.config = PERF_COUNT_HW_INSTRUCTIONS;
  wanted.disabled = 1;
  wanted.exclude_kernel = 1;
  wanted.exclude_hv = 1;
  return static_cast<int>(::syscall(SYS_perf_event_open, &wanted, 0, -1, -1, 0));
}

}  // namespace

int main(int argc, char** argv) {
  using namespace vortex;
  if (argc != 3) { return 1; }
  const auto module = read_file(argv[1]);
  const auto config = read_file(argv[2]);
  if (!module.ok() || !config.ok()) { return 1; }
  const vflow::PolicySource source = {*module, *config, "policy.py", "policy.json"};
  vflow::ModelGeometry model;
  model.layers = 4;
  model.num_q_heads = 8;
  model.num_kv_heads = 4;
  model.head_dim = 64;
  model.max_context = 4608;
  const int counter = open_counter();
  if (counter >= 0) { ::ioctl(counter, PERF_EVENT_IOC_ENABLE, 0); }
  const vflow::CheckReport report = vflow::check_policy(source, model);
  if (counter >= 0) { ::ioctl(counter, PERF_EVENT_IOC_DISABLE, 0); }
  int64_t instructions = -1;
  if (counter < 0 || ::read(counter, &instructions, sizeof instructions) != sizeof instructions) { instructions = -1; }
  const bool refused = vflow::has_errors(report.diagnostics);
  std::string code = "ok";
  for (const vflow::Diagnostic& finding : report.diagnostics) {
    if (refused && finding.severity == vflow::Severity::kError) {
      code = finding.code;
      break;
    }
  }
  std::printf("%s %lld\n", code.c_str(), static_cast<long long>(instructions));
  return 0;
}
