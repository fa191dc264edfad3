// What language models were asked and answered, and the notebook.

#include "base/clock.h"
#include "db/sqlite_store.h"

namespace vortex::db {
namespace {

constexpr const char* kCallColumns =
    "id, run, batch, slot, draw, attempt, purpose, model, prompt_object, reply_object, state, finish, message, "
    "input_tokens, output_tokens, dollars, seconds, created";

LlmCall read_call(Statement& row) {
  return {row.integer(0), row.integer(1),  row.integer(2),           row.integer(3),
          row.integer(4), row.integer(5),  row.word<CallPurpose>(6), row.text(7),
          row.text(8),    row.text(9),     row.word<CallState>(10),  row.text(11),
          row.text(12),   row.integer(13), row.integer(14),          row.real(15),
          row.real(16),   row.real(17)};
}

}  // namespace

Result<int64_t> SqliteStore::add_llm_call(const LlmCall& call) {
  const MutexLock guard(mutex_);
  VORTEX_TRY(room());
  Statement insert(connection_,
                   "INSERT INTO llm_call (run, batch, slot, draw, attempt, purpose, model, prompt_object, "
                   "reply_object, state, finish, message, input_tokens, output_tokens, dollars, seconds, created) "
                   "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
  insert.bind(call.run).bind(call.batch).bind(call.slot).bind(call.draw).bind(call.attempt).bind(call.purpose);
  insert.bind(call.model).bind(call.prompt_object).bind(call.reply_object).bind(call.state).bind(call.finish);
  insert.bind(call.message).bind(call.input_tokens).bind(call.output_tokens).bind(call.dollars).bind(call.seconds);
  VORTEX_TRY(insert.bind(call.created > 0 ? call.created : wall_seconds()).run());
  return connection_.last_insert_id();
}

Status SqliteStore::end_llm_call(const LlmCall& call) {
  const MutexLock guard(mutex_);
  Statement update(connection_,
                   "UPDATE llm_call SET reply_object = ?, state = ?, finish = ?, message = ?, input_tokens = ?, "
                   "output_tokens = ?, dollars = ?, seconds = ? WHERE id = ? AND state = 'sent'");
  update.bind(call.reply_object).bind(call.state).bind(call.finish).bind(call.message).bind(call.input_tokens);
  return update.bind(call.output_tokens).bind(call.dollars).bind(call.seconds).bind(call.id).run();
}

Result<std::vector<LlmCall>> SqliteStore::llm_calls(int64_t run) {
  const MutexLock guard(mutex_);
  Statement select(connection_, std::string("SELECT ") + kCallColumns + " FROM llm_call WHERE run = ? ORDER BY id");
  return read_all(select.bind(run), read_call);
}

Status SqliteStore::add_note(const Note& note) {
  const MutexLock guard(mutex_);
  VORTEX_TRY(room());
  Statement insert(connection_,
                   "INSERT INTO note (run, batch, slot, draw, kind, text, prediction, created) "
                   "VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING");
  insert.bind(note.run).bind(note.batch).bind(note.slot).bind(note.draw).bind(note.kind).bind(note.text);
  return insert.bind(note.prediction).bind(note.created > 0 ? note.created : wall_seconds()).run();
}

Result<std::vector<Note>> SqliteStore::notes(int64_t run) {
  const MutexLock guard(mutex_);
  Statement select(connection_,
                   "SELECT id, run, batch, slot, draw, kind, text, prediction, created FROM note WHERE run = ? "
                   "ORDER BY id");
  return read_all<Note>(select.bind(run), [](Statement& row) {
    return Note{row.integer(0),        row.integer(1), row.integer(2), row.integer(3), row.integer(4),
                row.word<NoteKind>(5), row.text(6),    row.text(7),    row.real(8)};
  });
}

Status SqliteStore::add_verdict(const NoteVerdict& verdict) {
  const MutexLock guard(mutex_);
  Statement insert(connection_,
                   "INSERT INTO verdict (note, verdict, value, lo, hi, reason, created) VALUES (?, ?, ?, ?, ?, ?, ?) "
                   "ON CONFLICT (note) DO NOTHING");
  insert.bind(verdict.note).bind(verdict.verdict).bind(verdict.value).bind(verdict.lo).bind(verdict.hi);
  return insert.bind(verdict.reason).bind(verdict.created > 0 ? verdict.created : wall_seconds()).run();
}

Result<std::vector<NoteVerdict>> SqliteStore::verdicts(int64_t run) {
  const MutexLock guard(mutex_);
  Statement select(connection_,
                   "SELECT note, verdict, value, lo, hi, reason, verdict.created FROM verdict "
                   "JOIN note ON note.id = verdict.note WHERE run = ? ORDER BY note");
  return read_all<NoteVerdict>(select.bind(run), [](Statement& row) {
    return NoteVerdict{row.integer(0), row.word<Finding>(1), row.real(2), row.real(3),
                       row.real(4),    row.text(5),          row.real(6)};
  });
}

}  // namespace vortex::db
