#include "serve/access.h"

#include <algorithm>
#include <string>

#include "base/secret.h"
#include "httpd/guard.h"

namespace vortex::serve {

namespace http = boost::beast::http;

bool may_read(const ServerOptions& options, std::string_view origin) {
  const auto& allowed = options.allowed_origins;
  const auto is = [&](const std::string& one) { return one == "*" || one == origin; };
  if (std::any_of(allowed.begin(), allowed.end(), is)) { return true; }
  constexpr std::string_view kScheme = "http://";
  if (!origin.starts_with(kScheme) || !httpd::is_loopback(options.address)) { return false; }
  std::string_view host = origin.substr(kScheme.size());
  host = host.substr(0, host.starts_with("[") ? host.find(']') + 1 : host.find(':'));
  return host == "localhost" || host == "127.0.0.1" || host == "[::1]";
}

std::optional<Refusal> check_access(const ServerOptions& options, uint16_t port, const Question& question,
                                    std::string_view path) {
  const std::string_view host = header_of(question, http::field::host);
  if (options.api_key.empty() && !httpd::is_our_host(host, options.address, port)) {
    return refusal(421,
                   "this server answers to localhost:" + std::to_string(port) +
                       " and its own address; through a tunnel or a proxy it takes any name once VORTEX_API_KEY is set",
                   "invalid_request_error");
  }
  const bool needs_key = !options.api_key.empty() && path != "/health";
  const std::string given = httpd::token_of(header_of(question, http::field::authorization), "");
  if (needs_key && !same_secret(given, options.api_key)) {
    return refusal(401, "the API key is missing or wrong: send the header \"Authorization: Bearer KEY\"",
                   "authentication_error", "invalid_api_key");
  }
  return std::nullopt;
}

}  // namespace vortex::serve
