#include "serve/server.h"

#include <algorithm>
#include <atomic>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/write.hpp>
#include <chrono>
#include <cstdio>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <thread>
#include <type_traits>
#include <utility>

#include "base/clock.h"
#include "base/secret.h"
#include "httpd/guard.h"
#include "httpd/listener.h"
#include "serve/exchange.h"
#include "serve/metrics.h"

namespace vortex::serve {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using boost::system::error_code;
using nlohmann::json;
using Clock = std::chrono::steady_clock;

constexpr auto kIdle = std::chrono::seconds(60);        // for a request to arrive whole, and between two of them
constexpr auto kHealthTime = std::chrono::seconds(10);  // that the engine's thread has to answer
constexpr size_t kMostBody = size_t{8} << 20;
constexpr uint32_t kMostHeader = 64U << 10;
constexpr int kMostConnections = 1024;
constexpr int kRetrySeconds = 1;
constexpr size_t kMostRequestId = 128;
constexpr const char* kJson = "application/json";

Refusal refusal(int status, std::string message, std::string type, std::string code = "") {
  return {status, std::move(message), std::move(type), "", std::move(code), 0};
}

// "chatcmpl-" and 24 digits.
std::string fresh_id(Endpoint endpoint) {
  return (endpoint == Endpoint::kChat ? "chatcmpl-" : "cmpl-") + random_hex(12);
}

std::string http_chunk(const std::string& bytes) {
  char size[20];
  std::snprintf(size, sizeof size, "%zx\r\n", bytes.size());
  return size + bytes + "\r\n";
}

std::string event_line(const std::string& data) { return "data: " + data + "\n\n"; }

bool is_plain(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c > 0x20 && c < 0x7f; });
}

}  // namespace

struct Server::State {
  State(ServerOptions given, Served what, std::vector<Lane> lanes, int most)
      : options(std::move(given)), served(std::move(what)), metrics(names()), dispatcher(std::move(lanes), most) {}

  // One request on its way: what was asked, the answer so far, and where its news arrive.
  struct Exchange {
    Exchange(const Ask& asked, Answer empty, size_t of_lane)
        : ask(asked), answer(std::move(empty)), lane(of_lane), times(answer.choices()) {}
    Ask ask;
    Answer answer;
    size_t lane;
    int64_t first_id = 0;
    std::vector<Times> times;  // [choice]
    std::shared_ptr<Channel> channel;
    bool begun = false;    // the head of a stream was sent
    bool chunked = false;  // with HTTP's chunks around its bytes
    std::optional<Refusal> failure;
  };

  // What the pool makes of a body.
  struct Read {
    Ask ask;
    Prepared prepared;
  };

  ServerOptions options;
  Served served;
  asio::io_context io{1};
  asio::thread_pool pool{2};
  httpd::Listener listener{io};
  Metrics metrics;
  std::atomic<bool> draining = false;
  std::atomic<int> answering = 0;  // exchanges whose answer is not sent yet
  int connections = 0;             // of the io thread alone
  double started = wall_seconds();
  Dispatcher dispatcher;  // its thread ends before what it posts to
  std::thread io_thread;

  std::vector<std::string> names() const {
    std::vector<std::string> all;
    for (size_t lane = 0; lane < served.lanes.size(); ++lane) { all.push_back(served.model_name(lane)); }
    return all;
  }

  // --- replies

  bool may_read(std::string_view origin) const {
    const auto& allowed = options.allowed_origins;
    const auto is = [&](const std::string& one) { return one == "*" || one == origin; };
    if (std::any_of(allowed.begin(), allowed.end(), is)) { return true; }
    constexpr std::string_view kScheme = "http://";
    if (!origin.starts_with(kScheme) || !httpd::is_loopback(options.address)) { return false; }
    std::string_view host = origin.substr(kScheme.size());
    host = host.substr(0, host.starts_with("[") ? host.find(']') + 1 : host.find(':'));
    return host == "localhost" || host == "127.0.0.1" || host == "[::1]";
  }

  // Headers that every reply has: for browsers, and the request's own id.
  void add_headers(const Question& question, http::fields& fields) const {
    const std::string_view origin = header_of(question, http::field::origin);
    if (!origin.empty() && may_read(origin)) {
      fields.set(http::field::access_control_allow_origin, boost::string_view(origin.data(), origin.size()));
      fields.set(http::field::vary, "Origin");
    }
    const std::string_view id = header_of(question, "x-request-id");
    if (!id.empty() && id.size() <= kMostRequestId && is_plain(id)) {
      fields.set("x-request-id", boost::string_view(id.data(), id.size()));
    }
  }

  Reply reply_with(const Question& question, int status, const std::string& type, std::string body) const {
    Reply reply{static_cast<http::status>(status), question.version()};
    reply.set(http::field::content_type, type);
    reply.set(http::field::cache_control, "no-store");
    reply.set("X-Content-Type-Options", "nosniff");
    add_headers(question, reply);
    reply.keep_alive(question.keep_alive() && !draining);
    const size_t size = body.size();
    if (question.method() != http::verb::head) { reply.body() = std::move(body); }
    if (status != 204) { reply.content_length(size); }  // that has no content to speak of
    return reply;
  }

  Reply reply_with(const Question& question, const Refusal& why) {
    metrics.count_refused(why.status);
    Reply reply = reply_with(question, why.status, kJson, refusal_body(why));
    if (why.status == 401) { reply.set(http::field::www_authenticate, "Bearer"); }
    if (why.retry_after > 0) { reply.set(http::field::retry_after, std::to_string(why.retry_after)); }
    return reply;
  }

  // --- who may ask what

  std::optional<Refusal> refuse(const Question& question, std::string_view path) const {
    const std::string_view host = header_of(question, http::field::host);
    if (options.api_key.empty() && !httpd::is_our_host(host, options.address, listener.port())) {
      return refusal(
          421,
          "this server answers to localhost:" + std::to_string(listener.port()) +
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

  // Asked by browsers before they let a page of another origin send its request.
  Reply preflight(const Question& question) const {
    Reply reply = reply_with(question, 204, "text/plain", "");
    reply.set(http::field::access_control_allow_methods, "GET, POST, OPTIONS");
    std::string_view wanted = header_of(question, http::field::access_control_request_headers);
    if (wanted.empty()) { wanted = "authorization, content-type"; }
    reply.set(http::field::access_control_allow_headers, boost::string_view(wanted.data(), wanted.size()));
    reply.set(http::field::access_control_max_age, "600");
    return reply;
  }

  // --- what is there

  json model_card(const std::string& name, const std::string& policy) const {
    return {
        {"id", name},          {"object", "model"}, {"created", static_cast<int64_t>(started)}, {"owned_by", "vortex"},
        {"root", served.name}, {"policy", policy},  {"max_model_len", served.max_context}};
  }

  json model_cards() const {
    json cards = json::array({model_card(served.name, served.lanes[0])});
    for (size_t lane = 0; lane < served.lanes.size(); ++lane) {
      cards.push_back(model_card(served.model_name(lane), served.lanes[lane]));
    }
    return cards;
  }

  Reply models(const Question& question, const std::vector<std::string>& path) {
    const json cards = model_cards();
    if (path.size() == 2) { return reply_with(question, 200, kJson, json{{"object", "list"}, {"data", cards}}.dump()); }
    std::string name = path[2];  // names may have slashes in them
    for (size_t i = 3; i < path.size(); ++i) { name += "/" + path[i]; }
    for (const json& card : cards) {
      if (card["id"] == name) { return reply_with(question, 200, kJson, card.dump()); }
    }
    return reply_with(question,
                      refusal(404, "there is no such model here", "invalid_request_error", "model_not_found"));
  }

  // Well is a server whose engine answers.
  asio::awaitable<Reply> health(const Question& question) {
    if (draining) { co_return reply_with(question, 503, kJson, R"({"status":"draining"})"); }
    const auto channel = std::make_shared<Channel>(io);
    dispatcher.ping([this, channel] {
      asio::post(io, [channel] {
        channel->pong = true;
        channel->wake.cancel();
      });
    });
    const auto deadline = Clock::now() + kHealthTime;
    while (!channel->pong && Clock::now() < deadline) { co_await wait_for_news(*channel, deadline); }
    const bool well = channel->pong;
    co_return reply_with(question, well ? 200 : 503, kJson, well ? R"({"status":"ok"})" : R"({"status":"stuck"})");
  }

  // --- answers

  // Runs `work` on the pool and goes on on the io thread with what it gave.
  template <typename Made>
  asio::awaitable<Made> on_pool(std::function<Made()> work) {
    auto task = [](std::function<Made()> todo) -> asio::awaitable<std::optional<Made>> { co_return todo(); };
    std::optional<Made> made = co_await asio::co_spawn(pool, task(std::move(work)), asio::use_awaitable);
    co_return std::move(*made);
  }

  std::variant<Read, Refusal> read(Endpoint endpoint, const std::string& body) const {
    try {
      std::variant<Ask, Refusal> asked = parse_ask(endpoint, body);
      if (auto* refused = std::get_if<Refusal>(&asked)) { return std::move(*refused); }
      auto& ask = std::get<Ask>(asked);
      const uint64_t seed = std::hash<std::string>()(random_hex(16));
      std::variant<Prepared, Refusal> prepared = prepare(ask, served, seed);
      if (auto* refused = std::get_if<Refusal>(&prepared)) { return std::move(*refused); }
      return Read{std::move(ask), std::move(std::get<Prepared>(prepared))};
    } catch (const std::exception& error) {
      return refusal(500, std::string("unexpected: ") + error.what(), "server_error");
    }
  }

  // Lets the engine's thread tell the channel what becomes of each choice.
  void connect(std::vector<Work>& work, const std::shared_ptr<Channel>& channel) {
    for (size_t choice = 0; choice < work.size(); ++choice) {
      const auto tell = [this, channel, choice](auto&& what) {
        asio::post(io,
                   [channel, event = Event{choice, monotonic_seconds(), std::forward<decltype(what)>(what)}]() mutable {
                     channel->events.push_back(std::move(event));
                     channel->wake.cancel();
                   });
      };
      engine::LiveRequest& request = work[choice].request;
      request.on_start = [tell](const engine::LiveStart& start) { tell(start); };
      request.on_token = [tell](engine::LiveToken token) { tell(std::move(token)); };
      request.on_prompt = [tell](std::vector<engine::PromptProb> probs) { tell(std::move(probs)); };
      work[choice].on_error = [tell](const Error& error) { tell(error); };
    }
  }

  // What an event makes a stream send.
  std::string take(Exchange& exchange, Event event) {
    Answer& answer = exchange.answer;
    if (answer.is_done(event.choice)) { return {}; }
    Times& times = exchange.times[event.choice];
    if (const auto* start = std::get_if<engine::LiveStart>(&event.what)) {
      times.started = event.time;
      answer.take_start(event.choice, *start);
      metrics.count_prompt(exchange.lane, start->prompt_tokens, start->cached_tokens);
      return {};
    }
    if (auto* probs = std::get_if<std::vector<engine::PromptProb>>(&event.what)) {
      answer.take_prompt(event.choice, std::move(*probs));
      return {};
    }
    if (const auto* error = std::get_if<Error>(&event.what)) {
      exchange.failure = refusal(500, error->message, "server_error");
      return {};
    }
    auto& token = std::get<engine::LiveToken>(event.what);
    const bool last = token.last;
    metrics.count_token(exchange.lane, times, event.time);
    std::string text;
    for (const std::string& chunk : answer.take(event.choice, std::move(token))) { text += event_line(chunk); }
    if (answer.is_done(event.choice)) {
      if (!last) { dispatcher.cancel(exchange.first_id + static_cast<int64_t>(event.choice)); }
      count_end(exchange, event.choice, answer.finish_of(event.choice), event.time);
    }
    return text;
  }

  void count_end(Exchange& exchange, size_t choice, const std::string& reason, double now) {
    metrics.count_end(exchange.lane, reason, exchange.times[choice],
                      static_cast<int64_t>(exchange.answer.prompt_of(choice).size()), exchange.answer.produced(choice),
                      now);
  }

  // The head of a stream and what follows, in one piece.
  std::string framed(Exchange& exchange, const Question& question, const std::string& text) {
    std::string head;
    if (!exchange.begun) {
      exchange.begun = true;
      exchange.chunked = question.version() >= 11;
      http::fields fields;
      add_headers(question, fields);
      head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nCache-Control: no-store\r\n";
      head += exchange.chunked ? "Transfer-Encoding: chunked\r\n" : "Connection: close\r\n";
      if (exchange.chunked && !question.keep_alive()) { head += "Connection: close\r\n"; }
      for (const auto& one : fields) {
        head += std::string(one.name_string()) + ": " + std::string(one.value()) + "\r\n";
      }
      head += "\r\n";
    }
    return head + (exchange.chunked ? http_chunk(text) : text);
  }

  // Takes news until all choices are done; sends what a stream has to tell. False: the client is gone.
  asio::awaitable<bool> follow(Connection& connection, Exchange& exchange) {
    Channel& channel = *exchange.channel;
    const bool limited = options.request_seconds > 0;
    const auto limit = std::chrono::duration_cast<Clock::duration>(
        std::chrono::duration<double>(limited ? options.request_seconds : 0));
    const auto deadline = limited ? Clock::now() + limit : Clock::time_point::max();
    while (!exchange.answer.is_done() && !exchange.failure) {
      if (channel.gone) { co_return false; }
      if (Clock::now() >= deadline) {
        exchange.failure = refusal(504, "the request took longer than this server allows", "timeout_error");
        break;
      }
      if (channel.events.empty()) {
        co_await wait_for_news(channel, deadline);
        continue;
      }
      std::string text;
      while (!channel.events.empty() && !exchange.failure) {
        Event event = std::move(channel.events.front());
        channel.events.pop_front();
        text += take(exchange, std::move(event));
      }
      if (text.empty()) { continue; }
      const std::string bytes = framed(exchange, connection.question, text);
      const bool sent = co_await send(connection, bytes);
      if (!sent) { co_return false; }
    }
    co_return true;
  }

  // The end of an answer: of a stream its usage and [DONE], or what went wrong, which leaves the stream open-ended.
  asio::awaitable<bool> finish(Connection& connection, Exchange& exchange) {
    const Question& question = connection.question;
    if (exchange.failure && !exchange.begun) {
      Reply reply = reply_with(question, *exchange.failure);
      const bool sent = co_await send(connection, reply);
      co_return sent&& reply.keep_alive();
    }
    if (exchange.failure) {
      metrics.count_refused(exchange.failure->status);
      const std::string bytes = framed(exchange, question, event_line(refusal_body(*exchange.failure)));
      co_await send(connection, bytes);
      co_return false;
    }
    if (!exchange.ask.stream) {
      Reply reply = reply_with(question, 200, kJson, exchange.answer.whole());
      const bool sent = co_await send(connection, reply);
      co_return sent&& reply.keep_alive();
    }
    const std::string usage = exchange.answer.usage_chunk();
    std::string bytes = framed(exchange, question, (usage.empty() ? "" : event_line(usage)) + event_line("[DONE]"));
    if (exchange.chunked) { bytes += "0\r\n\r\n"; }
    const bool sent = co_await send(connection, bytes);
    co_return sent&& exchange.chunked&& question.keep_alive();
  }

  // Ends what still goes on of an exchange.
  void give_up(Exchange& exchange, const char* reason) {
    for (size_t choice = 0; choice < exchange.answer.choices(); ++choice) {
      if (exchange.answer.is_done(choice)) { continue; }
      dispatcher.cancel(exchange.first_id + static_cast<int64_t>(choice));
      count_end(exchange, choice, reason, monotonic_seconds());
    }
  }

  asio::awaitable<bool> run(Connection& connection, Exchange& exchange) {
    begin_watch(io, connection, exchange.channel);
    const bool there = co_await follow(connection, exchange);
    give_up(exchange, exchange.failure ? "error" : "abort");
    bool open = false;
    if (there) { open = co_await finish(connection, exchange); }
    co_await end_watch(connection, *exchange.channel);
    co_return open && !exchange.channel->gone;
  }

  // Answers a request for tokens. False: the connection is over.
  asio::awaitable<bool> generate(Connection& connection, Endpoint endpoint) {
    const Question& question = connection.question;
    const double arrived = monotonic_seconds();
    const std::function<std::variant<Read, Refusal>()> reading = [this, endpoint, &question] {
      return read(endpoint, question.body());
    };
    std::variant<Read, Refusal> made = co_await on_pool<std::variant<Read, Refusal>>(reading);
    std::optional<Refusal> refused;
    if (auto* why = std::get_if<Refusal>(&made)) { refused = std::move(*why); }
    std::optional<Exchange> exchange;
    if (!refused) {
      auto& [ask, prepared] = std::get<Read>(made);
      const std::string model = ask.model.empty() ? served.name : ask.model;
      exchange.emplace(ask,
                       Answer(ask, std::move(prepared.prompts), *served.tokenizer, fresh_id(endpoint),
                              static_cast<int64_t>(wall_seconds()), model),
                       prepared.lane);
      for (Times& times : exchange->times) { times.arrived = arrived; }
      exchange->channel = std::make_shared<Channel>(io);
      connect(prepared.work, exchange->channel);
      const std::optional<int64_t> first = dispatcher.submit(prepared.lane, std::move(prepared.work));
      if (first) {
        exchange->first_id = *first;
      } else {
        refused = refusal(429, "too many requests wait already; try again", "rate_limit_error", "queue_full");
        refused->retry_after = kRetrySeconds;
      }
    }
    if (!refused) {
      ++answering;
      const bool open = co_await run(connection, *exchange);
      --answering;
      co_return open;
    }
    Reply reply = reply_with(question, *refused);
    const bool sent = co_await send(connection, reply);
    co_return sent&& reply.keep_alive();
  }

  // --- connections

  // The endpoint that a request for tokens names, if it may be answered; else why not.
  std::variant<Endpoint, Refusal> endpoint_of(const Question& question, const std::string& path) const {
    const bool chat = path == "/v1/chat/completions";
    if (!chat && path != "/v1/completions") {
      return refusal(404, "there is nothing at " + path, "invalid_request_error");
    }
    if (question.method() != http::verb::post) { return refusal(405, "this takes POST", "invalid_request_error"); }
    if (!header_of(question, http::field::content_type).starts_with(kJson)) {
      return refusal(415, "send JSON, with the header \"Content-Type: application/json\"", "invalid_request_error");
    }
    if (draining) {
      Refusal why = refusal(503, "this server is about to end", "server_error", "draining");
      why.retry_after = kRetrySeconds;
      return why;
    }
    return chat ? Endpoint::kChat : Endpoint::kCompletions;
  }

  // Replies that need no engine; nothing where a request asks for tokens.
  asio::awaitable<std::optional<Reply>> look_up(const Question& question, const httpd::Target& target) {
    if (question.method() == http::verb::options) { co_return preflight(question); }
    if (const auto why = refuse(question, target.path)) { co_return reply_with(question, *why); }
    const bool reads = question.method() == http::verb::get || question.method() == http::verb::head;
    if (reads && target.path == "/health") {
      Reply reply = co_await health(question);
      co_return std::move(reply);
    }
    if (reads && target.path == "/metrics") {
      co_return reply_with(question, 200, "text/plain; version=0.0.4; charset=utf-8", metrics.text(dispatcher.use()));
    }
    const std::vector<std::string>& path = target.segments;
    if (reads && path.size() >= 2 && path[0] == "v1" && path[1] == "models") { co_return models(question, path); }
    const std::variant<Endpoint, Refusal> endpoint = endpoint_of(question, target.path);
    if (const auto* why = std::get_if<Refusal>(&endpoint)) { co_return reply_with(question, *why); }
    co_return std::nullopt;
  }

  // Answers the connection's request. False: the connection is over.
  asio::awaitable<bool> answer(Connection& connection) {
    const Question& question = connection.question;
    httpd::Target target;
    const auto text = question.target();
    std::optional<Reply> reply;
    if (!httpd::parse_target({text.data(), text.size()}, target)) {
      reply = reply_with(question, refusal(400, "this address cannot be read", "invalid_request_error"));
    } else {
      reply = co_await look_up(question, target);
    }
    if (!reply) {
      const bool chat = target.path == "/v1/chat/completions";
      const bool open = co_await generate(connection, chat ? Endpoint::kChat : Endpoint::kCompletions);
      co_return open;
    }
    const bool sent = co_await send(connection, *reply);
    co_return sent && reply->keep_alive();
  }

  // Reads the next request, asking for its body where the client waits to be asked. Gives what to say of one that
  // cannot be read; nothing and no question where the connection is over.
  asio::awaitable<std::optional<Refusal>> receive(Connection& connection, bool& received) {
    received = false;
    error_code failed;
    http::request_parser<http::string_body> parser;
    parser.body_limit(kMostBody);
    parser.header_limit(kMostHeader);
    connection.stream.expires_after(kIdle);
    co_await http::async_read_header(connection.stream, connection.buffer, parser,
                                     asio::redirect_error(asio::use_awaitable, failed));
    if (!failed && parser.get()[http::field::expect] == "100-continue") {
      const std::string go_on = "HTTP/1.1 100 Continue\r\n\r\n";
      co_await send(connection, go_on);
      connection.stream.expires_after(kIdle);
    }
    if (!failed) {
      co_await http::async_read(connection.stream, connection.buffer, parser,
                                asio::redirect_error(asio::use_awaitable, failed));
    }
    connection.stream.expires_never();
    if (!failed) {
      connection.question = parser.release();
      received = true;
      co_return std::nullopt;
    }
    if (failed == http::error::body_limit) {
      co_return refusal(413, "a request may have at most " + std::to_string(kMostBody) + " bytes",
                        "invalid_request_error");
    }
    const bool ours = failed.category() == http::make_error_code(http::error::bad_target).category();
    if (ours && failed != http::error::end_of_stream && failed != http::error::partial_message) {
      co_return refusal(400, "this is not HTTP that can be read: " + failed.message(), "invalid_request_error");
    }
    co_return std::nullopt;
  }

  asio::awaitable<void> serve(asio::ip::tcp::socket socket) {
    Connection connection{boost::beast::tcp_stream(std::move(socket)), {}, {}};
    ++connections;
    for (bool open = connections <= kMostConnections; open;) {
      bool received = false;
      const std::optional<Refusal> unreadable = co_await receive(connection, received);
      if (unreadable) {
        connection.question = Question(http::verb::get, "/", 11);
        connection.question.keep_alive(false);
        Reply reply = reply_with(connection.question, *unreadable);
        co_await send(connection, reply);
      }
      open = false;
      if (received) { open = co_await answer(connection); }
    }
    --connections;
    error_code ignored;
    connection.stream.socket().shutdown(asio::ip::tcp::socket::shutdown_send, ignored);
  }

  void run() {
    listener.run([this](asio::ip::tcp::socket socket) { return serve(std::move(socket)); });
    io_thread = std::thread([this] { io.run(); });
  }

  ~State() {
    io.stop();
    if (io_thread.joinable()) { io_thread.join(); }
    pool.join();
  }
};

Server::Server(std::unique_ptr<State> state) : state_(std::move(state)) {}
Server::~Server() = default;

Result<std::unique_ptr<Server>> Server::start(ServerOptions options, Served served, std::vector<Lane> lanes, int most) {
  if (options.api_key.empty() && !httpd::is_loopback(options.address)) {
    return candidate_error(
        "a server at " + options.address + " can be reached from other machines: it needs an API key",
        "set VORTEX_API_KEY, or listen at 127.0.0.1");
  }
  auto state = std::make_unique<State>(std::move(options), std::move(served), std::move(lanes), most);
  VORTEX_TRY(state->listener.open(state->options.address, state->options.port));
  state->run();
  return std::unique_ptr<Server>(new Server(std::move(state)));
}

uint16_t Server::port() const { return state_->listener.port(); }

void Server::drain() {
  state_->draining = true;
  asio::post(state_->io, [state = state_.get()] { state->listener.close(); });
}

int Server::outstanding() const { return state_->dispatcher.outstanding() + state_->answering; }

}  // namespace vortex::serve
