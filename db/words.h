#pragma once

#include <compare>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "base/names.h"
#include "job/stage.h"

namespace vortex::db {

// What the columns of rows say by a word. In C++ it is an enum; the words stand here and nowhere else.

enum class RunState { kRunning, kFinished, kInterrupted, kFailed };

enum class CandidateState { kProposed, kRunning, kDone };

// Where a candidate comes from.
enum class Origin {
  kDense,      // dense attention, the baseline
  kSeed,       // a policy to start from
  kRandom,     // a fresh program
  kMutate,     // a change of one parent
  kCrossover,  // parts of two parents
  kLlm,        // a language model's, or of a program that stands for one
  kRepair,     // likewise, of a policy that was refused
};

// kControl: proposed without a look at results.
enum class Arm { kSearch, kControl };

enum class CallPurpose { kPropose, kRepair };
enum class CallState { kSent, kAnswered, kFailed };

enum class NoteKind { kHypothesis, kAntiPattern, kQuestion };
enum class Finding { kConfirmed, kRefuted, kInconclusive };  // what the data said of a hypothesis

enum class RequestKind { kRetest, kConfirm };

// Which round of which stage a row tells of. Round 1 is the climb's, or for kConfirm the first of held-out problems.
// Further ones come beside the climb and change no verdict of it:
//   race: further problems of the search, called "retest-1", "retest-2", ...;
//   confirm: further held-out problems, "confirm-2", "confirm-3", ...;
//   speed: speed once more, in a process of its own, "speed-2", "speed-3", ...
struct StageRound {
  // Not explicit: a stage is its first round.
  StageRound(job::Stage of = job::Stage::kCheck, int number = 1) : stage(of), round(number) {}

  job::Stage stage;
  int round;

  bool operator==(const StageRound&) const = default;
  auto operator<=>(const StageRound&) const = default;
};
std::string stage_round_name(StageRound which);
std::optional<StageRound> stage_round_from_name(std::string_view name);
// As name_of: the empty word where there is none.
std::string stage_round_name(const std::optional<StageRound>& which);

// Into JSON by its word.
template <Named E>
void to_json(nlohmann::json& json, E value) {
  json = name_of(value);
}

}  // namespace vortex::db

template <>
inline constexpr std::array<std::string_view, 3> vortex::kNames<vortex::Blame> = {"candidate", "environment",
                                                                                  "internal"};
template <>
inline constexpr std::array<std::string_view, 4> vortex::kNames<vortex::db::RunState> = {"running", "finished",
                                                                                         "interrupted", "failed"};
template <>
inline constexpr std::array<std::string_view, 3> vortex::kNames<vortex::db::CandidateState> = {"proposed", "running",
                                                                                               "done"};
template <>
inline constexpr std::array<std::string_view, 7> vortex::kNames<vortex::db::Origin> = {
    "dense", "seed", "random", "mutate", "crossover", "llm", "repair"};
template <>
inline constexpr std::array<std::string_view, 2> vortex::kNames<vortex::db::Arm> = {"search", "control"};
template <>
inline constexpr std::array<std::string_view, 2> vortex::kNames<vortex::db::CallPurpose> = {"propose", "repair"};
template <>
inline constexpr std::array<std::string_view, 3> vortex::kNames<vortex::db::CallState> = {"sent", "answered", "failed"};
template <>
inline constexpr std::array<std::string_view, 3> vortex::kNames<vortex::db::NoteKind> = {"hypothesis", "anti-pattern",
                                                                                         "question"};
template <>
inline constexpr std::array<std::string_view, 3> vortex::kNames<vortex::db::Finding> = {"confirmed", "refuted",
                                                                                        "inconclusive"};
template <>
inline constexpr std::array<std::string_view, 2> vortex::kNames<vortex::db::RequestKind> = {"retest", "confirm"};
