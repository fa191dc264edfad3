#pragma once

#include <sqlite3.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/names.h"
#include "base/result.h"
#include "db/words.h"

namespace vortex::db {

// What to do about a file that no waiting will mend.
inline constexpr const char* kDamagedHint =
    "the file is damaged or is no vortex database: restore a backup (`vortex db backup` makes them), or choose another "
    "--workspace";

// What to do about a word in a row that this program does not know.
inline constexpr const char* kNewerHint = "a newer vortex wrote it: use that one, or choose another --workspace";

// A thin owner of one SQLite connection: results instead of codes, everything else is plain SQL.
class Connection {
 public:
  enum class Mode {
    kReadWrite,
    kReadOnly,
    kImmutable,  // for reading a file that nobody can write, without the files that SQLite would put beside it
  };
  static Result<Connection> open(const std::filesystem::path& file, Mode mode);

  // Runs statements that give no rows.
  Status execute(const std::string& sql);
  // The first column of the first row as an integer.
  Result<int64_t> integer(const std::string& sql);

  int64_t last_insert_id() const { return sqlite3_last_insert_rowid(handle_.get()); }
  int64_t changes() const { return sqlite3_changes(handle_.get()); }
  sqlite3* handle() const { return handle_.get(); }
  const std::string& file() const { return file_; }

  // The first column of every row as text.
  Result<std::vector<std::string>> texts(const std::string& sql);

  // Copies the whole database, as it is at one moment, into a new file.
  Status copy_to(const std::filesystem::path& file);

  // The connection's last failure as an Error with the file's name, a cause and a remedy.
  Error error(const std::string& doing) const;

 private:
  friend class Statement;
  struct Close {
    void operator()(sqlite3* handle) const { sqlite3_close_v2(handle); }
  };
  struct Finalize {
    void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
  };
  using Prepared = std::unique_ptr<sqlite3_stmt, Finalize>;

  std::unique_ptr<sqlite3, Close> handle_;
  std::string file_;
  // By their text. A search asks the same few dozen things over and over, and reading the text costs more than most
  // answers. None of these is under way.
  std::unordered_map<std::string, Prepared> idle_;
};

// One prepared statement, which its connection keeps for the next one of the same text. Usage: bind every `?` in order,
// then `while (next)` over the rows. A failed bind or step is remembered: `status()` says so after the last row.
class Statement {
 public:
  Statement(Connection& connection, const std::string& sql);
  ~Statement();
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;

  Statement& bind(int64_t value);
  Statement& bind(double value);
  Statement& bind(const std::string& value);
  template <Named E>
  Statement& bind(E value) {
    return bind(std::string(name_of(value)));
  }
  template <Named E>
  Statement& bind(const std::optional<E>& value) {
    return bind(std::string(name_of(value)));
  }
  Statement& bind(StageRound value) { return bind(stage_round_name(value)); }

  bool next();                  // true while there is a row
  Status run();                 // for statements without rows
  Status status() const;        // ok when everything so far succeeded, and every word read was known
  int64_t integer(int column);  // columns of the current row, from 0
  double real(int column);
  std::string text(int column);
  // The enum that a column's word stands for. An unknown word fails the statement.
  template <Named E>
  E word(int column) {
    return known<E>(from_name<E>(text(column)), column);
  }
  template <Named E>
  std::optional<E> word_if_any(int column) {
    if (text(column).empty()) { return std::nullopt; }
    return word<E>(column);
  }
  StageRound stage_round(int column) { return known<StageRound>(stage_round_from_name(text(column)), column); }

 private:
  template <typename T>
  T known(const std::optional<T>& value, int column) {
    if (!value) { refuse_word(column); }
    return value.value_or(T{});
  }
  // Keeps the first unknown word.
  void refuse_word(int column);

  Connection& connection_;
  std::string sql_;
  Connection::Prepared statement_;
  int bound_ = 0;
  int code_ = SQLITE_OK;
  std::optional<Error> unknown_word_;
};

// All rows of a statement whose parameters are bound.
template <typename T>
Result<std::vector<T>> read_all(Statement& statement, T (*read)(Statement&)) {
  std::vector<T> rows;
  while (statement.next()) { rows.push_back(read(statement)); }
  VORTEX_TRY(statement.status());
  return rows;
}

// An immediate transaction, rolled back unless committed.
class Transaction {
 public:
  explicit Transaction(Connection& connection);
  ~Transaction();
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;

  Status begin();
  Status commit();

 private:
  Connection& connection_;
  bool open_ = false;
};

}  // namespace vortex::db
