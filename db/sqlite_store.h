#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "base/thread_annotations.h"
#include "db/reading.h"
#include "db/sqlite.h"
#include "db/store.h"

namespace vortex::db {

// The Store on one SQLite connection behind a mutex.
class SqliteStore final : public Store {
 public:
  SqliteStore(std::filesystem::path workspace, Connection connection, StoreOptions options,
              std::unique_ptr<TemporaryCopy> copy = nullptr)
      : workspace_(std::move(workspace)),
        options_(std::move(options)),
        copy_(std::move(copy)),
        connection_(std::move(connection)) {}

  Result<int64_t> add_run(const Run& run) override;
  Status set_run_state(int64_t run, RunState state) override;
  Status set_run_config(int64_t run, const std::string& config) override;
  Status add_run_seconds(int64_t run, double seconds, double gpu_seconds) override;
  Result<std::vector<Run>> runs() override;
  Result<std::optional<Run>> find_run(const std::string& name_or_id) override;

  Result<int64_t> add_proposal(const Candidate& candidate, const std::vector<LineageEdge>& parents,
                               const std::vector<StageRow>& stages) override;
  Status set_candidate_state(int64_t candidate, CandidateState state, std::optional<job::Verdict> verdict) override;
  Result<std::vector<Candidate>> candidates(int64_t run) override;
  Result<std::optional<Candidate>> find_candidate(int64_t id) override;
  Result<std::vector<LineageEdge>> lineage(int64_t run) override;

  Status add_stage(const StageRow& row, const std::vector<OutcomeRow>& outcomes) override;
  Result<std::vector<StageRow>> stages(int64_t candidate) override;
  Result<std::vector<StageRow>> stages_of_run(int64_t run) override;
  Result<std::vector<OutcomeRow>> outcomes(int64_t candidate, int64_t attempt, StageRound stage) override;
  Result<std::vector<OutcomeRow>> outcomes_of_run(int64_t run) override;

  Status add_event(int64_t run, const std::string& kind, const std::string& detail_json) override;
  Result<std::vector<Event>> events(int64_t run) override;

  Result<int64_t> add_spend(const Spend& spend) override;
  Status settle_spend(int64_t spend, double tokens, double dollars) override;
  Result<std::vector<Spend>> spends(int64_t run) override;

  Result<int64_t> add_llm_call(const LlmCall& call) override;
  Status end_llm_call(const LlmCall& call) override;
  Result<std::vector<LlmCall>> llm_calls(int64_t run) override;

  Status add_note(const Note& note) override;
  Result<std::vector<Note>> notes(int64_t run) override;
  Status add_verdict(const NoteVerdict& verdict) override;
  Result<std::vector<NoteVerdict>> verdicts(int64_t run) override;

  Status set_mark(const Mark& mark) override;
  Result<std::vector<Mark>> marks(int64_t run) override;

  Result<int64_t> add_request(const Request& request) override;
  Status take_request(int64_t request, int64_t batch) override;
  Status end_request(int64_t request, const std::string& result) override;
  Result<std::vector<Request>> requests(int64_t run) override;

  Result<std::string> put_object(const std::string& bytes) override;
  Result<std::string> get_object(const std::string& name) override;

 private:
  std::filesystem::path object_path(const std::string& name) const;
  // Fails while there is too little room to begin something.
  Status room() const;

  std::filesystem::path workspace_;
  StoreOptions options_;
  std::unique_ptr<TemporaryCopy> copy_;  // that the connection is on; goes after it
  Mutex mutex_;
  Connection connection_ VORTEX_GUARDED_BY(mutex_);
};

}  // namespace vortex::db
