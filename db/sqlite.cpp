#include "db/sqlite.h"

#include <utility>

namespace vortex::db {
namespace {

constexpr int kBusyTimeoutMs = 10'000;

std::string hint_for(int code) {
  switch (code & 0xff) {
    case SQLITE_FULL:
      return "the disk (or a file size limit) is full: free some space, then resume";
    case SQLITE_IOERR:
      return "reading or writing failed: check free space and the health of the disk, then resume";
    case SQLITE_READONLY:
    case SQLITE_CANTOPEN:
    case SQLITE_PERM:
      return "check that the folder exists and that you may write to it, or choose another --workspace";
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return kDamagedHint;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return "another program holds the database: wait for it, or choose another --workspace";
    default:
      return "";
  }
}

// A path as it stands in a URI.
std::string percent_encoded(const std::string& path) {
  constexpr std::string_view kPlain = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789/-._~";
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  std::string encoded;
  for (const char c : path) {
    const auto byte = static_cast<unsigned char>(c);
    if (kPlain.find(c) != std::string_view::npos) {
      encoded += c;
    } else {
      encoded += {'%', kDigits[byte >> 4], kDigits[byte & 15]};
    }
  }
  return encoded;
}

bool is_bug(int code) {
  const int primary = code & 0xff;
  return primary == SQLITE_ERROR || primary == SQLITE_MISUSE || primary == SQLITE_CONSTRAINT ||
         primary == SQLITE_RANGE || primary == SQLITE_MISMATCH || primary == SQLITE_TOOBIG;
}

}  // namespace

Result<Connection> Connection::open(const std::filesystem::path& file, Mode mode) {
  Connection connection;
  connection.file_ = file.string();
  sqlite3* handle = nullptr;
  const int access = mode == Mode::kReadWrite ? SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE : SQLITE_OPEN_READONLY;
  const bool immutable = mode == Mode::kImmutable;
  const std::string name = immutable ? "file:" + percent_encoded(file.string()) + "?immutable=1" : file.string();
  const int flags = access | SQLITE_OPEN_NOMUTEX | (immutable ? SQLITE_OPEN_URI : 0);
  const int code = sqlite3_open_v2(name.c_str(), &handle, flags, nullptr);
  connection.handle_.reset(handle);
  if (code != SQLITE_OK) { return connection.error("open"); }
  sqlite3_extended_result_codes(handle, 1);
  sqlite3_busy_timeout(handle, kBusyTimeoutMs);
  return connection;
}

Status Connection::execute(const std::string& sql) {
  if (sqlite3_exec(handle_.get(), sql.c_str(), nullptr, nullptr, nullptr) != SQLITE_OK) { return error("write to"); }
  return ok_status();
}

Result<int64_t> Connection::integer(const std::string& sql) {
  Statement statement(*this, sql);
  const bool row = statement.next();
  VORTEX_TRY(statement.status());
  return row ? statement.integer(0) : int64_t{0};
}

Result<std::vector<std::string>> Connection::texts(const std::string& sql) {
  Statement statement(*this, sql);
  return read_all<std::string>(statement, [](Statement& row) { return row.text(0); });
}

Status Connection::copy_to(const std::filesystem::path& file) {
  VORTEX_ASSIGN(const Connection copy, open(file, Mode::kReadWrite));
  sqlite3_backup* backup = sqlite3_backup_init(copy.handle(), "main", handle(), "main");
  if (backup == nullptr) { return copy.error("write to"); }
  constexpr int kAllPages = -1;
  int code = SQLITE_BUSY;
  for (int attempt = 0; attempt < 100 && (code == SQLITE_BUSY || code == SQLITE_LOCKED); ++attempt) {
    if (attempt > 0) { sqlite3_sleep(100); }
    code = sqlite3_backup_step(backup, kAllPages);
  }
  sqlite3_backup_finish(backup);
  return code == SQLITE_DONE ? ok_status() : Status(copy.error("write to"));
}

Error Connection::error(const std::string& doing) const {
  if (!handle_) { return environment_error("cannot " + doing + " " + file_ + ": out of memory"); }
  const int code = sqlite3_extended_errcode(handle_.get());
  std::string message = "cannot " + doing + " " + file_ + ": " + sqlite3_errmsg(handle_.get());
  return {is_bug(code) ? Blame::kInternal : Blame::kEnvironment, std::move(message), hint_for(code)};
}

Statement::Statement(Connection& connection, const std::string& sql) : connection_(connection), sql_(sql) {
  if (auto idle = connection.idle_.extract(sql); !idle.empty()) {
    statement_ = std::move(idle.mapped());
    return;
  }
  sqlite3_stmt* statement = nullptr;
  code_ = sqlite3_prepare_v3(connection.handle(), sql.c_str(), -1, SQLITE_PREPARE_PERSISTENT, &statement, nullptr);
  statement_.reset(statement);
}

// One that failed is not kept. Nor is a PRAGMA, some of which do their work while they are prepared.
Statement::~Statement() {
  if (statement_ == nullptr || !status().ok() || sql_.starts_with("PRAGMA")) { return; }
  if (sqlite3_reset(statement_.get()) != SQLITE_OK) { return; }
  sqlite3_clear_bindings(statement_.get());
  connection_.idle_.emplace(std::move(sql_), std::move(statement_));
}

Statement& Statement::bind(int64_t value) {
  if (code_ == SQLITE_OK) { code_ = sqlite3_bind_int64(statement_.get(), ++bound_, value); }
  return *this;
}

Statement& Statement::bind(double value) {
  if (code_ == SQLITE_OK) { code_ = sqlite3_bind_double(statement_.get(), ++bound_, value); }
  return *this;
}

Statement& Statement::bind(const std::string& value) {
  if (code_ == SQLITE_OK) {
    code_ = sqlite3_bind_text64(statement_.get(), ++bound_, value.data(), value.size(), SQLITE_TRANSIENT, SQLITE_UTF8);
  }
  return *this;
}

bool Statement::next() {
  if (unknown_word_ || (code_ != SQLITE_OK && code_ != SQLITE_ROW)) { return false; }
  code_ = sqlite3_step(statement_.get());
  return code_ == SQLITE_ROW;
}

Status Statement::run() {
  next();
  return status();
}

Status Statement::status() const {
  if (unknown_word_) { return *unknown_word_; }
  if (code_ == SQLITE_OK || code_ == SQLITE_ROW || code_ == SQLITE_DONE) { return ok_status(); }
  return connection_.error("use");
}

void Statement::refuse_word(int column) {
  if (unknown_word_) { return; }
  const char* name = sqlite3_column_name(statement_.get(), column);
  unknown_word_ = environment_error(connection_.file() + " holds a " + (name == nullptr ? "word" : name) + " \"" +
                                        text(column) + "\" that this program does not know",
                                    kNewerHint);
}

int64_t Statement::integer(int column) { return sqlite3_column_int64(statement_.get(), column); }

double Statement::real(int column) { return sqlite3_column_double(statement_.get(), column); }

std::string Statement::text(int column) {
  const unsigned char* bytes = sqlite3_column_text(statement_.get(), column);
  if (bytes == nullptr) { return {}; }
  const int size = sqlite3_column_bytes(statement_.get(), column);
  return {reinterpret_cast<const char*>(bytes), static_cast<size_t>(size)};
}

Transaction::Transaction(Connection& connection) : connection_(connection) {}

Transaction::~Transaction() {
  if (open_) { sqlite3_exec(connection_.handle(), "ROLLBACK", nullptr, nullptr, nullptr); }
}

Status Transaction::begin() {
  VORTEX_TRY(connection_.execute("BEGIN IMMEDIATE"));
  open_ = true;
  return ok_status();
}

Status Transaction::commit() {
  VORTEX_TRY(connection_.execute("COMMIT"));
  open_ = false;
  return ok_status();
}

}  // namespace vortex::db
