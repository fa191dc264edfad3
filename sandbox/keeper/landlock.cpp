#include "sandbox/keeper/landlock.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>

namespace vortex::sandbox {
namespace {

// The kernel's interface, as of version 6; the headers of older systems lack the later half.
constexpr long kCreateRuleset = 444;
constexpr long kAddRule = 445;
constexpr long kRestrictSelf = 446;
constexpr unsigned kVersionFlag = 1;
constexpr int kPathBeneath = 1;

struct RulesetAttributes {
  uint64_t files = 0;
  uint64_t net = 0;
  uint64_t scopes = 0;
};
struct [[gnu::packed]] PathBeneath {
  uint64_t allowed = 0;
  int32_t parent = -1;
};

constexpr uint64_t kExecute = 1U << 0;
constexpr uint64_t kWriteFile = 1U << 1;
constexpr uint64_t kReadFile = 1U << 2;
constexpr uint64_t kReadFolder = 1U << 3;
constexpr uint64_t kFirstRights = (1U << 13) - 1;  // what version 1 knows
constexpr uint64_t kRefer = 1U << 13;              // version 2: link and rename between folders
constexpr uint64_t kTruncate = 1U << 14;           // version 3
constexpr uint64_t kIoctl = 1U << 15;              // version 5: of devices
constexpr uint64_t kFileRights = kExecute | kWriteFile | kReadFile | kTruncate | kIoctl;  // that make sense for a file
constexpr uint64_t kTcp = 3;                                                              // version 4: bind, connect
constexpr uint64_t kScopes = 3;  // version 6: abstract sockets, signals

uint64_t known_rights(int version) {
  uint64_t rights = kFirstRights;
  if (version >= 2) { rights |= kRefer; }
  if (version >= 3) { rights |= kTruncate; }
  if (version >= 5) { rights |= kIoctl; }
  return rights;
}

std::string failure(const std::string& what) { return what + ": " + std::strerror(errno); }

std::string allow(int ruleset, const std::vector<std::string>& paths, uint64_t rights) {
  for (const std::string& path : paths) {
    const int place = ::open(path.c_str(), O_PATH | O_CLOEXEC);
    if (place < 0) { continue; }
    struct stat about {};
    const bool folder = ::fstat(place, &about) == 0 && S_ISDIR(about.st_mode);
    PathBeneath rule{folder ? rights : rights & kFileRights, place};
    const long added = ::syscall(kAddRule, ruleset, kPathBeneath, &rule, 0U);
    std::string failed = added == 0 ? std::string() : failure("a rule for " + path);
    ::close(place);
    if (!failed.empty()) { return failed; }
  }
  return {};
}

}  // namespace

int landlock_version(std::string& why) {
  const long version = ::syscall(kCreateRuleset, nullptr, size_t{0}, kVersionFlag);
  if (version > 0) { return static_cast<int>(version); }
  why = errno == ENOSYS       ? "this kernel has none"
        : errno == EOPNOTSUPP ? "it is not among the security modules that this kernel was started with"
                              : std::strerror(errno);
  return 0;
}

std::string confine(const FileRules& rules, int version) {
  const uint64_t rights = known_rights(version);
  const RulesetAttributes attributes{rights, version >= 4 ? kTcp : 0, version >= 6 ? kScopes : 0};
  const size_t size = version >= 6 ? sizeof attributes : version >= 4 ? 16 : 8;
  const int ruleset = static_cast<int>(::syscall(kCreateRuleset, &attributes, size, 0U));
  if (ruleset < 0) { return failure("a set of rules"); }
  const uint64_t read = kReadFile | kReadFolder;
  const uint64_t no_program = rights & ~kExecute;
  std::string failed = allow(ruleset, rules.read, read);
  if (failed.empty()) { failed = allow(ruleset, rules.execute, read | kExecute); }
  if (failed.empty()) { failed = allow(ruleset, rules.write, no_program & ~kIoctl); }
  if (failed.empty()) { failed = allow(ruleset, rules.devices, (read | kWriteFile | kTruncate | kIoctl) & rights); }
  if (failed.empty() && ::syscall(kRestrictSelf, ruleset, 0U) != 0) { failed = failure("confining"); }
  ::close(ruleset);
  return failed;
}

}  // namespace vortex::sandbox
