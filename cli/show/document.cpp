#include "cli/show/document.h"

#include <algorithm>
#include <string_view>

#include "base/escape.h"

namespace vortex::cli {
namespace {

// What stands between backticks, as Markdown has it, marked up as code.
std::string with_code(const std::string& html) {
  std::string out;
  bool inside = false;
  for (const char c : html) {
    if (c == '`') {
      out += inside ? "</code>" : "<code>";
      inside = !inside;
    } else {
      out += c;
    }
  }
  return out;
}

constexpr std::string_view kStyle = R"css(
:root { color-scheme: light dark; --ink: #1b1f24; --soft: #5d6673; --line: #d9dee5; --ground: #ffffff;
  --panel: #f5f7f9; --accent: #0b6bcb; --good: #1a7f4b; --faint: #aab3bf; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e8ee; --soft: #9aa5b4; --line: #303843; --ground: #14181d;
  --panel: #1c2229; --accent: #6cb2ff; --good: #5fd08f; --faint: #5b6675; } }
body { margin: 0; background: var(--ground); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
main { max-width: 60rem; margin: 0 auto; padding: 2.5rem 1.5rem 4rem; }
h1 { font-size: 1.7rem; margin: 0; letter-spacing: -0.01em; }
.subtitle { color: var(--soft); margin: 0.2rem 0 1.6rem; }
h2 { font-size: 1.15rem; margin: 2.4rem 0 0.7rem; padding-top: 1rem; border-top: 1px solid var(--line); }
p { margin: 0.6rem 0; max-width: 46rem; }
.lead { font-size: 1.2rem; line-height: 1.45; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); gap: 0.8rem; margin: 1.4rem 0; }
.tile { background: var(--panel); border-radius: 8px; padding: 0.8rem 1rem; }
.tile b { display: block; font-size: 1.35rem; font-variant-numeric: tabular-nums; }
.tile span { color: var(--soft); font-size: 0.85rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: 0.9rem; font-variant-numeric: tabular-nums; }
th { text-align: left; color: var(--soft); font-weight: 600; }
th, td { padding: 0.35rem 0.9rem 0.35rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
td.number, th.number { text-align: right; white-space: nowrap; }
pre { background: var(--panel); border-radius: 8px; padding: 0.9rem 1rem; overflow-x: auto; font-size: 0.85rem; }
figure { margin: 1rem 0; } figcaption { color: var(--soft); font-size: 0.85rem; margin-top: 0.4rem; }
svg { width: 100%; height: auto; display: block; }
svg text { fill: var(--soft); font: 12px system-ui, sans-serif; } svg .label { fill: var(--ink); font-weight: 600; }
svg .axis { stroke: var(--line); } svg .front { fill: none; stroke: var(--accent); stroke-width: 1.5; opacity: 0.55; }
svg .other { fill: var(--faint); } svg .interval { stroke: var(--accent); stroke-width: 1.2; opacity: 0.8; }
svg .member { fill: var(--ground); stroke: var(--accent); stroke-width: 2; } svg .confirmed { fill: var(--accent); }
svg .dense { fill: var(--soft); }
@media print { main { max-width: none; padding: 0; } }
)css";

// Starts with a digit, a sign or nothing but a dash: such columns are aligned right.
bool is_number(const std::string& cell) {
  if (cell.empty() || cell == "-") { return true; }
  const std::string_view digits = "0123456789.,+-% []x/$";
  return cell.find_first_not_of(digits) == std::string::npos;
}

std::string html_table(const Block& block) {
  std::vector<std::string> classes;
  for (size_t column = 0; column < block.headers.size(); ++column) {
    const bool numbers = std::all_of(block.rows.begin(), block.rows.end(),
                                     [&](const auto& row) { return column < row.size() && is_number(row[column]); });
    classes.push_back(numbers ? " class=\"number\"" : "");
  }
  std::string out = "<div class=\"scroll\"><table><thead><tr>";
  for (size_t i = 0; i < block.headers.size(); ++i) {
    out += "<th" + classes[i] + ">" + html_text(block.headers[i]) + "</th>";
  }
  out += "</tr></thead><tbody>\n";
  for (const auto& row : block.rows) {
    out += "<tr>";
    for (size_t i = 0; i < row.size(); ++i) { out += "<td" + classes[i] + ">" + html_text(row[i]) + "</td>"; }
    out += "</tr>\n";
  }
  return out + "</tbody></table></div>\n";
}

std::string html_block(const Block& block) {
  switch (block.kind) {
    case Block::Kind::kHeading:
      return "<h2>" + html_text(block.text) + "</h2>\n";
    case Block::Kind::kLead:
      return "<p class=\"lead\">" + html_text(block.text) + "</p>\n";
    case Block::Kind::kText:
      return "<p>" + with_code(html_text(block.text)) + "</p>\n";
    case Block::Kind::kForeign:
      return "<p>" + html_text(block.text) + "</p>\n";
    case Block::Kind::kCode:
      return "<pre>" + html_text(block.text) + "</pre>\n";
    case Block::Kind::kTable:
      return html_table(block);
    case Block::Kind::kFigure:
      return "<figure>" + block.svg + "<figcaption>" + html_text(block.text) + "</figcaption></figure>\n";
    case Block::Kind::kTiles: {
      std::string out = "<div class=\"tiles\">";
      for (const auto& row : block.rows) {
        out += "<div class=\"tile\"><b>" + html_text(row[0]) + "</b><span>" + html_text(row[1]) + "</span></div>";
      }
      return out + "</div>\n";
    }
  }
  return {};
}

std::string markdown_table(const std::vector<std::string>& headers, const std::vector<std::vector<std::string>>& rows) {
  Table table(headers);
  for (const auto& row : rows) { table.add(row); }
  return table.markdown() + "\n";
}

std::string markdown_block(const Block& block) {
  switch (block.kind) {
    case Block::Kind::kHeading:
      return "## " + block.text + "\n\n";
    case Block::Kind::kLead:
      return "**" + block.text + "**\n\n";
    case Block::Kind::kText:
      return block.text + "\n\n";
    case Block::Kind::kForeign:
      return markdown_text(block.text) + "\n\n";
    case Block::Kind::kCode:
      return markdown_code("", terminal_text(block.text)) + "\n";
    case Block::Kind::kTable:
      return markdown_table(block.headers, block.rows);
    case Block::Kind::kTiles: {
      std::vector<std::vector<std::string>> rows;
      for (const auto& row : block.rows) { rows.push_back({row[1], row[0]}); }
      return markdown_table({"at a glance", ""}, rows);
    }
    case Block::Kind::kFigure:
      return {};
  }
  return {};
}

}  // namespace

std::string to_markdown(const Document& document) {
  std::string out = "# " + markdown_text(document.title) + "\n\n" + markdown_text(document.subtitle) + "\n\n";
  for (const Block& block : document.blocks) { out += markdown_block(block); }
  out.pop_back();  // one newline ends the file
  return out;
}

std::string to_html(const Document& document) {
  std::string out = "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n";
  out += "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>" +
         html_text(document.title) + "</title>\n<style>" + std::string(kStyle) + "</style></head>\n<body><main>\n";
  out += "<h1>" + html_text(document.title) + "</h1>\n<p class=\"subtitle\">" + html_text(document.subtitle) + "</p>\n";
  for (const Block& block : document.blocks) { out += html_block(block); }
  return out + "</main></body></html>\n";
}

}  // namespace vortex::cli
