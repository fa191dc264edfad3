// The part of SqliteStore that keeps what people mark and ask for.

#include "base/clock.h"
#include "db/sqlite_store.h"

namespace vortex::db {
namespace {

Mark read_mark(Statement& row) { return {row.integer(0), row.integer(1) != 0, row.integer(2) != 0, row.text(3)}; }

Request read_request(Statement& row) {
  return {row.integer(0), row.integer(1), row.integer(2), row.word<RequestKind>(3), row.real(4), row.integer(5),
          row.real(6),    row.real(7),    row.text(8)};
}

}  // namespace

Status SqliteStore::set_mark(const Mark& mark) {
  const MutexLock guard(mutex_);
  Statement upsert(connection_,
                   "INSERT INTO mark (candidate, starred, hidden, note) VALUES (?, ?, ?, ?) ON CONFLICT (candidate) DO "
                   "UPDATE SET starred = excluded.starred, hidden = excluded.hidden, note = excluded.note");
  return upsert.bind(mark.candidate).bind(int64_t{mark.starred}).bind(int64_t{mark.hidden}).bind(mark.note).run();
}

Result<std::vector<Mark>> SqliteStore::marks(int64_t run) {
  const MutexLock guard(mutex_);
  Statement select(connection_,
                   "SELECT candidate, starred, hidden, note FROM mark JOIN candidate ON candidate.id = mark.candidate "
                   "WHERE run = ? ORDER BY candidate");
  return read_all(select.bind(run), read_mark);
}

Result<int64_t> SqliteStore::add_request(const Request& request) {
  const MutexLock guard(mutex_);
  Statement insert(connection_, "INSERT INTO request (run, candidate, kind, created) VALUES (?, ?, ?, ?)");
  VORTEX_TRY(insert.bind(request.run).bind(request.candidate).bind(request.kind).bind(wall_seconds()).run());
  return connection_.last_insert_id();
}

Status SqliteStore::take_request(int64_t request, int64_t batch) {
  const MutexLock guard(mutex_);
  Statement update(connection_, "UPDATE request SET batch = ?, taken = ? WHERE id = ? AND batch = 0");
  return update.bind(batch).bind(wall_seconds()).bind(request).run();
}

Status SqliteStore::end_request(int64_t request, const std::string& result) {
  const MutexLock guard(mutex_);
  Statement update(connection_, "UPDATE request SET result = ?, ended = ? WHERE id = ? AND ended = 0");
  return update.bind(result).bind(wall_seconds()).bind(request).run();
}

Result<std::vector<Request>> SqliteStore::requests(int64_t run) {
  const MutexLock guard(mutex_);
  Statement select(connection_,
                   "SELECT id, run, candidate, kind, created, batch, taken, ended, result FROM request WHERE run = ? "
                   "ORDER BY id");
  return read_all(select.bind(run), read_request);
}

}  // namespace vortex::db
