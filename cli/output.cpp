#include "cli/output.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <map>
#include <sstream>
#include <utility>

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
  if (name == "csv") { return Format::kCsv; }
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

namespace {

std::string csv_cell(const nlohmann::json& value) {
  if (value.is_null()) { return {}; }
  const std::string text = value.is_string() ? value.get<std::string>()
                                             : value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  if (text.find_first_of(",\"\r\n") == std::string::npos) { return text; }
  std::string quoted = "\"";
  for (char c : text) { quoted += c == '"' ? "\"\"" : std::string(1, c); }
  return quoted + "\"";
}

bool is_interval(const nlohmann::json& value) { return value.is_object() && value.contains("lo"); }

}  // namespace

void print_csv(const std::vector<std::string>& members, const std::vector<nlohmann::json>& items) {
  static const nlohmann::json kNothing;
  const auto member = [](const nlohmann::json& item, const std::string& name) -> const nlohmann::json& {
    const auto found = item.find(name);
    return found == item.end() ? kNothing : *found;
  };
  std::vector<std::string> names;
  std::vector<std::vector<std::string>> rows(items.size());
  for (const std::string& name : members) {
    const bool interval = std::any_of(items.begin(), items.end(),
                                      [&](const nlohmann::json& item) { return is_interval(member(item, name)); });
    names.push_back(name);
    if (interval) { names.insert(names.end(), {name + "_lo", name + "_hi"}); }
    for (size_t i = 0; i < items.size(); ++i) {
      const nlohmann::json& value = member(items[i], name);
      if (!interval) {
        rows[i].push_back(csv_cell(value));
        continue;
      }
      for (const char* part : {"value", "lo", "hi"}) {
        rows[i].push_back(csv_cell(is_interval(value) ? value[part] : kNothing));
      }
    }
  }
  std::cout << join(names, ",") << "\n";
  for (const auto& row : rows) { std::cout << join(row, ",") << "\n"; }
}

namespace {

// The columns of a table as they will stand.
struct Layout {
  std::vector<size_t> columns;  // those that stay, by their place
  std::vector<size_t> widths;   // of all
  std::vector<bool> numeric;

  size_t width() const {
    size_t sum = columns.empty() ? 0 : 2 * (columns.size() - 1);
    for (size_t column : columns) { sum += widths[column]; }
    return sum;
  }
};

constexpr size_t kLeastCell = 8;  // characters that a cell which is cut keeps
constexpr size_t kToldCell = 20;  // that a column of words keeps before others go for it

std::string cut(const std::string& cell, size_t width) {
  if (text_width(cell) <= width) { return cell; }
  std::string out;
  size_t shown = 0;
  for (char c : cell) {
    const bool begins = (static_cast<unsigned char>(c) & 0xc0) != 0x80;
    if (begins && shown + 3 >= width) { break; }
    shown += begins ? 1 : 0;
    out += c;
  }
  return out + "...";
}

// Makes the widest column that holds words as narrow as it must be. False where none can give more.
bool narrow(Layout& layout, size_t columns) {
  size_t* widest = nullptr;
  for (size_t column : layout.columns) {
    if (layout.numeric[column] || layout.widths[column] <= kLeastCell) { continue; }
    if (widest == nullptr || layout.widths[column] > *widest) { widest = &layout.widths[column]; }
  }
  if (widest == nullptr) { return false; }
  const size_t excess = layout.width() - columns;
  *widest = std::max(kLeastCell, *widest - std::min(*widest, excess));
  return true;
}

// The width with words cut as short as they can be and still say something.
size_t cut_width(const Layout& layout) {
  Layout cut = layout;
  for (size_t column = 0; column < cut.widths.size(); ++column) {
    if (!cut.numeric[column]) { cut.widths[column] = std::min(cut.widths[column], kToldCell); }
  }
  return cut.width();
}

void fit(Layout& layout, size_t columns, const std::vector<std::string>& headers,
         const std::vector<std::string>& droppable) {
  for (const std::string& name : droppable) {
    if (cut_width(layout) <= columns) { break; }
    std::erase_if(layout.columns, [&](size_t column) { return headers[column] == name; });
  }
  while (layout.width() > columns && narrow(layout, columns)) {}
}

// A cell's lines: one that is cut, or words on as many as they need.
std::vector<std::string> lines_of(const std::string& cell, size_t width, bool wraps) {
  if (!wraps || text_width(cell) <= width) { return {cut(cell, width)}; }
  std::vector<std::string> lines = wrapped_lines(cell, width);
  for (std::string& one : lines) { one = cut(one, width); }
  return lines;
}

constexpr std::string_view kBold = "\033[1m";
constexpr std::string_view kFaint = "\033[2m";
constexpr std::string_view kRed = "\033[31m";
constexpr std::string_view kGreen = "\033[32m";
constexpr std::string_view kYellow = "\033[33m";
constexpr std::string_view kNoColor = "\033[0m";

std::string painted(std::string_view color, const std::string& text) {
  return color.empty() || text.empty() ? text : std::string(color) + text + std::string(kNoColor);
}

}  // namespace

std::string_view color_of(std::string_view verdict) {
  static const std::map<std::string_view, std::string_view> kColors = {
      {"pass", kGreen},  {"kept", kGreen},    {"ok", kGreen},     {"running", kGreen}, {"fail", kRed},
      {"failed", kRed},  {"FAIL", kRed},      {"error", kRed},    {"timeout", kRed},   {"lost", kRed},
      {"warn", kYellow}, {"cannot", kYellow}, {"pruned", kFaint}, {"refused", kFaint}, {"not", kFaint}};
  const auto found = kColors.find(verdict.substr(0, verdict.find_first_of(" :,")));
  return found == kColors.end() ? std::string_view() : found->second;
}

std::string Table::text(size_t columns, bool colored) const {
  std::vector<std::vector<std::string>> rows = rows_;
  for (auto& row : rows) { std::transform(row.begin(), row.end(), row.begin(), terminal_line); }
  Layout layout;
  for (size_t column = 0; column < headers_.size(); ++column) {
    layout.columns.push_back(column);
    layout.widths.push_back(text_width(headers_[column]));
    layout.numeric.push_back(true);
    for (const auto& row : rows) {
      layout.widths.back() = std::max(layout.widths.back(), text_width(row[column]));
      layout.numeric.back() = layout.numeric.back() && is_numeric(row[column]);
    }
  }
  if (columns > 0) { fit(layout, columns, headers_, droppable_); }
  std::string out;
  const auto line = [&](const std::vector<std::string>& cells, bool is_head) {
    std::vector<std::vector<std::string>> shown(cells.size());
    size_t height = 1;
    for (size_t column : layout.columns) {
      shown[column] = lines_of(cells[column], layout.widths[column], headers_[column] == wrapped_);
      height = std::max(height, shown[column].size());
    }
    for (size_t row = 0; row < height; ++row) {
      std::string text;
      std::string behind;  // spaces that end a line are left out
      for (size_t column : layout.columns) {
        const std::string cell = row < shown[column].size() ? shown[column][row] : "";
        const std::string padding(layout.widths[column] - text_width(cell), ' ');
        const std::string_view color =
            is_head ? kBold : (headers_[column] == tinted_ ? color_of(cells[column]) : std::string_view());
        if (column != layout.columns.front()) { behind += "  "; }
        if (layout.numeric[column]) { behind += padding; }
        if (!cell.empty()) { text += std::exchange(behind, "") + painted(colored ? color : "", cell); }
        if (!layout.numeric[column]) { behind += padding; }
      }
      out += text + "\n";
    }
  };
  line(headers_, true);
  for (const auto& row : rows) { line(row, false); }
  return out;
}

void print_table(const Table& table) { std::cout << table.text(stdout_columns(), use_color(STDOUT_FILENO)); }

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

std::string json_cell(const nlohmann::json& value) {
  if (value.is_null()) { return "-"; }
  if (is_interval(value)) { return interval_text({value["value"], value["lo"], value["hi"]}, 3); }
  if (value.is_string()) { return value.get<std::string>(); }
  return value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
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
  const char* terminal = std::getenv("TERM");
  if (terminal != nullptr && std::string_view(terminal) == "dumb") { return false; }
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

size_t stdout_columns() {
  if (::isatty(STDOUT_FILENO) == 1) { return terminal_size(STDOUT_FILENO).columns; }
  const char* columns = std::getenv("COLUMNS");
  return columns == nullptr ? 0 : static_cast<size_t>(std::max(0L, std::strtol(columns, nullptr, 10)));
}

// The first of these that is set names the encoding.
bool locale_is_utf8() {
  for (const char* name : {"LC_ALL", "LC_CTYPE", "LANG"}) {
    const char* set = std::getenv(name);
    const std::string value = lower_ascii(set == nullptr ? "" : set);
    if (!value.empty()) { return value.find("utf-8") != std::string::npos || value.find("utf8") != std::string::npos; }
  }
  return false;
}

std::vector<std::string> wrapped_lines(const std::string& text, size_t columns) {
  std::vector<std::string> lines;
  std::string line;
  std::istringstream words(text);
  for (std::string word; words >> word;) {
    if (!line.empty() && text_width(line) + 1 + text_width(word) > columns) {
      lines.push_back(std::move(line));
      line.clear();
    }
    line += (line.empty() ? "" : " ") + word;
  }
  lines.push_back(std::move(line));
  return lines;
}

size_t text_width(std::string_view text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

}  // namespace vortex::cli
