#pragma once

#include <functional>

#include "db/store.h"

namespace vortex::agent {

// A store that waits out faults of the environment (a full disk, a lock held elsewhere): every call is tried again,
// with growing pauses up to half a minute, for half an hour at most, until it succeeds or `must_stop` says so; damage
// that no waiting mends ends it at once. Calls
// are transactions, so that a failed one left nothing behind. Thread-safe where the store is.
class PatientStore final : public db::Store {
 public:
  struct Hooks {
    std::function<void(double seconds)> sleep;
    std::function<bool()> must_stop;
    std::function<void(const Error&)> on_fault;        // once an outage
    std::function<void(double seconds)> on_recovered;  // after one
  };
  PatientStore(db::Store& store, Hooks hooks) : store_(store), hooks_(std::move(hooks)) {}

  Result<int64_t> add_run(const db::Run& run) override;
  Status set_run_state(int64_t run, db::RunState state) override;
  Status set_run_config(int64_t run, const std::string& config) override;
  Status add_run_seconds(int64_t run, double seconds, double gpu_seconds) override;
  Result<std::vector<db::Run>> runs() override;
  Result<std::optional<db::Run>> find_run(const std::string& name_or_id) override;

  Result<int64_t> add_proposal(const db::Candidate& candidate, const std::vector<db::LineageEdge>& parents,
                               const std::vector<db::StageRow>& stages) override;
  Status set_candidate_state(int64_t candidate, db::CandidateState state, std::optional<job::Verdict> verdict) override;
  Result<std::vector<db::Candidate>> candidates(int64_t run) override;
  Result<std::optional<db::Candidate>> find_candidate(int64_t id) override;
  Result<std::vector<db::LineageEdge>> lineage(int64_t run) override;

  Status add_stage(const db::StageRow& row, const std::vector<db::OutcomeRow>& outcomes) override;
  Result<std::vector<db::StageRow>> stages(int64_t candidate) override;
  Result<std::vector<db::StageRow>> stages_of_run(int64_t run) override;
  Result<std::vector<db::OutcomeRow>> outcomes(int64_t candidate, int64_t attempt, db::StageRound stage) override;
  Result<std::vector<db::OutcomeRow>> outcomes_of_run(int64_t run) override;

  Status add_event(int64_t run, const std::string& kind, const std::string& detail_json) override;
  Result<std::vector<db::Event>> events(int64_t run) override;

  Result<int64_t> add_spend(const db::Spend& spend) override;
  Status settle_spend(int64_t spend, double tokens, double dollars) override;
  Result<std::vector<db::Spend>> spends(int64_t run) override;

  Result<int64_t> add_llm_call(const db::LlmCall& call) override;
  Status end_llm_call(const db::LlmCall& call) override;
  Result<std::vector<db::LlmCall>> llm_calls(int64_t run) override;

  Status add_note(const db::Note& note) override;
  Result<std::vector<db::Note>> notes(int64_t run) override;
  Status add_verdict(const db::NoteVerdict& verdict) override;
  Result<std::vector<db::NoteVerdict>> verdicts(int64_t run) override;

  Status set_mark(const db::Mark& mark) override;
  Result<std::vector<db::Mark>> marks(int64_t run) override;
  Result<int64_t> add_request(const db::Request& request) override;
  Status take_request(int64_t request, int64_t batch) override;
  Status end_request(int64_t request, const std::string& result) override;
  Result<std::vector<db::Request>> requests(int64_t run) override;

  Result<std::string> put_object(const std::string& bytes) override;
  Result<std::string> get_object(const std::string& name) override;

 private:
  template <typename Call>
  auto patiently(const Call& call) -> decltype(call());

  db::Store& store_;
  Hooks hooks_;
};

}  // namespace vortex::agent
