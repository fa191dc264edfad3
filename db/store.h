#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "db/words.h"

namespace vortex::db {

// Rows as plain structs; JSON columns travel as text. Ids are SQLite rowids. Times are seconds since the epoch.

struct Run {
  int64_t id = 0;
  std::string name;    // short and unique, e.g. "brisk-otter": what users type
  std::string config;  // JSON: everything the search was started with; resume reads it back
  RunState state = RunState::kRunning;
  double started = 0;
  double ended = 0;             // 0 while running
  double seconds_used = 0;      // wall clock over all sittings, kept up by heartbeat: budgets survive a resume
  double gpu_seconds_used = 0;  // GPUs held by workers times seconds, likewise
};

struct Candidate {
  int64_t id = 0;
  int64_t run = 0;
  int64_t batch = 0;  // generation of proposals
  int64_t slot = 0;   // place in the batch
  int64_t draw = 0;   // refused proposals are kept and drawn again: (run, batch, slot, draw) is unique
  std::string key;    // policy_key: identity up to names
  std::string program_hash;
  std::string module_object;  // object names (SHA-256) of the sources
  std::string config_object;
  Origin origin = Origin::kSeed;
  std::string rationale;
  CandidateState state = CandidateState::kProposed;
  std::optional<job::Verdict> verdict;  // of the last stage; none while not done
  Arm arm = Arm::kSearch;
};

struct LineageEdge {
  int64_t child = 0;
  int64_t parent = 0;
  std::string operation;  // in words, e.g. "topk_val 29 -> 21"
};

// One attempt at one stage. A resumed candidate starts a new attempt; rows are never rewritten.
struct StageRow {
  int64_t id = 0;
  int64_t candidate = 0;
  int64_t attempt = 0;
  StageRound stage;
  job::Verdict verdict = job::Verdict::kError;
  std::optional<Blame> blame;  // none on a pass
  std::string message;
  std::string metrics;   // JSON array of job::Metric
  std::string evidence;  // JSON object
  std::string log_tail;
  double seconds = 0;
  double created = 0;
};

struct OutcomeRow {
  int64_t candidate = 0;
  int64_t attempt = 0;
  StageRound stage;  // of gate, race or confirm
  std::string problem;
  int64_t trial = 0;
  bool correct = false;
  int64_t tokens = 0;
  std::string extracted;
  std::string rule;
  std::string tokens_hash;
};

struct Event {
  int64_t id = 0;
  int64_t run = 0;
  double created = 0;
  std::string kind;    // started, resumed, batch, stop-requested, budget, interrupted, finished, worker-lost, ...
  std::string detail;  // JSON
};

// What one paid call of a service cost; while it is not settled, what it may cost at most.
struct Spend {
  int64_t id = 0;
  int64_t run = 0;
  double created = 0;
  double tokens = 0;
  double dollars = 0;
  bool settled = false;
};

// One attempt to get a reply from a language model (or from a program that stands for one), for one place in a batch.
// `sent` until its end is known: one that a crash cut off stays so.
struct LlmCall {
  int64_t id = 0;
  int64_t run = 0;
  int64_t batch = 0;
  int64_t slot = 0;
  int64_t draw = 0;
  int64_t attempt = 1;  // (run, batch, slot, draw, attempt) is unique
  CallPurpose purpose = CallPurpose::kPropose;
  std::string model;  // the user's name for it
  std::string prompt_object;
  std::string reply_object;  // empty while there is none
  CallState state = CallState::kSent;
  std::string finish;   // why the reply ended: stop, length, refusal, ...
  std::string message;  // why it failed
  int64_t input_tokens = 0;
  int64_t output_tokens = 0;
  double dollars = 0;
  double seconds = 0;
  double created = 0;
};

// A line of the notebook, registered before what it speaks of is evaluated.
struct Note {
  int64_t id = 0;
  int64_t run = 0;
  int64_t batch = 0;  // the candidate that it speaks of, by its place
  int64_t slot = 0;
  int64_t draw = 0;
  NoteKind kind = NoteKind::kHypothesis;
  std::string text;        // (run, batch, slot, draw, kind, text) is unique
  std::string prediction;  // JSON; {} where nothing is predicted
  double created = 0;
};

// What the data said of a hypothesis: written once.
struct NoteVerdict {
  int64_t note = 0;
  Finding verdict = Finding::kInconclusive;
  double value = 0;  // the measured effect with its 95 % interval
  double lo = 0;
  double hi = 0;
  std::string reason;
  double created = 0;
};

// How a store deals with a disk that fills up.
struct StoreOptions {
  int64_t reserve_bytes = int64_t{64} << 20;  // nothing new is begun with less than this left
  std::function<int64_t()> free_bytes;        // of the workspace's disk; empty: asks the system
};

// What to do about objects that are gone.
inline constexpr const char* kLostHint =
    "restore the objects/ folder that belongs to this database, from a backup (`vortex db backup` makes them)";

// Is this error of a store one that no waiting will mend: a damaged file, a lost object, a row of a newer program?
bool is_lasting(const Error& error);
// What a person made of a candidate.
struct Mark {
  int64_t candidate = 0;
  bool starred = false;
  bool hidden = false;
  std::string note;
};

// What a person asked of a running search.
struct Request {
  int64_t id = 0;
  int64_t run = 0;
  int64_t candidate = 0;
  RequestKind kind = RequestKind::kRetest;
  double created = 0;
  int64_t batch = 0;   // at whose end the search took it up; 0: not yet
  double taken = 0;    // when it did
  double ended = 0;    // when it was answered; 0: not yet
  std::string result;  // in words
};

// The workspace's database (SQLite, WAL, foreign keys) and its content-addressed objects. A search holds the
// workspace's lock (lock.h); readers and short writes of other processes (a stop request) go beside it. Thread-safe.
// Every call is one transaction: after it returns, kill -9 and power loss lose nothing. Errors: environment (disk full,
// locked, not writable, a word in a row that only a newer program knows), with the file named.
class Store {
 public:
  // Opens or creates <workspace>/vortex.db, migrates it and looks whether it is whole. A database from a newer program
  // is refused. What begins something new (a run, a candidate, a stage's rows, a call, an object) fails (environment)
  // before the disk is full, so that what is under way can still be ended.
  static Result<std::unique_ptr<Store>> open(const std::filesystem::path& workspace, StoreOptions options = {});
  // Opens for reading only, also where nothing can be written; a missing workspace is the candidate's error.
  static Result<std::unique_ptr<Store>> open_read_only(const std::filesystem::path& workspace);
  virtual ~Store() = default;

  virtual Result<int64_t> add_run(const Run& run) = 0;
  // Any state but kRunning sets `ended` too.
  virtual Status set_run_state(int64_t run, RunState state) = 0;
  virtual Status set_run_config(int64_t run, const std::string& config) = 0;
  virtual Status add_run_seconds(int64_t run, double seconds, double gpu_seconds) = 0;
  virtual Result<std::vector<Run>> runs() = 0;  // newest first
  virtual Result<std::optional<Run>> find_run(const std::string& name_or_id) = 0;

  // One transaction: the candidate with its lineage and the stages that it has behind it, whose candidate is filled in.
  // Adding a (run, batch, slot, draw) that exists returns its id and changes nothing.
  virtual Result<int64_t> add_proposal(const Candidate& candidate, const std::vector<LineageEdge>& parents,
                                       const std::vector<StageRow>& stages) = 0;
  Result<int64_t> add_candidate(const Candidate& candidate, const std::vector<LineageEdge>& parents) {
    return add_proposal(candidate, parents, {});
  }
  // A verdict belongs to kDone, and to it alone.
  virtual Status set_candidate_state(int64_t candidate, CandidateState state, std::optional<job::Verdict> verdict) = 0;
  virtual Result<std::vector<Candidate>> candidates(int64_t run) = 0;  // in (batch, slot, draw) order
  virtual Result<std::optional<Candidate>> find_candidate(int64_t id) = 0;
  virtual Result<std::vector<LineageEdge>> lineage(int64_t run) = 0;

  // One transaction: the stage row and its outcomes.
  virtual Status add_stage(const StageRow& row, const std::vector<OutcomeRow>& outcomes) = 0;
  virtual Result<std::vector<StageRow>> stages(int64_t candidate) = 0;
  virtual Result<std::vector<StageRow>> stages_of_run(int64_t run) = 0;
  virtual Result<std::vector<OutcomeRow>> outcomes(int64_t candidate, int64_t attempt, StageRound stage) = 0;
  virtual Result<std::vector<OutcomeRow>> outcomes_of_run(int64_t run) = 0;

  virtual Status add_event(int64_t run, const std::string& kind, const std::string& detail_json) = 0;
  virtual Result<std::vector<Event>> events(int64_t run) = 0;

  virtual Result<int64_t> add_spend(const Spend& spend) = 0;
  virtual Status settle_spend(int64_t spend, double tokens, double dollars) = 0;
  virtual Result<std::vector<Spend>> spends(int64_t run) = 0;  // oldest first

  virtual Result<int64_t> add_llm_call(const LlmCall& call) = 0;
  // Writes how a sent call ended: state, finish, message, reply, tokens, dollars, seconds.
  virtual Status end_llm_call(const LlmCall& call) = 0;
  virtual Result<std::vector<LlmCall>> llm_calls(int64_t run) = 0;  // oldest first

  // Adding a note that exists changes nothing; a second verdict on one note neither.
  virtual Status add_note(const Note& note) = 0;
  virtual Result<std::vector<Note>> notes(int64_t run) = 0;  // oldest first
  virtual Status add_verdict(const NoteVerdict& verdict) = 0;
  virtual Result<std::vector<NoteVerdict>> verdicts(int64_t run) = 0;

  virtual Status set_mark(const Mark& mark) = 0;
  virtual Result<std::vector<Mark>> marks(int64_t run) = 0;

  virtual Result<int64_t> add_request(const Request& request) = 0;  // of its run, candidate and kind
  virtual Status take_request(int64_t request, int64_t batch) = 0;
  virtual Status end_request(int64_t request, const std::string& result) = 0;
  virtual Result<std::vector<Request>> requests(int64_t run) = 0;  // oldest first

  // Content-addressed text: returns the SHA-256 name. Objects are written once, atomically.
  virtual Result<std::string> put_object(const std::string& bytes) = 0;
  virtual Result<std::string> get_object(const std::string& name) = 0;
};

}  // namespace vortex::db
