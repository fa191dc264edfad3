#include "sandbox/worker/keep.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <exception>
#include <new>
#include <utility>

#include "evals/ladder/kept.h"
#include "sandbox/keeper_socket.h"

namespace vortex::sandbox {
namespace {

Result<evals::Keeping> make(const job::Job& job) {
  try {
    return evals::keep(job);
  } catch (const std::bad_alloc&) {
    return environment_error("out of memory while weights were read");
  } catch (const std::exception& exception) { return internal_error(std::string("exception: ") + exception.what()); }
}

}  // namespace

int keep_weights() {
  ::prctl(PR_SET_NAME, "vortex-weights");
  // Nobody reads on while all goes well: what no longer fits into the pipe is dropped.
  ::fcntl(STDERR_FILENO, F_SETFL, ::fcntl(STDERR_FILENO, F_GETFL) | O_NONBLOCK);
  const Result<job::Job> job = receive_keeper_job(kFirstInherited);
  if (!job.ok()) { return exit_code(job.error().blame); }
  Result<evals::Keeping> keeping = make(*job);
  Result<KeeperAnswer> answer = KeeperAnswer{};
  if (keeping.ok()) {
    *answer = {keeping->label, std::move(keeping->descriptors), ::getpid()};
  } else {
    answer = keeping.error();
  }
  const Status sent = send_keeper_answer(kFirstInherited, answer);
  if (!sent.ok() || !answer.ok()) { return exit_code(sent.ok() ? answer.error().blame : sent.error().blame); }
  char byte = 0;
  while (::read(kFirstInherited, &byte, 1) > 0) {}
  return 0;
}

}  // namespace vortex::sandbox
