#include "serve/load/run.h"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/connect.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http.hpp>
#include <chrono>
#include <nlohmann/json.hpp>

#include "base/clock.h"
#include "base/json.h"
#include "base/text.h"

namespace vortex::load {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using boost::system::error_code;
using nlohmann::json;
using tcp = asio::ip::tcp;

constexpr size_t kMostOfAnError = 200;

std::chrono::steady_clock::duration seconds(double value) {
  return std::chrono::duration_cast<std::chrono::steady_clock::duration>(std::chrono::duration<double>(value));
}

http::request<http::string_body> question(const Target& target, const LoadRequest& request, const RunOptions& options) {
  http::request<http::string_body> result{http::verb::post, target.prefix + "/completions", 11};
  result.set(http::field::host, target.host + ":" + target.port);
  result.set(http::field::content_type, "application/json");
  if (!target.api_key.empty()) { result.set(http::field::authorization, "Bearer " + target.api_key); }
  result.body() = json{{"model", target.model},
                       {"prompt", prompt_of(request, options.lowest_token, options.vocab, options.seed)},
                       {"max_tokens", request.output_tokens},
                       {"ignore_eos", true},
                       {"temperature", 0},
                       {"stream", true},
                       {"stream_options", {{"include_usage", true}}}}
                      .dump();
  result.prepare_payload();
  return result;
}

// One load on its way. Everything happens on the thread that runs `io`.
struct Load {
  const Target& target;
  const RunOptions& options;
  asio::io_context io{1};
  double start = monotonic_seconds();
  tcp::resolver::results_type addresses{};

  double now() const { return monotonic_seconds() - start; }

  // Reads the head and, piece by piece, the body. Gives what went wrong; empty: nothing.
  asio::awaitable<std::string> listen(beast::tcp_stream& stream, Seen& seen) {
    beast::flat_buffer buffer;
    http::response_parser<http::buffer_body> parser;
    parser.body_limit(boost::none);
    error_code failed;
    co_await http::async_read_header(stream, buffer, parser, asio::redirect_error(asio::use_awaitable, failed));
    if (failed) { co_return failed.message(); }
    StreamReader reader;
    std::string error_body;
    const unsigned status = parser.get().result_int();
    char piece[8192];
    while (!parser.is_done()) {
      parser.get().body().data = piece;
      parser.get().body().size = sizeof piece;
      co_await http::async_read_some(stream, buffer, parser, asio::redirect_error(asio::use_awaitable, failed));
      const std::string_view bytes(piece, sizeof piece - parser.get().body().size);
      if (status == 200) {
        reader.take(bytes, now(), seen);
      } else if (error_body.size() < kMostOfAnError) {
        error_body += bytes;
      }
      if (failed && failed != http::error::need_buffer) { co_return failed.message(); }
    }
    if (status != 200) { co_return std::to_string(status) + " " + clipped(error_body, kMostOfAnError); }
    co_return reader.done() ? "" : "the stream ended before its end";
  }

  asio::awaitable<void> send(const LoadRequest& request, Seen& seen) {
    asio::steady_timer timer(io);
    timer.expires_after(seconds(request.at - now()));
    error_code failed;
    co_await timer.async_wait(asio::redirect_error(asio::use_awaitable, failed));
    const http::request<http::string_body> asked = question(target, request, options);
    seen.sent = now();
    beast::tcp_stream stream(io);
    stream.expires_after(seconds(options.patience));
    co_await stream.async_connect(addresses, asio::redirect_error(asio::use_awaitable, failed));
    if (!failed) { co_await http::async_write(stream, asked, asio::redirect_error(asio::use_awaitable, failed)); }
    if (failed) {
      seen.failure = failed.message();
    } else {
      std::string failure = co_await listen(stream, seen);
      if (seen.failure.empty()) { seen.failure = std::move(failure); }
    }
    seen.ended = now();
  }
};

}  // namespace

Result<Target> parse_target(const std::string& url) {
  constexpr std::string_view kScheme = "http://";
  if (!url.starts_with(kScheme)) { return candidate_error(url + " is no address that begins with http://"); }
  const std::string rest = url.substr(kScheme.size());
  const size_t slash = std::min(rest.find('/'), rest.size());
  const std::string authority = rest.substr(0, slash);
  Target target;
  const size_t colon = authority.rfind(':');
  const bool has_port = colon != std::string::npos && authority.find(']', colon) == std::string::npos;
  target.host = authority.substr(0, has_port ? colon : std::string::npos);
  target.port = has_port ? authority.substr(colon + 1) : "80";
  if (target.host.empty() || target.port.empty()) { return candidate_error(url + " names no host"); }
  target.prefix = rest.substr(slash);
  while (target.prefix.ends_with("/")) { target.prefix.pop_back(); }
  if (target.prefix.empty()) { target.prefix = "/v1"; }
  return target;
}

std::vector<Seen> run(const Target& target, const std::vector<LoadRequest>& requests, const RunOptions& options) {
  std::vector<Seen> seen(requests.size());
  Load load{target, options};
  error_code failed;
  tcp::resolver resolver(load.io);
  load.addresses = resolver.resolve(target.host, target.port, failed);
  if (failed) {
    for (Seen& one : seen) { one.failure = failed.message(); }
    return seen;
  }
  load.start = monotonic_seconds();
  for (size_t i = 0; i < requests.size(); ++i) {
    asio::co_spawn(load.io, load.send(requests[i], seen[i]), asio::detached);
  }
  load.io.run();
  return seen;
}

void StreamReader::take(std::string_view bytes, double now, Seen& seen) {
  pending_ += bytes;
  size_t begin = 0;
  for (size_t end = pending_.find('\n'); end != std::string::npos; end = pending_.find('\n', begin)) {
    take_line(std::string_view(pending_).substr(begin, end - begin), now, seen);
    begin = end + 1;
  }
  pending_.erase(0, begin);
}

// As vLLM's bench reads it: comments are passed over, a chunk with choices is text, usage comes in one without.
void StreamReader::take_line(std::string_view line, double now, Seen& seen) {
  constexpr std::string_view kData = "data:";
  if (line.ends_with("\r")) { line.remove_suffix(1); }
  if (!line.starts_with(kData)) { return; }
  line.remove_prefix(kData.size());
  while (line.starts_with(" ")) { line.remove_prefix(1); }
  if (line == "[DONE]") { return void(done_ = true); }
  const json chunk = parse_json(line);
  if (!chunk.is_object()) { return void(seen.failure = "a chunk is no JSON object"); }
  if (chunk.contains("error")) { return void(seen.failure = clipped(chunk["error"].dump(), kMostOfAnError)); }
  const json choices = chunk.value("choices", json::array());
  const bool tells = choices.is_array() && !choices.empty() && choices[0].is_object() &&
                     !choices[0].value("text", json("")).empty() && choices[0].value("text", json("")) != "";
  if (tells) { seen.tokens.push_back(now); }
  const json usage = chunk.value("usage", json());
  if (!usage.is_object()) { return; }
  seen.output_tokens = usage.value("completion_tokens", 0);
  seen.prompt_tokens = usage.value("prompt_tokens", 0);
  const json details = usage.value("prompt_tokens_details", json());
  if (details.is_object()) { seen.cached_tokens = details.value("cached_tokens", 0); }
}

}  // namespace vortex::load
