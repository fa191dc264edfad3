#include <algorithm>

#include "agent/llm/channel.h"
#include "agent/session/budget.h"
#include "base/clock.h"

namespace vortex::agent {
namespace {

bool same_place(const db::LlmCall& row, const Ask& ask) {
  return row.batch == ask.batch && row.slot == ask.slot && row.draw == ask.draw;
}

}  // namespace

std::string whole_prompt(const Ask& ask) { return ask.system + "\n\n" + ask.prompt; }

Result<std::optional<CallBook::Open>> CallBook::begin(const Ask& ask, const std::string& model, int64_t most_tokens,
                                                      double most_dollars) {
  Open open;
  if (budget_ != nullptr) {
    VORTEX_ASSIGN(open.hold, budget_->hold(static_cast<double>(most_tokens), most_dollars));
    if (!open.hold) { return std::optional<Open>{}; }
  }
  VORTEX_ASSIGN(const std::vector<db::LlmCall> rows, store_.llm_calls(run_));
  open.row.run = run_;
  open.row.batch = ask.batch;
  open.row.slot = ask.slot;
  open.row.draw = ask.draw;
  for (const db::LlmCall& row : rows) {
    if (same_place(row, ask)) { open.row.attempt = std::max(open.row.attempt, row.attempt + 1); }
  }
  open.row.purpose = ask.purpose;
  open.row.model = model;
  open.row.state = db::CallState::kSent;
  VORTEX_ASSIGN(open.row.prompt_object, store_.put_object(whole_prompt(ask)));
  VORTEX_ASSIGN(open.row.id, store_.add_llm_call(open.row));
  open.started = monotonic_seconds();
  return std::optional(std::move(open));
}

Status CallBook::answered(Open open, const Answer& answer) {
  open.row.state = db::CallState::kAnswered;
  return end(std::move(open), answer);
}

Status CallBook::failed(Open open, const std::string& why, const Answer& spent) {
  open.row.state = db::CallState::kFailed;
  open.row.message = why;
  return end(std::move(open), spent);
}

Status CallBook::end(Open open, const Answer& answer) {
  if (!answer.text.empty()) { VORTEX_ASSIGN(open.row.reply_object, store_.put_object(answer.text)); }
  open.row.finish = answer.finish;
  open.row.input_tokens = answer.input_tokens;
  open.row.output_tokens = answer.output_tokens;
  open.row.dollars = answer.dollars;
  open.row.seconds = monotonic_seconds() - open.started;
  VORTEX_TRY(store_.end_llm_call(open.row));
  if (!open.hold) { return ok_status(); }
  return budget_->settle(*open.hold, static_cast<double>(answer.input_tokens + answer.output_tokens), answer.dollars);
}

Result<std::optional<Answer>> CallBook::find(const Ask& ask) {
  VORTEX_ASSIGN(const std::vector<db::LlmCall> rows, store_.llm_calls(run_));
  int64_t round = 0;
  for (const db::LlmCall& row : rows) {
    if (!same_place(row, ask) || row.state != db::CallState::kAnswered || ++round != ask.round) { continue; }
    Answer answer;
    if (!row.reply_object.empty()) { VORTEX_ASSIGN(answer.text, store_.get_object(row.reply_object)); }
    answer.model = row.model;
    answer.finish = row.finish;
    answer.input_tokens = row.input_tokens;
    answer.output_tokens = row.output_tokens;
    answer.dollars = row.dollars;
    return std::optional(std::move(answer));
  }
  return std::optional<Answer>{};
}

}  // namespace vortex::agent
