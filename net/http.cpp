#include "net/http.h"

#include <curl/curl.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cmath>
#include <ctime>
#include <memory>
#include <thread>

#include "base/rng.h"
#include "base/text.h"

namespace vortex::net {
namespace {

constexpr size_t kShownBody = 200;    // bytes of an error body that a message quotes
constexpr double kPollSeconds = 0.1;  // between two looks at should_stop while sleeping
constexpr size_t kMaxHeaders = 1000;  // of one answer; more are dropped
constexpr long kProtocols = CURLPROTO_HTTP | CURLPROTO_HTTPS;

// What libcurl's callbacks work on.
struct Exchange {
  const HttpRequest& request;
  const HttpHooks& hooks;
  CURL* handle;
  HttpReply reply;
  bool stopped = false;
  bool too_long = false;
};

bool is_success(int status) { return status >= 200 && status < 300; }

// Called a line; a status line begins the headers of the next answer of a redirect chain.
size_t take_header(char* data, size_t, size_t size, void* user) {
  auto& exchange = *static_cast<Exchange*>(user);
  const std::string_view line(data, size);
  if (line.starts_with("HTTP/")) {
    exchange.reply.headers.clear();
    long status = 0;
    curl_easy_getinfo(exchange.handle, CURLINFO_RESPONSE_CODE, &status);
    exchange.reply.status = static_cast<int>(status);
  } else if (const size_t colon = line.find(':');
             colon != std::string_view::npos && exchange.reply.headers.size() < kMaxHeaders) {
    exchange.reply.headers.emplace_back(lower_ascii(trimmed(line.substr(0, colon))),
                                        std::string(trimmed(line.substr(colon + 1))));
  }
  return size;
}

// Giving back another number than `size` makes libcurl stop.
size_t take_body(char* data, size_t, size_t size, void* user) {
  auto& exchange = *static_cast<Exchange*>(user);
  if (exchange.hooks.on_body && is_success(exchange.reply.status)) {
    exchange.stopped = !exchange.hooks.on_body(exchange.reply, {data, size});
    return exchange.stopped ? 0 : size;
  }
  const auto room = exchange.request.max_body_bytes - static_cast<int64_t>(exchange.reply.body.size());
  exchange.too_long = static_cast<int64_t>(size) > room;
  if (exchange.too_long) { return 0; }
  exchange.reply.body.append(data, size);
  return size;
}

int take_progress(void* user, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
  auto& exchange = *static_cast<Exchange*>(user);
  if (exchange.hooks.should_stop && exchange.hooks.should_stop()) { exchange.stopped = true; }
  return exchange.stopped ? 1 : 0;
}

struct Handle {
  CURL* curl = nullptr;
  curl_slist* headers = nullptr;
  char error[CURL_ERROR_SIZE] = {};
  Handle() : curl(curl_easy_init()) {}
  ~Handle() {
    curl_slist_free_all(headers);
    if (curl != nullptr) { curl_easy_cleanup(curl); }
  }
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;
};

long milliseconds(double seconds) { return static_cast<long>(std::min(seconds, 1e6) * 1000); }

// The setters by enumeration exist since libcurl 7.85; those by bits are on their way out.
void allow_protocols(CURL* curl, bool secure) {
#if LIBCURL_VERSION_NUM >= 0x075500
  curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(curl, CURLOPT_REDIR_PROTOCOLS_STR, secure ? "https" : "http,https");
  static_cast<void>(kProtocols);
#else
  curl_easy_setopt(curl, CURLOPT_PROTOCOLS, kProtocols);
  curl_easy_setopt(curl, CURLOPT_REDIR_PROTOCOLS, secure ? static_cast<long>(CURLPROTO_HTTPS) : kProtocols);
#endif
}

void set_body(Handle& handle, const HttpRequest& request) {
  if (request.body.empty() && request.method == "GET") { return; }
  if (request.method == "HEAD") {
    curl_easy_setopt(handle.curl, CURLOPT_NOBODY, 1L);
    return;
  }
  curl_easy_setopt(handle.curl, CURLOPT_CUSTOMREQUEST, request.method.c_str());
  if (request.body.empty()) { return; }
  curl_easy_setopt(handle.curl, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request.body.size()));
  curl_easy_setopt(handle.curl, CURLOPT_POSTFIELDS, request.body.c_str());
}

void set_options(Handle& handle, Exchange& exchange) {
  CURL* curl = handle.curl;
  const HttpRequest& request = exchange.request;
  curl_easy_setopt(curl, CURLOPT_URL, request.url.c_str());
  allow_protocols(curl, request.url.starts_with("https:"));
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
#if LIBCURL_VERSION_NUM >= 0x075700
  // Without this the end of a request waits for the thread that looks its host's name up, which a name server that does
  // not answer holds for many seconds.
  curl_easy_setopt(curl, CURLOPT_QUICK_EXIT, 1L);
#endif
  curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, static_cast<char*>(handle.error));
  curl_easy_setopt(curl, CURLOPT_USERAGENT, "vortex");
  curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, request.max_redirects > 0 ? 1L : 0L);
  curl_easy_setopt(curl, CURLOPT_MAXREDIRS, static_cast<long>(request.max_redirects));
  curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, milliseconds(request.connect_seconds));
  curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, milliseconds(request.total_seconds));
  if (request.idle_seconds > 0) {
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, std::max(1L, std::lround(request.idle_seconds)));
  }
  curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, take_header);
  curl_easy_setopt(curl, CURLOPT_HEADERDATA, &exchange);
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_body);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, &exchange);
  curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
  curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, take_progress);
  curl_easy_setopt(curl, CURLOPT_XFERINFODATA, &exchange);
  set_body(handle, request);
  for (const std::string& header : request.headers) {
    handle.headers = curl_slist_append(handle.headers, header.c_str());
  }
  // Without this libcurl asks a server for leave before it sends a long body, and waits a second for the answer.
  handle.headers = curl_slist_append(handle.headers, "Expect:");
  curl_easy_setopt(curl, CURLOPT_HTTPHEADER, handle.headers);
}

bool is_permanent(CURLcode code) {
  switch (code) {
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_URL_MALFORMAT:
    case CURLE_TOO_MANY_REDIRECTS:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_BAD_FUNCTION_ARGUMENT:
      return true;
    default:
      return false;
  }
}

void conclude(CURLcode code, const Handle& handle, Exchange& exchange) {
  HttpReply& reply = exchange.reply;
  if (const char* url = nullptr; curl_easy_getinfo(handle.curl, CURLINFO_EFFECTIVE_URL, &url) == CURLE_OK && url) {
    reply.url = url;
  }
  if (exchange.stopped) {
    reply.failure = HttpFailure::kAborted;
    reply.message = "stopped";
  } else if (exchange.too_long) {
    reply.failure = HttpFailure::kPermanent;
    reply.message = "the answer is longer than " + std::to_string(exchange.request.max_body_bytes) + " bytes";
  } else if (code != CURLE_OK) {
    reply.failure = is_permanent(code) ? HttpFailure::kPermanent : HttpFailure::kTemporary;
    reply.message = handle.error[0] != '\0' ? handle.error : curl_easy_strerror(code);
  }
}

bool initialise_curl() {
  static const bool ready = curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK;
  return ready;
}

}  // namespace

std::string_view trimmed(std::string_view text) {
  const size_t begin = text.find_first_not_of(" \t\r\n");
  if (begin == std::string_view::npos) { return {}; }
  return text.substr(begin, text.find_last_not_of(" \t\r\n") - begin + 1);
}

std::string_view HttpReply::header(std::string_view name) const {
  const auto found =
      std::find_if(headers.begin(), headers.end(), [&](const auto& entry) { return entry.first == name; });
  return found == headers.end() ? std::string_view() : std::string_view(found->second);
}

HttpReply http_send(const HttpRequest& request, const HttpHooks& hooks) {
  if (!initialise_curl()) { return {HttpFailure::kPermanent, "libcurl does not start", 0, {}, {}, {}}; }
  Handle handle;
  if (handle.curl == nullptr) { return {HttpFailure::kPermanent, "libcurl has no memory", 0, {}, {}, {}}; }
  Exchange exchange{request, hooks, handle.curl, {}, false, false};
  set_options(handle, exchange);
  conclude(curl_easy_perform(handle.curl), handle, exchange);
  return std::move(exchange.reply);
}

bool worth_retrying(const HttpReply& reply) {
  if (reply.failure != HttpFailure::kNone) { return reply.failure == HttpFailure::kTemporary; }
  const int status = reply.status;
  if (status == 408 || status == 425 || status == 429) { return true; }
  return status >= 500 && status != 501 && status != 505;
}

std::optional<double> retry_after_seconds(const HttpReply& reply) {
  const std::string text(reply.header("retry-after"));
  if (text.empty()) { return std::nullopt; }
  double seconds = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seconds);
  if (error == std::errc() && end == text.data() + text.size()) {
    if (!(seconds >= 0)) { return std::nullopt; }
    return seconds;
  }
  const time_t date = curl_getdate(text.c_str(), nullptr);
  if (date < 0) { return std::nullopt; }
  return std::max(0.0, std::difftime(date, std::time(nullptr)));
}

Backoff::Backoff(uint64_t seed, double first, double longest) : seed_(seed), pause_(first), longest_(longest) {}

double Backoff::next(std::optional<double> retry_after) {
  Rng rng(stream_key(seed_, attempt_++));
  const double jittered = pause_ * (0.5 + 0.5 * rng.uniform());
  pause_ = std::min(longest_, 2 * pause_);
  return retry_after ? *retry_after + jittered : jittered;
}

HttpReply http_send_retrying(const HttpRequest& request, const RetryPolicy& policy,
                             const std::function<bool()>& should_stop) {
  Backoff backoff(policy.seed, policy.first_pause);
  for (int attempt = 1;; ++attempt) {
    HttpReply reply = http_send(request, {should_stop, {}});
    const std::optional<double> asked = retry_after_seconds(reply);
    if (attempt >= policy.attempts || !worth_retrying(reply) || asked.value_or(0) > policy.longest_wait) {
      return reply;
    }
    if (!pause_for(backoff.next(asked), should_stop)) {
      reply.failure = HttpFailure::kAborted;
      reply.message = "stopped";
      return reply;
    }
  }
}

bool pause_for(double seconds, const std::function<bool()>& should_stop) {
  using Clock = std::chrono::steady_clock;
  const auto until = Clock::now() + std::chrono::duration_cast<Clock::duration>(
                                        std::chrono::duration<double>(std::clamp(seconds, 0.0, 1e6)));
  while (true) {
    if (should_stop && should_stop()) { return false; }
    const std::chrono::duration<double> left = until - Clock::now();
    if (left.count() <= 0) { return true; }
    std::this_thread::sleep_for(std::min(left, std::chrono::duration<double>(kPollSeconds)));
  }
}

std::string describe(const HttpRequest& request, const HttpReply& reply) {
  std::string text = request.method + " " + request.url.substr(0, request.url.find('?'));
  if (reply.failure != HttpFailure::kNone) {
    text += ": " + reply.message;
  } else {
    text += " answered " + std::to_string(reply.status);
    const std::string_view body = trimmed(reply.body);
    if (!body.empty()) {
      text += ": " + std::string(body.substr(0, kShownBody)) + (body.size() > kShownBody ? "..." : "");
    }
  }
  for (char& c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte >= 0x7f) { c = byte < 0x20 ? ' ' : '?'; }
  }
  return text;
}

}  // namespace vortex::net
