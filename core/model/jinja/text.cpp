#include "core/model/jinja/text.h"

#include <algorithm>
#include <ctime>
#include <utility>

#include "base/date.h"

namespace vortex::model::jinja {
namespace {

bool continues(char byte) { return (static_cast<unsigned char>(byte) & 0xc0) == 0x80; }

// Bytes of the character at `at`; the text is well-formed.
size_t size_at(std::string_view text, size_t at) {
  size_t size = 1;
  while (at + size < text.size() && continues(text[at + size])) { ++size; }
  return size;
}

// What Python's str.isspace() is true for.
bool is_space(std::string_view character) {
  if (character.size() == 1) {
    const char c = character[0];
    return c == ' ' || (c >= '\t' && c <= '\r') || (c >= '\x1c' && c <= '\x1f');
  }
  constexpr std::string_view kWide[] = {"\u0085", "\u00a0", "\u1680", "\u2000", "\u2001", "\u2002", "\u2003",
                                        "\u2004", "\u2005", "\u2006", "\u2007", "\u2008", "\u2009", "\u200a",
                                        "\u2028", "\u2029", "\u202f", "\u205f", "\u3000"};
  return std::find(std::begin(kWide), std::end(kWide), character) != std::end(kWide);
}

size_t find_space(std::string_view text) {
  for (size_t at = 0; at < text.size(); at += size_at(text, at)) {
    if (is_space(text.substr(at, size_at(text, at)))) { return at; }
  }
  return std::string_view::npos;
}

size_t find_last_space(std::string_view text) {
  for (size_t end = text.size(); end > 0;) {
    size_t at = end - 1;
    while (at > 0 && continues(text[at])) { --at; }
    if (is_space(text.substr(at, end - at))) { return at; }
    end = at;
  }
  return std::string_view::npos;
}

std::vector<std::string> split_at_space(std::string_view text, int64_t limit) {
  std::vector<std::string> parts;
  for (text = strip(text, std::nullopt, true, false); !text.empty(); text = strip(text, std::nullopt, true, false)) {
    const bool last = limit >= 0 && static_cast<int64_t>(parts.size()) == limit;
    const size_t end = last ? text.size() : std::min(find_space(text), text.size());
    parts.emplace_back(text.substr(0, end));
    text.remove_prefix(end);
  }
  return parts;
}

std::vector<std::string> split_at_space_from_right(std::string_view text, int64_t limit) {
  std::vector<std::string> parts;
  for (text = strip(text, std::nullopt, false, true); !text.empty(); text = strip(text, std::nullopt, false, true)) {
    const bool last = limit >= 0 && static_cast<int64_t>(parts.size()) == limit;
    const size_t space = last ? std::string_view::npos : find_last_space(text);
    const size_t begin = space == std::string_view::npos ? 0 : space + size_at(text, space);
    parts.emplace_back(text.substr(begin));
    text = text.substr(0, begin);
  }
  std::reverse(parts.begin(), parts.end());
  return parts;
}

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c; }
char upper(char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - ('a' - 'A')) : c; }

Status refuse_wide_letters(std::string_view text) {
  for (const char c : text) {
    if (static_cast<unsigned char>(c) >= 0x80) {
      return candidate_error("upper and lower case of letters beyond ASCII are not supported");
    }
  }
  return ok_status();
}

// The C library's form of a day, its week day included.
std::tm calendar_day(const std::string& date) {
  const auto number = [&](size_t at, size_t size) { return std::stoi(date.substr(at, size)); };
  std::tm day{};
  day.tm_year = number(0, 4) - 1900;
  day.tm_mon = number(5, 2) - 1;
  day.tm_mday = number(8, 2);
  ::timegm(&day);  // fills in the rest
  return day;
}

}  // namespace

size_t count_characters(std::string_view text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char byte) { return !continues(byte); }));
}

std::vector<std::string_view> characters(std::string_view text) {
  std::vector<std::string_view> all;
  for (size_t at = 0; at < text.size();) {
    all.push_back(text.substr(at, size_at(text, at)));
    at += all.back().size();
  }
  return all;
}

std::string_view strip(std::string_view text, const std::optional<std::string>& set, bool left, bool right) {
  const std::vector<std::string_view> wanted = characters(set ? std::string_view(*set) : std::string_view());
  const auto goes = [&](std::string_view character) {
    return set ? std::find(wanted.begin(), wanted.end(), character) != wanted.end() : is_space(character);
  };
  while (left && !text.empty()) {
    const size_t size = size_at(text, 0);
    if (!goes(text.substr(0, size))) { break; }
    text.remove_prefix(size);
  }
  while (right && !text.empty()) {
    size_t from = text.size() - 1;
    while (from > 0 && continues(text[from])) { --from; }
    if (!goes(text.substr(from))) { break; }
    text = text.substr(0, from);
  }
  return text;
}

std::vector<std::string> split(std::string_view text, const std::optional<std::string>& separator, int64_t limit,
                               bool from_right) {
  if (!separator) { return from_right ? split_at_space_from_right(text, limit) : split_at_space(text, limit); }
  std::vector<std::string> parts;
  const size_t size = separator->size();
  while (limit < 0 || static_cast<int64_t>(parts.size()) < limit) {
    const size_t at = from_right ? text.rfind(*separator) : text.find(*separator);
    if (at == std::string_view::npos) { break; }
    parts.emplace_back(from_right ? text.substr(at + size) : text.substr(0, at));
    text = from_right ? text.substr(0, at) : text.substr(at + size);
  }
  parts.emplace_back(text);
  if (from_right) { std::reverse(parts.begin(), parts.end()); }
  return parts;
}

std::vector<std::string> split_at_line_breaks(std::string_view text) {
  constexpr std::string_view kBreaks[] = {"\n", "\r", "\v", "\f", "\x1c", "\x1d", "\x1e", "\u0085", "\u2028", "\u2029"};
  std::vector<std::string> lines;
  std::string line;
  const std::vector<std::string_view> all = characters(text);
  for (size_t i = 0; i < all.size(); ++i) {
    if (std::find(std::begin(kBreaks), std::end(kBreaks), all[i]) == std::end(kBreaks)) {
      line += all[i];
      continue;
    }
    if (all[i] == "\r" && i + 1 < all.size() && all[i + 1] == "\n") { ++i; }
    lines.push_back(std::exchange(line, {}));
  }
  if (!line.empty()) { lines.push_back(line); }
  return lines;
}

std::string replace(std::string_view text, std::string_view from, std::string_view to, int64_t limit) {
  std::string out;
  int64_t done = 0;
  if (from.empty()) {  // between all characters and at both ends
    for (const std::string_view character : characters(text)) {
      if (limit < 0 || done++ < limit) { out += to; }
      out += character;
    }
    if (limit < 0 || done < limit) { out += to; }
    return out;
  }
  while (limit < 0 || done < limit) {
    const size_t at = text.find(from);
    if (at == std::string_view::npos) { break; }
    out += text.substr(0, at);
    out += to;
    text.remove_prefix(at + from.size());
    ++done;
  }
  return out += text;
}

Result<std::string> change_case(std::string_view text, Case to) {
  VORTEX_TRY(refuse_wide_letters(text));
  std::string out(text);
  bool within = false;
  for (size_t i = 0; i < out.size(); ++i) {
    const bool first = to == Case::kTitle ? !within : i == 0;
    within = is_letter(out[i]);
    const bool big = to == Case::kUpper || (to != Case::kLower && first);
    out[i] = big ? upper(out[i]) : lower(out[i]);
  }
  return out;
}

Result<std::string> filter_title(std::string_view text) {
  VORTEX_TRY(refuse_wide_letters(text));
  std::string out(text);
  bool first = true;
  for (char& c : out) {
    const bool breaks =
        is_space(std::string_view(&c, 1)) || std::string_view("-({[<").find(c) != std::string_view::npos;
    c = first ? upper(c) : lower(c);
    first = breaks;
  }
  return out;
}

Result<std::string> format_date(const std::string& date, const std::string& format) {
  if (!is_date(date)) { return candidate_error("no date: " + date, "write it as 2024-07-26"); }
  const std::tm day = calendar_day(date);
  std::string out;
  for (size_t i = 0; i < format.size(); ++i) {
    if (format[i] != '%') {
      out += format[i];
      continue;
    }
    std::string directive = "%";
    if (i + 1 < format.size() && format[i + 1] == '-') {
      directive += '-';
      ++i;
    }
    const char letter = i + 1 < format.size() ? format[++i] : '\0';
    if (letter == '\0' || std::string_view("aAbBdejmMHIpSyYFDTR%").find(letter) == std::string_view::npos) {
      return candidate_error("strftime_now: the format " + format + " is not supported");
    }
    directive += letter;
    char text[64];
    out.append(text, std::strftime(text, sizeof(text), directive.c_str(), &day));
  }
  return out;
}

}  // namespace vortex::model::jinja
