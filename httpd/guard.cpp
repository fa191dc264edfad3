#include "httpd/guard.h"

#include <algorithm>
#include <optional>

namespace vortex::httpd {
namespace {

int hex_digit(char c) {
  if (c >= '0' && c <= '9') { return c - '0'; }
  if (c >= 'a' && c <= 'f') { return c - 'a' + 10; }
  if (c >= 'A' && c <= 'F') { return c - 'A' + 10; }
  return -1;
}

std::optional<std::string> decoded(std::string_view text, bool plus_is_space) {
  std::string result;
  for (size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (c == '%') {
      if (i + 2 >= text.size()) { return std::nullopt; }
      const int high = hex_digit(text[i + 1]);
      const int low = hex_digit(text[i + 2]);
      if (high < 0 || low < 0) { return std::nullopt; }
      c = static_cast<char>(high * 16 + low);
      i += 2;
    } else if (c == '+' && plus_is_space) {
      c = ' ';
    }
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) { return std::nullopt; }
    result += c;
  }
  return result;
}

bool equal_ignoring_case(std::string_view a, std::string_view b) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; };
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [&](char x, char y) { return lower(x) == lower(y); });
}

}  // namespace

bool is_loopback(std::string_view address) {
  return address == "::1" || address == "localhost" || address.rfind("127.", 0) == 0;
}

bool is_our_host(std::string_view host, std::string_view address, uint16_t port) {
  const std::string at = ":" + std::to_string(port);
  std::vector<std::string> names = {std::string(address), "[" + std::string(address) + "]"};
  if (is_loopback(address)) { names.insert(names.end(), {"localhost", "127.0.0.1", "[::1]"}); }
  // A server on every address is asked by whatever name leads to it: there, the token alone decides.
  if (address == "0.0.0.0" || address == "::") { return !host.empty(); }
  return std::any_of(names.begin(), names.end(), [&](const std::string& name) {
    return equal_ignoring_case(host, name + at) || (port == 80 && equal_ignoring_case(host, name));
  });
}

bool is_our_origin(std::string_view origin, std::string_view address, uint16_t port) {
  constexpr std::string_view kScheme = "http://";
  if (origin.substr(0, kScheme.size()) != kScheme) { return false; }
  return is_our_host(origin.substr(kScheme.size()), address, port);
}

std::string token_of(std::string_view authorization, std::string_view cookie) {
  constexpr std::string_view kBearer = "Bearer ";
  if (authorization.substr(0, kBearer.size()) == kBearer) { return std::string(authorization.substr(kBearer.size())); }
  constexpr std::string_view kName = "vortex_token=";
  size_t begin = 0;
  while (begin < cookie.size()) {
    const size_t end = std::min(cookie.find(';', begin), cookie.size());
    std::string_view part = cookie.substr(begin, end - begin);
    while (!part.empty() && part.front() == ' ') { part.remove_prefix(1); }
    if (part.substr(0, kName.size()) == kName) { return std::string(part.substr(kName.size())); }
    begin = end + 1;
  }
  return {};
}

bool parse_target(std::string_view text, Target& target) {
  if (text.empty() || text.front() != '/') { return false; }
  const size_t mark = std::min(text.find('?'), text.size());
  target.path = text.substr(0, mark);
  size_t begin = 1;
  while (begin <= mark) {
    const size_t end = std::min(text.find('/', begin), mark);
    const auto segment = decoded(text.substr(begin, end - begin), false);
    if (!segment || *segment == "..") { return false; }
    if (!segment->empty()) { target.segments.push_back(*segment); }
    begin = end + 1;
  }
  begin = mark + 1;
  while (begin < text.size()) {
    const size_t end = std::min(text.find('&', begin), text.size());
    const std::string_view pair = text.substr(begin, end - begin);
    const size_t equals = std::min(pair.find('='), pair.size());
    const auto name = decoded(pair.substr(0, equals), true);
    const auto value = decoded(equals < pair.size() ? pair.substr(equals + 1) : std::string_view(), true);
    if (!name || !value) { return false; }
    target.query[*name] = *value;
    begin = end + 1;
  }
  return true;
}

}  // namespace vortex::httpd
