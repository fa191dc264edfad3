#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "base/result.h"
#include "job/job.h"
#include "study/writer_options.h"

namespace vortex::study {

// What the front calls speed.
enum class RankSpeed {
  kMeasured,  // tokens per second over dense attention's, in turns in one process
  kModelled,  // bytes moved per decode step: deterministic, so that two searches can be compared decision by decision
};

// Everything that a search was started with: stored with the run, read back on resume.
struct SearchOptions {
  job::Job job;  // what all candidates share; id, policy and incumbent are filled in for each
  uint64_t seed = 1;
  std::string proposer = "evolve";
  int batch = 4;           // proposals a generation; they see the results of earlier generations only
  int overlap = 0;         // ... but not of so many last ones, which climb meanwhile
  double seconds = 0;      // wall clock over all sessions; 0: no limit
  int max_evals = 0;       // candidates that reach a worker, dense attention aside; 0: no limit
  double gpu_seconds = 0;  // GPUs held by workers times seconds; 0: no limit
  double max_tokens = 0;   // of language models, prompt and reply; 0: no limit
  double max_dollars = 0;  // paid for them; 0: no limit
  int gpus = 0;            // that one worker holds
  RankSpeed rank_speed = RankSpeed::kMeasured;
  double novelty = 0.03;     // structural distance below which a program with a known configuration is drawn again
  int draws = 8;             // proposals a slot before it stays empty
  std::string seeds_folder;  // first policies (NAME.py with NAME.json); empty: the built-in ones
  int workers = 1;
  double stage_seconds = 0;  // deadline of every stage; 0: from what it should cost
  int64_t memory_bytes = 0;  // address space of a worker; 0: no limit
  bool confirm = true;       // finalists answer held-out problems
  int held_out = 0;          // problems that finalists answer at most, by the time (settled_held_out); 0: not settled
  double margin = 0.1;       // of accuracy that a policy may lose and still be said to keep dense attention's
  int token_budget = 0;      // tokens that a policy may choose a row, reserved pages aside; 0: any number
  int speed_runs = 3;        // processes that measure the speed of members of the front and of finalists
  bool accept_baseline = false;  // go on where dense attention cannot tell good policies from bad ones
  WriterOptions writer;          // of the proposers llm, command and recorded
  int retests = 14;              // rounds of further problems for points that could change the front; 0: none
  double retest_share = 2;       // problems that retests may answer, over those that races answered
  double control_share = 0;      // of the proposals that are made without a look at results: the control arm
};

std::string_view rank_speed_name(RankSpeed rank);

nlohmann::json to_json(const SearchOptions& options);
// Strict: unknown keys and wrong types are refused by name.
Result<SearchOptions> options_from_json(const nlohmann::json& json);

}  // namespace vortex::study
