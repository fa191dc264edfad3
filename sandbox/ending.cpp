#include "sandbox/ending.h"

#include <sys/wait.h>

#include <csignal>
#include <cstring>

namespace vortex::sandbox {
namespace {

using job::Verdict;

constexpr double kNearlyAll = 0.8;  // of the limit: resident size never quite reaches the limit of address space

struct Judgement {
  Verdict verdict;
  Blame blame;
  std::string message;
};

std::string signal_name(int number) {
  const char* name = ::sigabbrev_np(number);
  return name == nullptr ? "signal " + std::to_string(number) : "SIG" + std::string(name);
}

bool at_memory_limit(const Exit& exit, const Allowance& allowance) {
  return allowance.memory_bytes > 0 &&
         (exit.memory_kills > 0 ||
          static_cast<double>(exit.peak_bytes) >= kNearlyAll * static_cast<double>(allowance.memory_bytes));
}

Judgement judge_kill(const Exit& exit, const Allowance& allowance) {
  if (allowance.cpu_seconds > 0 && exit.cpu_seconds >= allowance.cpu_seconds) {
    return {Verdict::kTimeout, Blame::kCandidate, "the worker used up its CPU time"};
  }
  if (at_memory_limit(exit, allowance)) {
    return {Verdict::kFail, Blame::kCandidate, "the worker was killed at its memory limit"};
  }
  if (exit.memory_kills > 0) {
    return {
        Verdict::kError, Blame::kEnvironment,
        "the worker was killed when it had used most of the machine's memory; --memory-limit says whose fault that is"};
  }
  return {Verdict::kError, Blame::kEnvironment,
          exit.ended_itself ? "the worker was killed from outside, most likely by the kernel for want of memory"
                            : "the sandbox around the worker was killed from outside"};
}

Judgement judge_death(const Exit& exit, const Allowance& allowance) {
  if (!WIFSIGNALED(exit.wait_status)) {
    return {Verdict::kError, Blame::kInternal,
            "the worker ended with exit code " + std::to_string(WEXITSTATUS(exit.wait_status)) + " without a result"};
  }
  switch (const int number = WTERMSIG(exit.wait_status)) {
    case SIGKILL:
      return judge_kill(exit, allowance);
    case SIGXCPU:
      return {Verdict::kTimeout, Blame::kCandidate, "the worker used up its CPU time"};
    case SIGXFSZ:
      return {Verdict::kFail, Blame::kCandidate, "the worker wrote a file that is larger than it may be"};
    case SIGSYS:
      return {Verdict::kFail, Blame::kCandidate, "the worker made a system call that it must not make"};
    default:
      return {Verdict::kError, Blame::kInternal, "the worker crashed: " + signal_name(number)};
  }
}

Judgement judge(std::string_view what, Ending ending, const Exit& exit, const Allowance& allowance,
                const std::string& detail) {
  switch (ending) {
    case Ending::kDeadline:
      return {Verdict::kTimeout, Blame::kCandidate, std::string(what) + " took longer than " + detail};
    case Ending::kStoodStill:
      return {Verdict::kError, Blame::kEnvironment,
              std::string(what) + " was given up, but the worker had been stopped: it used no CPU time"};
    case Ending::kStopped:
      return {Verdict::kError, Blame::kEnvironment, "stopped on request"};
    case Ending::kProtocol:
      return {Verdict::kError, Blame::kInternal, "the worker broke the protocol: " + detail};
    case Ending::kSilent:
      return {Verdict::kError, Blame::kInternal, "the worker neither started the next stage nor ended"};
    case Ending::kDied:
      break;
  }
  return judge_death(exit, allowance);
}

std::string ending_name(Ending ending) {
  switch (ending) {
    case Ending::kDeadline:
      return "deadline";
    case Ending::kStoodStill:
      return "stood still";
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

job::StageResult unfinished_result(job::Stage stage, Ending ending, const Exit& exit, const Allowance& allowance,
                                   const std::string& detail) {
  const Judgement judgement = judge(job::stage_name(stage), ending, exit, allowance, detail);
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
  if (exit.left_bytes >= 0) { evidence["left_bytes"] = exit.left_bytes; }
  if (WIFSIGNALED(exit.wait_status)) {
    evidence["signal"] = signal_name(WTERMSIG(exit.wait_status));
  } else {
    evidence["code"] = WEXITSTATUS(exit.wait_status);
  }
  return result;
}

Error unfinished_error(Ending ending, const Exit& exit, const Allowance& allowance, const std::string& detail) {
  const Judgement judgement = judge("the worker", ending, exit, allowance, detail);
  return {judgement.blame, judgement.message, ""};
}

}  // namespace vortex::sandbox
