#include "agent/llm/markdown.h"

#include <algorithm>
#include <cctype>
#include <optional>
#include <utility>

namespace vortex::agent {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// Takes up to `columns` of white space from the front; how much that was. A tab is four columns.
size_t take_indent(std::string_view& line, size_t columns) {
  size_t taken = 0;
  while (taken < columns && !line.empty() && (line.front() == ' ' || line.front() == '\t')) {
    taken += line.front() == '\t' ? size_t{4} : size_t{1};
    line.remove_prefix(1);
  }
  return taken;
}

// Takes the mark of a list item or of a quote from the front, if there is one: how many columns it has.
size_t take_mark(std::string_view& line) {
  size_t size = 0;
  if (line.starts_with('>')) {
    line.remove_prefix(1);
    return 1 + take_indent(line, 1);
  }
  if (line.starts_with('-') || line.starts_with('*') || line.starts_with('+')) {
    size = 1;
  } else {
    while (size < line.size() && size < 9 && is_digit(line[size])) { ++size; }
    if (size == 0 || size == line.size() || (line[size] != '.' && line[size] != ')')) { return 0; }
    ++size;
  }
  if (size >= line.size() || (line[size] != ' ' && line[size] != '\t')) { return 0; }
  line.remove_prefix(size);
  return size + take_indent(line, 4);
}

struct Fence {
  char character = '`';
  size_t length = 0;
  size_t indent = 0;  // columns before it
  bool quoted = false;
  std::string language;
};

std::string language_of(std::string_view info) {
  std::string language;
  for (const char c : info) {
    const bool word = std::isalnum(static_cast<unsigned char>(c)) != 0;
    if (!word && language.empty() && std::string_view(" \t{.").find(c) != std::string_view::npos) { continue; }
    if (!word) { break; }
    language += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  }
  return language;
}

size_t run_length(std::string_view text, char character) {
  return std::min(text.find_first_not_of(character), text.size());
}

// The fence that a line opens, behind the marks of the items and quotes that it begins.
std::optional<Fence> opening_fence(std::string_view line) {
  Fence fence;
  while (true) {
    fence.indent += take_indent(line, line.size() * 4);
    const bool quote = line.starts_with('>');
    const size_t mark = take_mark(line);
    if (mark == 0) { break; }
    fence.indent += mark;
    fence.quoted = fence.quoted || quote;
  }
  if (line.empty() || (line.front() != '`' && line.front() != '~')) { return std::nullopt; }
  fence.character = line.front();
  fence.length = run_length(line, fence.character);
  const std::string_view info = line.substr(fence.length);
  if (fence.length < 3 || (fence.character == '`' && info.find('`') != std::string_view::npos)) { return std::nullopt; }
  fence.language = language_of(info);
  return fence;
}

// A line within a fence, without the marks of its quote.
std::string_view unquoted(std::string_view line, const Fence& fence) {
  std::string_view rest = line;
  take_indent(rest, fence.indent);
  if (!fence.quoted || !rest.starts_with('>')) { return line; }
  take_mark(rest);
  return rest;
}

// The lines without the indentation of their fence. Writers often leave it out within list items: where a line stands
// at the margin, all of them are as they should be.
std::string dedented(const std::vector<std::string_view>& lines, size_t indent) {
  const auto at_margin = [](std::string_view line) { return !line.empty() && line[0] != ' ' && line[0] != '\t'; };
  if (std::any_of(lines.begin(), lines.end(), at_margin)) { indent = 0; }
  std::string text;
  for (std::string_view line : lines) {
    take_indent(line, indent);
    text.append(line).push_back('\n');
  }
  return text;
}

bool closes(std::string_view line, const Fence& fence) {
  take_indent(line, line.size() * 4);
  const size_t length = run_length(line, fence.character);
  return length >= fence.length && line.substr(length).find_first_not_of(" \t") == std::string_view::npos;
}

// Calls back with every line, its line break left out.
template <typename Each>
void each_line(std::string_view text, const Each& each) {
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    std::string_view line = text.substr(begin, end - begin);
    if (!line.empty() && line.back() == '\r') { line.remove_suffix(1); }
    each(line);
    begin = end + 1;
  }
}

struct Tags {
  std::string_view open;
  std::string_view close;
};
constexpr Tags kThoughts[] = {{"<think>", "</think>"}, {"<thinking>", "</thinking>"}};

// The first `<think>` from `from` on that begins a line.
size_t find_thoughts(std::string_view text, const Tags& tags, size_t from) {
  for (size_t at = text.find(tags.open, from); at != std::string_view::npos; at = text.find(tags.open, at + 1)) {
    const size_t before = at == 0 ? std::string_view::npos : text.find_last_not_of(" \t", at - 1);
    if (before == std::string_view::npos || text[before] == '\n') { return at; }
  }
  return std::string_view::npos;
}

}  // namespace

std::vector<FencedBlock> fenced_blocks(std::string_view text) {
  std::vector<FencedBlock> blocks;
  std::optional<Fence> fence;
  std::vector<std::string_view> lines;
  const auto finish = [&](bool closed) {
    blocks.push_back({fence->language, dedented(lines, fence->indent), closed});
    fence.reset();
    lines.clear();
  };
  each_line(text, [&](std::string_view line) {
    if (!fence) {
      fence = opening_fence(line);
      return;
    }
    lines.push_back(unquoted(line, *fence));
    if (closes(lines.back(), *fence)) {
      lines.pop_back();
      finish(true);
    }
  });
  if (fence) { finish(false); }
  return blocks;
}

std::string without_thoughts(std::string_view text) {
  std::string rest(text);
  for (const Tags& tags : kThoughts) {
    size_t open = find_thoughts(rest, tags, 0);
    size_t from = 0;
    const size_t orphan = rest.find(tags.close);
    if (orphan != std::string::npos && orphan < open) { from = orphan + tags.close.size(); }  // the prompt opened them
    std::string kept;
    while (open != std::string::npos) {
      kept.append(rest, from, open - from);
      const size_t close = rest.find(tags.close, open);
      from = close == std::string::npos ? rest.size() : close + tags.close.size();
      open = find_thoughts(rest, tags, from);
    }
    kept.append(rest, from);
    rest = std::move(kept);
  }
  return rest;
}

}  // namespace vortex::agent
