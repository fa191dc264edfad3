#include "serve/replies.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "serve/access.h"
#include "serve/answer.h"

namespace vortex::serve {

namespace http = boost::beast::http;

namespace {

constexpr size_t kMostRequestId = 128;

bool is_plain(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c > 0x20 && c < 0x7f; });
}

// Headers that every reply has.
void add_headers(const ServerOptions& options, const Question& question, http::fields& fields) {
  const std::string_view origin = header_of(question, http::field::origin);
  if (!origin.empty() && may_read(options, origin)) {
    fields.set(http::field::access_control_allow_origin, boost::string_view(origin.data(), origin.size()));
    fields.set(http::field::vary, "Origin");
  }
  const std::string_view id = header_of(question, "x-request-id");
  if (!id.empty() && id.size() <= kMostRequestId && is_plain(id)) {
    fields.set("x-request-id", boost::string_view(id.data(), id.size()));
  }
}

}  // namespace

Reply Replies::to(const Question& question, int status, const std::string& type, std::string body) const {
  Reply reply{static_cast<http::status>(status), question.version()};
  reply.set(http::field::content_type, type);
  reply.set(http::field::cache_control, "no-store");
  reply.set("X-Content-Type-Options", "nosniff");
  add_headers(options, question, reply);
  reply.keep_alive(question.keep_alive() && !draining);
  const size_t size = body.size();
  if (question.method() != http::verb::head) { reply.body() = std::move(body); }
  if (status != 204) { reply.content_length(size); }  // that has no content to speak of
  return reply;
}

Reply Replies::refuse(const Question& question, const Refusal& why) const {
  metrics.count_refused(why.status);
  Reply reply = to(question, why.status, kJson, refusal_body(why));
  if (why.status == 401) { reply.set(http::field::www_authenticate, "Bearer"); }
  if (why.retry_after > 0) { reply.set(http::field::retry_after, std::to_string(why.retry_after)); }
  return reply;
}

Reply Replies::preflight(const Question& question) const {
  Reply reply = to(question, 204, "text/plain", "");
  reply.set(http::field::access_control_allow_methods, "GET, POST, OPTIONS");
  std::string_view wanted = header_of(question, http::field::access_control_request_headers);
  if (wanted.empty()) { wanted = "authorization, content-type"; }
  reply.set(http::field::access_control_allow_headers, boost::string_view(wanted.data(), wanted.size()));
  reply.set(http::field::access_control_max_age, "600");
  return reply;
}

std::string Replies::stream_head(const Question& question, bool chunked) const {
  http::fields fields;
  add_headers(options, question, fields);
  std::string head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nCache-Control: no-store\r\n";
  head += chunked ? "Transfer-Encoding: chunked\r\n" : "Connection: close\r\n";
  if (chunked && !question.keep_alive()) { head += "Connection: close\r\n"; }
  for (const auto& one : fields) { head += std::string(one.name_string()) + ": " + std::string(one.value()) + "\r\n"; }
  return head + "\r\n";
}

}  // namespace vortex::serve
