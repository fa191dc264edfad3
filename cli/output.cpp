#include "cli/output.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <iostream>

#include "base/escape.h"

namespace vortex::cli {
namespace {

bool is_numeric(const std::string& cell) { return cell.find_first_not_of("0123456789.-+ex[], %") == std::string::npos; }

std::string dump(const nlohmann::json& json, int indent) {
  return terminal_json(json.dump(indent, ' ', false, nlohmann::json::error_handler_t::replace));
}

}  // namespace

Format format_of(std::string_view name) {
  if (name == "json") { return Format::kJson; }
  return name == "jsonl" ? Format::kJsonl : Format::kText;
}

void print_records(Format format, std::string_view kind, const std::vector<nlohmann::json>& items) {
  if (format == Format::kJsonl) {
    for (const nlohmann::json& item : items) { print_record(format, kind, item); }
    return;
  }
  std::cout << dump({{"schema", kRecordSchema}, {"kind", kind}, {"items", items}}, 2) << "\n";
}

void print_record(Format format, std::string_view kind, nlohmann::json record) {
  record["schema"] = kRecordSchema;
  record["kind"] = kind;
  std::cout << dump(record, format == Format::kJson ? 2 : -1) << "\n" << std::flush;
}

std::string Table::text() const {
  std::string out;
  std::vector<size_t> widths;
  std::vector<bool> numeric;
  std::vector<std::vector<std::string>> rows = rows_;
  for (auto& row : rows) { std::transform(row.begin(), row.end(), row.begin(), terminal_line); }
  for (size_t column = 0; column < headers_.size(); ++column) {
    widths.push_back(text_width(headers_[column]));
    numeric.push_back(true);
    for (const auto& row : rows) {
      widths.back() = std::max(widths.back(), text_width(row[column]));
      numeric.back() = numeric.back() && is_numeric(row[column]);
    }
  }
  const auto line = [&](const std::vector<std::string>& cells) {
    std::string text;
    for (size_t column = 0; column < cells.size(); ++column) {
      const std::string padding(widths[column] - text_width(cells[column]), ' ');
      text += (column > 0 ? "  " : "") + (numeric[column] ? padding + cells[column] : cells[column] + padding);
    }
    text.erase(text.find_last_not_of(' ') + 1);
    out += text + "\n";
  };
  line(headers_);
  for (const auto& row : rows) { line(row); }
  return out;
}

std::string Table::markdown() const {
  const auto line = [](const std::vector<std::string>& cells) {
    std::string text = "|";
    for (const std::string& cell : cells) { text += " " + markdown_text(cell) + " |"; }
    return text + "\n";
  };
  std::string out = line(headers_) + line(std::vector<std::string>(headers_.size(), "---"));
  for (const auto& row : rows_) { out += line(row); }
  return out;
}

std::string interval_text(const evals::Interval& interval, int digits) {
  if (interval.lo == interval.hi) { return fixed(interval.value, digits); }
  return fixed(interval.value, digits) + " [" + fixed(interval.lo, digits) + ", " + fixed(interval.hi, digits) + "]";
}

nlohmann::json interval_json(const evals::Interval& interval) {
  return {{"value", interval.value}, {"lo", interval.lo}, {"hi", interval.hi}};
}

int print_error(const Error& error) {
  const bool color = use_color(STDERR_FILENO);
  std::cerr << (color ? "\033[31merror:\033[0m " : "error: ") << terminal_text(error.message) << "\n";
  if (error.blame == Blame::kInternal) { std::cerr << "this is a fault of vortex, not yours\n"; }
  if (!error.hint.empty()) {
    std::cerr << (color ? "\033[36mhint:\033[0m " : "hint: ") << terminal_text(error.hint) << "\n";
  }
  return exit_code(error.blame);
}

void log_line(std::string_view text) { std::cerr << terminal_text(text) << "\n"; }

bool stderr_is_terminal() { return ::isatty(STDERR_FILENO) == 1; }

bool use_color(int fd) {
  const char* no_color = std::getenv("NO_COLOR");
  return ::isatty(fd) == 1 && (no_color == nullptr || *no_color == '\0');
}

ScreenSize terminal_size(int fd) {
  winsize size = {};
  if (::ioctl(fd, TIOCGWINSZ, &size) != 0) { return {}; }
  ScreenSize screen;
  if (size.ws_col > 0) { screen.columns = size.ws_col; }
  if (size.ws_row > 0) { screen.rows = size.ws_row; }
  return screen;
}

size_t text_width(std::string_view text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

}  // namespace vortex::cli
