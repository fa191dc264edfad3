#include "cli/show/document.h"

#include "base/escape.h"

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

}  // namespace

std::string to_markdown(const Document& document) {
  std::string out = "# " + markdown_text(document.title) + "\n\n" + markdown_text(document.subtitle) + "\n\n";
  for (const Block& block : document.blocks) { out += markdown_block(block); }
  out.pop_back();  // one newline ends the file
  return out;
}

}  // namespace vortex::cli
