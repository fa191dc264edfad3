#include "cli/show/document.h"

#include "base/escape.h"
#include "base/text.h"

namespace vortex::cli {
namespace {

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
  }
  return {};
}

std::string wrapped(const std::string& text, size_t columns) {
  return join(wrapped_lines(terminal_text(text), columns), "\n") + "\n";
}

std::string terminal_block(const Block& block, size_t columns, bool color) {
  const auto bold = [&](const std::string& text) { return color ? "\033[1m" + text + "\033[0m" : text; };
  switch (block.kind) {
    case Block::Kind::kHeading:
      return bold(block.text) + "\n" + (color ? "" : std::string(text_width(block.text), '-') + "\n") + "\n";
    case Block::Kind::kLead:
      return bold(wrapped(block.text, columns)) + "\n";
    case Block::Kind::kText:
    case Block::Kind::kForeign:
      return wrapped(block.text, columns) + "\n";
    case Block::Kind::kCode:
      return terminal_text(block.text) + "\n";
    case Block::Kind::kTable: {
      Table table(block.headers);
      table.may_drop(block.droppable);
      for (const auto& row : block.rows) { table.add(row); }
      return table.text(columns, color) + "\n";
    }
    case Block::Kind::kTiles: {
      std::string out;
      for (const auto& row : block.rows) { out += wrapped(row[0] + "  " + row[1], columns); }
      return out + "\n";
    }
  }
  return {};
}

}  // namespace

std::string to_terminal(const Document& document, size_t columns, bool color) {
  std::string out = terminal_block({Block::Kind::kHeading, document.title, {}, {}, {}}, columns, color) +
                    wrapped(document.subtitle, columns) + "\n";
  for (const Block& block : document.blocks) { out += terminal_block(block, columns, color); }
  out.pop_back();
  return out;
}

std::string to_markdown(const Document& document) {
  std::string out = "# " + markdown_text(document.title) + "\n\n" + markdown_text(document.subtitle) + "\n\n";
  for (const Block& block : document.blocks) { out += markdown_block(block); }
  out.pop_back();  // one newline ends the file
  return out;
}

}  // namespace vortex::cli
