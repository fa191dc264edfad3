#pragma once

#include <future>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "core/engine/engine.h"
#include "core/model/tokenizer.h"
#include "core/vflow/policy.h"
#include "evals/ladder/device_turn.h"
#include "evals/tasks/task.h"
#include "job/job.h"
#include "job/stage.h"

namespace vortex::evals {

// A problem as the engine takes it.
struct PreparedProblem {
  const job::TaskSpec* spec = nullptr;  // of the session: how to sample, and how much
  const Task* task = nullptr;           // how to grade
  Problem problem;
  std::vector<int32_t> prompt;
  std::string thought;       // the mark of a thought that the prompt opens, or empty
  engine::PrefixPtr prefix;  // dense prefill of the prompt, loaded on first use; null where the job keeps none
};

// How fast this engine answers, measured once a climb; 0: not yet.
struct Pace {
  double seconds_per_byte = 0;  // of decode steps, by the bytes that the limit model counts
  double seconds_per_prompt_token = 0;
};

// What greedy decoding would make of the right answers, forced by the recall stage: is every token of problem i's the
// most probable one? Empty until that stage ran; it predicts the race, and claims nothing.
struct ExpectedAnswers {
  std::vector<bool> own;    // of the policy
  std::vector<bool> dense;  // of dense attention
};

// What all stages of one climb share: the model in an engine, the policy, the problems.
struct Session {
  job::Job job;
  job::TaskSpec held_out_task;
  std::unique_ptr<model::Tokenizer> tokenizer;
  std::vector<PreparedProblem> problems;  // of job.task
  std::vector<PreparedProblem> held_out;  // of the confirm stage, where it is one of the job's stages
  std::vector<PreparedProblem> gate;      // of all job.gate tasks in turn, where it is one of the job's stages
  std::unique_ptr<engine::Engine> engine;
  std::string device = "cpu";              // what the engine runs on: evidence
  int driver = 0;                          // of a CUDA device; 0: the engine runs on the CPU
  std::string bus_id;                      // of a CUDA device
  std::vector<std::string> other_bus_ids;  // of those of ranks behind the first
  int max_batch = 1;                       // requests that the engine decodes together
  model::ModelConfig config;               // of the model
  std::string prompt_date;                 // the day that the chat template wrote into prompts; empty: none
  std::string device_note;                 // why not on a device that is there
  std::optional<vflow::Policy> policy;     // none: dense attention
  std::vector<job::Outcome> raced;         // what the race stage answered
  Pace pace;
  ExpectedAnswers expected;    // of `problems`
  std::future<void> oracle;    // while it loads (load_oracle_ahead)
  DeviceTurn* turn = nullptr;  // on a device that others share; its stages' own, null in a session without a ladder
};

// A session that has its tokenizer and its problems, and no engine yet.
Result<std::unique_ptr<Session>> prepare_session(const job::Job& job);

// Tokens of the longest request that any stage makes.
int longest_context(const Session& session);
// Tokens that the speed stage's fixed work decodes behind a prompt: those of the job, as far as the model has
// positions.
int timed_tokens(const Session& session, const PreparedProblem& prepared);

// Loads model and tokenizer, makes the problems, checks the policy against the model, sizes the engine for the longest
// request, and sets the policy. A policy that does not check is the candidate's fault; the message is the rendered
// diagnostics.
Result<std::unique_ptr<Session>> open_session(const job::Job& job);

// Does the policy leave any layer to page selection?
bool selects_pages(const Session& session);

// Generates an answer to every problem, `trials` times, in one run of the engine under its current policy, and grades
// them: an outcome for each answer that the problem asks for, numbered trial by trial. Sampling is seeded by (task
// seed, place of the problem in `all`, trial) alone, so that all candidates of a task share their seeds. `first` and
// `count` choose a range of `all`. Adds the run's counters to `stats`.
Result<std::vector<job::Outcome>> answer(Session& session, std::vector<PreparedProblem>& all, size_t first,
                                         size_t count, uint64_t task_seed, engine::RunStats& stats);

// Dense attention's outcomes on `all`: those that the job brings along, if it brings all; else it answers here and now.
// For the dense baseline itself only what the job brings. The session's policy is set again afterwards.
Result<std::vector<job::Outcome>> dense_outcomes(Session& session, std::vector<PreparedProblem>& all,
                                                 uint64_t task_seed);

// The problem's prompt as a request, with its prefix if the job keeps any.
Result<engine::Request> request_of(Session& session, PreparedProblem& prepared);

}  // namespace vortex::evals
