#include "base/escape.h"

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "base/text.h"

namespace vortex {
namespace {

bool is_alphanumeric(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'); }

bool is_name_character(char c) { return is_alphanumeric(c) || c == '_' || c == '-'; }

unsigned byte_at(std::string_view text, size_t at) {
  return at < text.size() ? static_cast<unsigned char>(text[at]) : 0U;
}

// Bytes of the character at `at` of valid UTF-8 that a terminal would act on instead of showing it; 0: it shows it.
size_t control_bytes(std::string_view text, size_t at) {
  const unsigned first = byte_at(text, at);
  const unsigned second = byte_at(text, at + 1);
  const unsigned third = byte_at(text, at + 2);
  if ((first < 0x20 && first != '\n' && first != '\t') || first == 0x7f) { return 1; }
  if (first == 0xc2 && second < 0xa0) { return 2; }  // C1, in which 9b begins a command as ESC [ does
  // Marks and overrides of direction, U+200E and F, U+202A to E, U+2066 to 9; U+2028 and 9 end a line.
  const bool turns = first == 0xe2 && ((second == 0x80 && (third == 0x8e || third == 0x8f)) ||
                                       (second == 0x80 && third >= 0xa8 && third <= 0xae) ||
                                       (second == 0x81 && third >= 0xa6 && third <= 0xa9));
  return turns ? 3 : 0;
}

}  // namespace

bool is_plain_name(std::string_view text) {
  return !text.empty() && text.size() <= kMaxNameBytes && text[0] != '-' &&
         std::all_of(text.begin(), text.end(), is_name_character);
}

std::string path_component(std::string_view text) {
  std::string name(text.substr(0, kMaxNameBytes));
  std::replace_if(
      name.begin(), name.end(), [](char c) { return !is_name_character(c) && c != '.'; }, '_');
  if (name.empty() || name[0] == '.' || name[0] == '-') { name.insert(0, "_"); }
  return name;
}

std::string shell_word(std::string_view text) {
  const auto is_plain = [](char c) {
    return is_alphanumeric(c) || std::string_view("_-./:=,+@%").find(c) != std::string_view::npos;
  };
  if (!text.empty() && std::all_of(text.begin(), text.end(), is_plain)) { return std::string(text); }
  std::string word = "'";
  for (const char c : text) { word += c == '\'' ? std::string("'\\''") : std::string(1, c); }
  return word + "'";
}

std::string terminal_text(std::string_view text) {
  using nlohmann::json;
  // Writing JSON with replacement and reading it back repairs the UTF-8.
  const std::string valid =
      json::parse(json(std::string(text)).dump(-1, ' ', false, json::error_handler_t::replace)).get<std::string>();
  std::string clean;
  clean.reserve(valid.size());
  for (size_t i = 0; i < valid.size(); ++i) {
    const size_t bytes = control_bytes(valid, i);
    clean += bytes > 0 ? '?' : valid[i];
    if (bytes > 0) { i += bytes - 1; }
  }
  return clean;
}

std::string terminal_line(std::string_view text) {
  std::string line = terminal_text(text);
  std::replace_if(
      line.begin(), line.end(), [](char c) { return c == '\n' || c == '\t'; }, ' ');
  return line;
}

std::string terminal_json(std::string_view json) {
  std::string out;
  out.reserve(json.size());
  for (size_t i = 0; i < json.size(); ++i) {
    const size_t bytes = control_bytes(json, i);
    if (bytes == 0) {
      out += json[i];
      continue;
    }
    unsigned character = byte_at(json, i);
    if (bytes == 2) { character = (character & 0x1fU) << 6 | (byte_at(json, i + 1) & 0x3fU); }
    if (bytes == 3) {
      character = (character & 0x0fU) << 12 | (byte_at(json, i + 1) & 0x3fU) << 6 | (byte_at(json, i + 2) & 0x3fU);
    }
    char escape[8];
    std::snprintf(escape, sizeof escape, "\\u%04x", character & 0xffffU);
    out += escape;
    i += bytes - 1;
  }
  return out;
}

std::string markdown_text(std::string_view text) {
  const std::string line = terminal_line(text);
  std::string out;
  for (size_t i = 0; i < line.size(); ++i) {
    // Inside a word an underscore means nothing.
    const bool inside =
        line[i] == '_' && i > 0 && is_alphanumeric(line[i - 1]) && i + 1 < line.size() && is_alphanumeric(line[i + 1]);
    const bool special = std::string_view("\\`*_{}[]<>#|!~&$").find(line[i]) != std::string_view::npos;
    if (special && !inside) { out += '\\'; }
    out += line[i];
  }
  return out;
}

std::string markdown_code(std::string_view language, std::string_view text) {
  size_t longest = 0;
  size_t run = 0;
  for (const char c : text) {
    run = c == '`' ? run + 1 : 0;
    longest = std::max(longest, run);
  }
  const std::string fence(std::max<size_t>(3, longest + 1), '`');
  std::string block = fence + std::string(language) + "\n" + std::string(text);
  if (block.back() != '\n') { block += '\n'; }
  return block + fence + "\n";
}

std::string html_text(std::string_view text) {
  std::string out;
  for (const char c : terminal_text(text)) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

std::string cpp_identifier(std::string_view text) {
  std::string name;
  for (const char c : text) { name += is_alphanumeric(c) ? c : '_'; }
  if (name.empty() || (name[0] >= '0' && name[0] <= '9')) { name.insert(0, "_"); }
  return name;
}

std::string cpp_comment(std::string_view text) {
  std::string out;
  for (const std::string& line : split_lines(terminal_text(text))) {
    out += line.empty() ? "//" : "// " + line;
    // A backslash at the end, blanks behind it or not, would make the next line part of the comment; so would its
    // trigraph.
    const std::string_view shown = std::string_view(line).substr(0, line.find_last_not_of(" \t") + 1);
    if (shown.ends_with('\\') || shown.ends_with("?"
                                                 "?/")) {
      out += '.';
    }
    out += '\n';
  }
  return out;
}

std::string cpp_string(std::string_view text) {
  std::string literal = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      literal += {'\\', c};
    } else if (byte >= 0x20 && byte < 0x7f && c != '?') {  // two question marks may begin a trigraph
      literal += c;
    } else {
      const auto digit = [&](int shift) { return static_cast<char>('0' + (byte >> shift & 7U)); };
      literal += {'\\', digit(6), digit(3), digit(0)};
    }
  }
  return literal + "\"";
}

}  // namespace vortex
