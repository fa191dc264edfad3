#pragma once

#include <string>
#include <vector>

#include "cli/output.h"

namespace vortex::cli {

// A short document for people, written block by block; rendered as Markdown, or for a terminal.
struct Block {
  enum class Kind {
    kHeading,  // text
    kLead,     // text: the one thing to know
    kText,     // text of ours, with `code`
    kForeign,  // text that holds what others wrote
    kTiles,    // rows of {value, label}: the numbers at a glance
    kTable,    // headers and rows
    kCode,     // text, as it is
  };
  Kind kind = Kind::kText;
  std::string text;
  std::vector<std::string> headers;
  std::vector<std::vector<std::string>> rows;
  std::vector<std::string> droppable;  // headers of columns that a narrow screen goes without
};

struct Document {
  std::string title;
  std::string subtitle;
  std::vector<Block> blocks;

  void heading(std::string text) { blocks.push_back({Block::Kind::kHeading, std::move(text), {}, {}, {}}); }
  void lead(std::string text) { blocks.push_back({Block::Kind::kLead, std::move(text), {}, {}, {}}); }
  void text(std::string text) { blocks.push_back({Block::Kind::kText, std::move(text), {}, {}, {}}); }
  void foreign(std::string text) { blocks.push_back({Block::Kind::kForeign, std::move(text), {}, {}, {}}); }
  void code(std::string text) { blocks.push_back({Block::Kind::kCode, std::move(text), {}, {}, {}}); }
  void table(std::vector<std::string> headers, std::vector<std::vector<std::string>> rows,
             std::vector<std::string> droppable = {}) {
    blocks.push_back({Block::Kind::kTable, {}, std::move(headers), std::move(rows), std::move(droppable)});
  }
};

std::string to_markdown(const Document& document);
// Words wrapped and tables fitted into so many columns; `color` makes headings bold.
std::string to_terminal(const Document& document, size_t columns, bool color);

}  // namespace vortex::cli
