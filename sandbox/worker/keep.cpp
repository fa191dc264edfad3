#include "sandbox/worker/keep.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <exception>
#include <iostream>
#include <new>
#include <utility>

#include "evals/ladder/kept.h"
#include "sandbox/keeper_socket.h"

namespace vortex::sandbox {
namespace {

constexpr int kLowestPriority = 19;

Result<evals::KeptParts> make(const job::Job& job) {
  try {
    return evals::keep(job);
  } catch (const std::bad_alloc&) {
    return environment_error("out of memory while weights were read");
  } catch (const std::exception& exception) { return internal_error(std::string("exception: ") + exception.what()); }
}

// What is left of a core: a worker's own threads come first. Not SCHED_IDLE: on a busy machine such a process takes ten
// seconds to die when it is killed. What goes wrong costs nothing but the time that it would have saved.
void read_while_idle(const evals::AheadReader& reader, const std::vector<job::TaskSpec>& ahead) {
  if (::setpriority(PRIO_PROCESS, 0, kLowestPriority) != 0) { return; }
  const auto nobody_left = [] {
    pollfd socket{kFirstInherited, POLLIN, 0};  // the other end says nothing more until it closes
    return ::poll(&socket, 1, 0) != 0;
  };
  try {
    const Status read = evals::read_ahead(reader, ahead, nobody_left);
    if (!read.ok()) { std::cerr << "prompts are not read ahead: " << read.error().message << "\n"; }
  } catch (const std::exception& exception) { std::cerr << "prompts are not read ahead: " << exception.what() << "\n"; }
}

}  // namespace

int keep_weights() {
  ::prctl(PR_SET_NAME, "vortex-weights");
  // Nobody reads on while all goes well: what no longer fits into the pipe is dropped.
  ::fcntl(STDERR_FILENO, F_SETFL, ::fcntl(STDERR_FILENO, F_GETFL) | O_NONBLOCK);
  const Result<KeeperRequest> request = receive_keeper_request(kFirstInherited);
  if (!request.ok()) { return exit_code(request.error().blame); }
  Result<evals::KeptParts> keeping = make(request->job);
  Result<KeeperAnswer> answer = KeeperAnswer{};
  if (keeping.ok()) {
    *answer = {keeping->label, std::move(keeping->descriptors), ::getpid()};
  } else {
    answer = keeping.error();
  }
  const Status sent = send_keeper_answer(kFirstInherited, answer);
  if (!sent.ok() || !answer.ok()) { return exit_code(sent.ok() ? answer.error().blame : sent.error().blame); }
  if (keeping->reader) { read_while_idle(*keeping->reader, request->ahead); }
  char byte = 0;
  while (::read(kFirstInherited, &byte, 1) > 0) {}
  return 0;
}

}  // namespace vortex::sandbox
