#include "agent/session/patient_store.h"

#include <algorithm>

namespace vortex::agent {
namespace {

constexpr double kFirstWait = 1;  // seconds
constexpr double kLongestWait = 30;
constexpr double kLongestFault = 30 * 60;

}  // namespace

template <typename Call>
auto PatientStore::patiently(const Call& call) -> decltype(call()) {
  double waited = 0;  // pauses are counted, not the clock, which may jump
  for (double pause = kFirstWait;; pause = std::min(kLongestWait, 2 * pause)) {
    auto result = call();
    const bool broken = !result.ok() && result.error().blame == Blame::kEnvironment && !db::is_lasting(result.error());
    if (!broken || waited >= kLongestFault || hooks_.must_stop()) {
      if (result.ok() && waited > 0 && hooks_.on_recovered) { hooks_.on_recovered(waited); }
      return result;
    }
    if (waited == 0 && hooks_.on_fault) { hooks_.on_fault(result.error()); }
    hooks_.sleep(pause);
    waited += pause;
  }
}

Result<int64_t> PatientStore::add_run(const db::Run& run) {
  return patiently([&] { return store_.add_run(run); });
}
Status PatientStore::set_run_state(int64_t run, db::RunState state) {
  return patiently([&] { return store_.set_run_state(run, state); });
}
Status PatientStore::set_run_config(int64_t run, const std::string& config) {
  return patiently([&] { return store_.set_run_config(run, config); });
}
Status PatientStore::add_run_seconds(int64_t run, double seconds, double gpu_seconds) {
  return patiently([&] { return store_.add_run_seconds(run, seconds, gpu_seconds); });
}
Result<std::vector<db::Run>> PatientStore::runs() {
  return patiently([&] { return store_.runs(); });
}
Result<std::optional<db::Run>> PatientStore::find_run(const std::string& name_or_id) {
  return patiently([&] { return store_.find_run(name_or_id); });
}
Result<int64_t> PatientStore::add_proposal(const db::Candidate& candidate, const std::vector<db::LineageEdge>& parents,
                                           const std::vector<db::StageRow>& stages) {
  return patiently([&] { return store_.add_proposal(candidate, parents, stages); });
}
Status PatientStore::set_candidate_state(int64_t candidate, db::CandidateState state,
                                         std::optional<job::Verdict> verdict) {
  return patiently([&] { return store_.set_candidate_state(candidate, state, verdict); });
}
Result<std::vector<db::Candidate>> PatientStore::candidates(int64_t run) {
  return patiently([&] { return store_.candidates(run); });
}
Result<std::optional<db::Candidate>> PatientStore::find_candidate(int64_t id) {
  return patiently([&] { return store_.find_candidate(id); });
}
Result<std::vector<db::LineageEdge>> PatientStore::lineage(int64_t run) {
  return patiently([&] { return store_.lineage(run); });
}
Status PatientStore::add_stage(const db::StageRow& row, const std::vector<db::OutcomeRow>& outcomes) {
  return patiently([&] { return store_.add_stage(row, outcomes); });
}
Result<std::vector<db::StageRow>> PatientStore::stages(int64_t candidate) {
  return patiently([&] { return store_.stages(candidate); });
}
Result<std::vector<db::StageRow>> PatientStore::stages_of_run(int64_t run) {
  return patiently([&] { return store_.stages_of_run(run); });
}
Result<std::vector<db::OutcomeRow>> PatientStore::outcomes(int64_t candidate, int64_t attempt, db::StageRound stage) {
  return patiently([&] { return store_.outcomes(candidate, attempt, stage); });
}
Result<std::vector<db::OutcomeRow>> PatientStore::outcomes_of_run(int64_t run) {
  return patiently([&] { return store_.outcomes_of_run(run); });
}
Status PatientStore::add_event(int64_t run, const std::string& kind, const std::string& detail_json) {
  return patiently([&] { return store_.add_event(run, kind, detail_json); });
}
Result<std::vector<db::Event>> PatientStore::events(int64_t run) {
  return patiently([&] { return store_.events(run); });
}
Result<int64_t> PatientStore::add_spend(const db::Spend& spend) {
  return patiently([&] { return store_.add_spend(spend); });
}
Status PatientStore::settle_spend(int64_t spend, double tokens, double dollars) {
  return patiently([&] { return store_.settle_spend(spend, tokens, dollars); });
}
Result<std::vector<db::Spend>> PatientStore::spends(int64_t run) {
  return patiently([&] { return store_.spends(run); });
}
Result<int64_t> PatientStore::add_llm_call(const db::LlmCall& call) {
  return patiently([&] { return store_.add_llm_call(call); });
}
Status PatientStore::end_llm_call(const db::LlmCall& call) {
  return patiently([&] { return store_.end_llm_call(call); });
}
Result<std::vector<db::LlmCall>> PatientStore::llm_calls(int64_t run) {
  return patiently([&] { return store_.llm_calls(run); });
}
Status PatientStore::add_note(const db::Note& note) {
  return patiently([&] { return store_.add_note(note); });
}
Result<std::vector<db::Note>> PatientStore::notes(int64_t run) {
  return patiently([&] { return store_.notes(run); });
}
Status PatientStore::add_verdict(const db::NoteVerdict& verdict) {
  return patiently([&] { return store_.add_verdict(verdict); });
}
Result<std::vector<db::NoteVerdict>> PatientStore::verdicts(int64_t run) {
  return patiently([&] { return store_.verdicts(run); });
}
Status PatientStore::set_mark(const db::Mark& mark) {
  return patiently([&] { return store_.set_mark(mark); });
}
Result<std::vector<db::Mark>> PatientStore::marks(int64_t run) {
  return patiently([&] { return store_.marks(run); });
}
Result<int64_t> PatientStore::add_request(const db::Request& request) {
  return patiently([&] { return store_.add_request(request); });
}
Status PatientStore::take_request(int64_t request, int64_t batch) {
  return patiently([&] { return store_.take_request(request, batch); });
}
Status PatientStore::end_request(int64_t request, const std::string& result) {
  return patiently([&] { return store_.end_request(request, result); });
}
Result<std::vector<db::Request>> PatientStore::requests(int64_t run) {
  return patiently([&] { return store_.requests(run); });
}
Result<std::string> PatientStore::put_object(const std::string& bytes) {
  return patiently([&] { return store_.put_object(bytes); });
}
Result<std::string> PatientStore::get_object(const std::string& name) {
  return patiently([&] { return store_.get_object(name); });
}

}  // namespace vortex::agent
