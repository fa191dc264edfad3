#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace vortex::httpd {

// Who may ask what. Plain functions of texts, so that each rule can be tested without a network.

bool is_loopback(std::string_view address);

// A Host header that names this server: its address or localhost, with its port. Pages of other names that resolve to
// this machine (DNS rebinding) are told apart by it.
bool is_our_host(std::string_view host, std::string_view address, uint16_t port);
// An Origin header of our own page.
bool is_our_origin(std::string_view origin, std::string_view address, uint16_t port);

// The token that a request brings: "Bearer ..." or the cookie vortex_token; empty where it brings none.
std::string token_of(std::string_view authorization, std::string_view cookie);

// A target "/a/b?x=1" in its parts, decoded. False for what is no valid target: bad escapes, control characters, "..".
struct Target {
  std::string path;                   // "/a/b", not decoded
  std::vector<std::string> segments;  // decoded, empty ones left out
  std::map<std::string, std::string> query;
};
bool parse_target(std::string_view text, Target& target);

}  // namespace vortex::httpd
