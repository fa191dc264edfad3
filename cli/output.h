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
enum class Format { kText, kJson, kJsonl };
Format format_of(std::string_view name);

// Version of the records below; raised when a member changes its meaning or goes away.
inline constexpr int kRecordSchema = 1;

// Prints records of one kind: as one JSON document {schema, kind, items}, or a line each with schema and kind inside.
// Not for Format::kText.
void print_records(Format format, std::string_view kind, const std::vector<nlohmann::json>& items);
// One record.
void print_record(Format format, std::string_view kind, nlohmann::json record);

// Columns of text, aligned; columns whose cells are all numbers (or empty) are aligned right.
class Table {
 public:
  explicit Table(std::vector<std::string> headers) : headers_(std::move(headers)) {}
  void add(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }
  std::string text() const;
  std::string markdown() const;

 private:
  std::vector<std::string> headers_;
  std::vector<std::vector<std::string>> rows_;
};

// "0.91 [0.80, 0.97]"; without the interval when it is exact.
std::string interval_text(const evals::Interval& interval, int digits);
nlohmann::json interval_json(const evals::Interval& interval);

// "error: ..." and "hint: ..." on stderr; gives the exit code.
int print_error(const Error& error);
// A line for the user on stderr.
void log_line(std::string_view text);

// May stderr show lines that move?
bool stderr_is_terminal();
// A terminal, and NO_COLOR is unset or empty.
bool use_color(int fd);
// Of the terminal that `fd` is; 80 by 24 where it is none.
struct ScreenSize {
  size_t columns = 80;
  size_t rows = 24;
};
ScreenSize terminal_size(int fd);
// Characters, not bytes: names may hold any UTF-8.
size_t text_width(std::string_view text);

}  // namespace vortex::cli
