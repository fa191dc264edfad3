#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/text.h"
#include "evals/statistics.h"

namespace vortex::cli {

// Data goes to stdout in one of these; everything else goes to stderr.
enum class Format { kText, kJson, kJsonl, kCsv };
Format format_of(std::string_view name);

// Version of the records below; raised when a member changes its meaning or goes away.
inline constexpr int kRecordSchema = 1;

// Prints records of one kind: as one JSON document {schema, kind, items}, or a line each with schema and kind inside.
// Not for Format::kText and kCsv.
void print_records(Format format, std::string_view kind, const std::vector<nlohmann::json>& items);
// One record.
void print_record(Format format, std::string_view kind, nlohmann::json record);
// Members of records as comma-separated values (RFC 4180) under a line of names; an interval fills three columns: NAME,
// NAME_lo and NAME_hi. What is null or absent leaves its place empty.
void print_csv(const std::vector<std::string>& members, const std::vector<nlohmann::json>& items);

// Columns of text, aligned; columns whose cells are all numbers (or empty) are aligned right.
class Table {
 public:
  explicit Table(std::vector<std::string> headers) : headers_(std::move(headers)) {}
  void add(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }
  // Columns that a narrow screen goes without, the first of these first.
  void may_drop(std::vector<std::string> headers) { droppable_ = std::move(headers); }
  // The column whose words go on in further lines where it is too narrow; others are cut.
  void wrap(std::string header) { wrapped_ = std::move(header); }
  // The column of verdicts or states, whose cells have a colour by their first word where there are colours.
  void tint(std::string header) { tinted_ = std::move(header); }
  // Within so many characters where that can be had (0: any width): columns that may go do, then long cells are cut.
  std::string text(size_t columns = 0, bool colored = false) const;
  std::string markdown() const;

 private:
  std::vector<std::string> headers_;
  std::vector<std::string> droppable_;
  std::string wrapped_;
  std::string tinted_;
  std::vector<std::vector<std::string>> rows_;
};

// On stdout, as wide and with the colours that it has.
void print_table(const Table& table);
// The escape sequence that begins the colour of a verdict or state: what went well green, what went wrong red, what was
// left out faint, all else none ("").
std::string_view color_of(std::string_view verdict);

// "0.91 [0.80, 0.97]"; without the interval when it is exact.
std::string interval_text(const evals::Interval& interval, int digits);
nlohmann::json interval_json(const evals::Interval& interval);
// A member of a record for a table: intervals as above, numbers in their shortest form, "-" for what is not there.
std::string json_cell(const nlohmann::json& value);

// "error: ..." and "hint: ..." on stderr; gives the exit code.
int print_error(const Error& error);
// A line for the user on stderr.
void log_line(std::string_view text);

// May stderr show lines that move?
bool stderr_is_terminal();
// A terminal that is not "dumb", and NO_COLOR is unset or empty.
bool use_color(int fd);
// Of the terminal that `fd` is; 80 by 24 where it is none.
struct ScreenSize {
  size_t columns = 80;
  size_t rows = 24;
};
ScreenSize terminal_size(int fd);
// The width that tables on stdout have: the terminal's, else what COLUMNS says, else any (0).
size_t stdout_columns();
// Does the locale's encoding have the shapes of plots?
bool locale_is_utf8();
// Characters, not bytes: names may hold any UTF-8.
size_t text_width(std::string_view text);
// Words on as many lines as they need; one that is longer than a line has a line of its own. At least one line.
std::vector<std::string> wrapped_lines(const std::string& text, size_t columns);

}  // namespace vortex::cli
