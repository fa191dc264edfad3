#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace vortex::net {

struct HttpRequest {
  std::string method = "GET";
  std::string url;                   // http or https
  std::vector<std::string> headers;  // "Name: value"; keys go here, never into the URL, so that no message shows them
  std::string body;                  // sent unless empty
  double connect_seconds = 20;
  double idle_seconds = 60;  // given up when no byte comes for so long; 0: never
  double total_seconds = 0;  // given up after so long whatever comes; 0: never
  int max_redirects = 0;     // followed; beyond them a failure. 0: a redirect is an answer like any other
  int64_t max_body_bytes = int64_t{64} << 20;  // of a body that is kept; a longer one is a failure
};

// How an exchange ended when it did not end with a whole answer.
enum class HttpFailure {
  kNone,       // `status` and `body` are all there; the status may still be an error
  kTemporary,  // no connection, dropped, timed out, cut short: may work another time
  kPermanent,  // not a URL, no such host, certificate refused, too many redirects, body too long: will not
  kAborted,    // the caller stopped it
};

struct HttpReply {
  HttpFailure failure = HttpFailure::kNone;
  std::string message;                                       // why it failed, for a person
  int status = 0;                                            // of the last answer of the redirect chain; 0: none came
  std::string body;                                          // empty where a sink took it
  std::string url;                                           // where the answer came from, after redirects
  std::vector<std::pair<std::string, std::string>> headers;  // of the last answer; names in lower case

  bool succeeded() const { return failure == HttpFailure::kNone && status >= 200 && status < 300; }
  // The first header of that (lower-case) name; empty when there is none.
  std::string_view header(std::string_view name) const;
};

struct HttpHooks {
  // Polled several times a second, also while nothing comes. True aborts.
  std::function<bool()> should_stop;
  // Takes the body of a 2xx answer piece by piece instead of HttpReply::body; bodies of other answers are kept there.
  // False aborts. `reply` has status and headers, but no body yet.
  std::function<bool(const HttpReply& reply, std::string_view bytes)> on_body;
};

// One exchange, no retry. Blocks; safe from several threads at once. Authorization goes to the URL's own host alone,
// never along a redirect to another, and https never falls back to http.
HttpReply http_send(const HttpRequest& request, const HttpHooks& hooks = {});

// Without white space around it: keys and tokens that were read from a file end as the file does.
std::string_view trimmed(std::string_view text);

// May the same request succeed later? Temporary failures and the statuses 408, 425, 429 and 5xx (but 501 and 505).
bool worth_retrying(const HttpReply& reply);

// What a reply's Retry-After header asks for, in seconds from now: a number or a date (RFC 9110, 10.2.3).
std::optional<double> retry_after_seconds(const HttpReply& reply);

// Pauses between attempts: they double from `first` up to `longest`, each drawn from its upper half (so that many
// clients do not come back at once), and are never shorter than a Retry-After.
class Backoff {
 public:
  explicit Backoff(uint64_t seed, double first = 0.5, double longest = 30.0);
  double next(std::optional<double> retry_after = std::nullopt);

 private:
  uint64_t seed_;
  uint64_t attempt_ = 0;
  double pause_;
  double longest_;
};

struct RetryPolicy {
  int attempts = 5;           // in all
  double longest_wait = 120;  // a Retry-After beyond it ends the attempts
  double first_pause = 0.5;   // seconds
  uint64_t seed = 0;          // of the jitter
};

// Repeats an exchange while it is worth it. For bodies that are kept: a sink would see pieces twice.
HttpReply http_send_retrying(const HttpRequest& request, const RetryPolicy& policy,
                             const std::function<bool()>& should_stop = {});

// Sleeps, waking to ask `should_stop`; false when it said so.
bool pause_for(double seconds, const std::function<bool()>& should_stop);

// "GET https://host/path: no connection: ..." or "... answered 404: first words of the body". One line, printable.
std::string describe(const HttpRequest& request, const HttpReply& reply);

}  // namespace vortex::net
