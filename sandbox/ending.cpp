#include "sandbox/ending.h"

#include <sys/wait.h>

#include <csignal>
#include <cstring>

namespace vortex::sandbox {
namespace {

constexpr double kMemoryShare = 0.8;  // of the limit: resident size never quite reaches the limit of address space

struct Judgement {
  job::Verdict verdict;
  Blame blame;
  std::string message;
};

std::string signal_name(int number) {
  const char* name = ::sigabbrev_np(number);
  return name == nullptr ? "signal " + std::to_string(number) : "SIG" + std::string(name);
}

Judgement judge_death(const Exit& exit, int64_t memory_bytes, double cpu_limit) {
  using job::Verdict;
  if (!WIFSIGNALED(exit.wait_status)) {
    return {Verdict::kError, Blame::kInternal,
            "the worker ended with exit code " + std::to_string(WEXITSTATUS(exit.wait_status)) + " without a result"};
  }
  const int number = WTERMSIG(exit.wait_status);
  if (number == SIGXCPU || (number == SIGKILL && cpu_limit > 0 && exit.cpu_seconds >= cpu_limit)) {
    return {Verdict::kTimeout, Blame::kCandidate, "the worker used up its CPU time"};
  }
  if (number == SIGKILL && memory_bytes > 0 &&
      static_cast<double>(exit.peak_bytes) >= kMemoryShare * static_cast<double>(memory_bytes)) {
    return {Verdict::kFail, Blame::kCandidate, "the worker was killed at its memory limit"};
  }
  if (number == SIGKILL) {
    return {Verdict::kError, Blame::kEnvironment,
            "the worker was killed from outside, most likely by the kernel for want of memory"};
  }
  return {Verdict::kError, Blame::kInternal, "the worker crashed: " + signal_name(number)};
}

Judgement judge(std::string_view what, Ending ending, const Exit& exit, int64_t memory_bytes, double cpu_limit,
                const std::string& detail) {
  using job::Verdict;
  switch (ending) {
    case Ending::kDeadline:
      return {Verdict::kTimeout, Blame::kCandidate, std::string(what) + " took longer than " + detail};
    case Ending::kStopped:
      return {Verdict::kError, Blame::kEnvironment, "stopped on request"};
    case Ending::kProtocol:
      return {Verdict::kError, Blame::kInternal, "the worker broke the protocol: " + detail};
    case Ending::kSilent:
      return {Verdict::kError, Blame::kInternal, "the worker neither started the next stage nor ended"};
    case Ending::kDied:
      break;
  }
  return judge_death(exit, memory_bytes, cpu_limit);
}

std::string ending_name(Ending ending) {
  switch (ending) {
    case Ending::kDeadline:
      return "deadline";
    case Ending::kStopped:
      return "stopped";
    case Ending::kProtocol:
      return "protocol";
    case Ending::kSilent:
      return "silent";
    case Ending::kDied:
      break;
  }
  return "died";
}

}  // namespace

job::StageResult unfinished_result(job::Stage stage, Ending ending, const Exit& exit, int64_t memory_bytes,
                                   double cpu_limit, const std::string& detail) {
  const Judgement judgement = judge(job::stage_name(stage), ending, exit, memory_bytes, cpu_limit, detail);
  job::StageResult result;
  result.stage = stage;
  result.verdict = judgement.verdict;
  result.blame = judgement.blame;
  result.message = judgement.message;
  nlohmann::json& evidence = result.evidence["exit"];
  evidence = {{"how", ending_name(ending)},
              {"peak_bytes", exit.peak_bytes},
              {"cpu_seconds", exit.cpu_seconds},
              {"tree_gone", exit.tree_gone}};
  if (WIFSIGNALED(exit.wait_status)) {
    evidence["signal"] = signal_name(WTERMSIG(exit.wait_status));
  } else {
    evidence["code"] = WEXITSTATUS(exit.wait_status);
  }
  return result;
}

Error unfinished_error(Ending ending, const Exit& exit, int64_t memory_bytes, double cpu_limit,
                       const std::string& detail) {
  const Judgement judgement = judge("the worker", ending, exit, memory_bytes, cpu_limit, detail);
  return {judgement.blame, judgement.message, ""};
}

}  // namespace vortex::sandbox
