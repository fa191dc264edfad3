#include "serve/server.h"

#include <atomic>
#include <boost/asio/post.hpp>
#include <boost/asio/thread_pool.hpp>
#include <string>
#include <thread>
#include <utility>
#include <variant>

#include "base/clock.h"
#include "httpd/guard.h"
#include "httpd/listener.h"
#include "serve/about.h"
#include "serve/access.h"
#include "serve/connection.h"
#include "serve/exchange.h"
#include "serve/metrics.h"
#include "serve/replies.h"

namespace vortex::serve {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using boost::system::error_code;

namespace {

constexpr int kMostConnections = 1024;

std::vector<std::string> names_of(const Served& served) {
  std::vector<std::string> all;
  for (size_t lane = 0; lane < served.lanes.size(); ++lane) { all.push_back(served.model_name(lane)); }
  return all;
}

// The endpoint that a request for tokens names, if it may be answered; else why not.
std::variant<Endpoint, Refusal> endpoint_of(const Question& question, const std::string& path, bool draining) {
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

}  // namespace

// What the server consists of; its connections, and who answers what they ask.
struct Server::State {
  State(ServerOptions given, Served what, std::vector<Lane> lanes, int most)
      : options(std::move(given)),
        served(std::move(what)),
        metrics(names_of(served)),
        dispatcher(std::move(lanes), most) {}

  ServerOptions options;
  Served served;
  asio::io_context io{1};
  asio::thread_pool pool{2};
  httpd::Listener listener{io};
  Metrics metrics;
  std::atomic<bool> draining = false;
  std::atomic<int> answering = 0;
  int connections = 0;    // of the io thread alone
  Dispatcher dispatcher;  // its thread ends before what it posts to
  const Replies replies{options, draining, metrics};
  const About about{served, metrics, dispatcher, io, draining, replies, wall_seconds()};
  const ExchangeParts parts{options, served, io, pool, dispatcher, metrics, replies, answering};
  std::thread io_thread;

  // What to say at once, or the endpoint that is asked for tokens.
  asio::awaitable<std::variant<Endpoint, Reply>> look_up(const Question& question, const httpd::Target& target) {
    if (question.method() == http::verb::options) { co_return replies.preflight(question); }
    if (const auto why = check_access(options, listener.port(), question, target.path)) {
      co_return replies.refuse(question, *why);
    }
    const bool reads = question.method() == http::verb::get || question.method() == http::verb::head;
    if (reads && target.path == "/health") {
      Reply reply = co_await about.health(question);
      co_return std::move(reply);
    }
    if (reads && target.path == "/metrics") { co_return about.counts(question); }
    const std::vector<std::string>& path = target.segments;
    if (reads && path.size() >= 2 && path[0] == "v1" && path[1] == "models") { co_return about.models(question, path); }
    const std::variant<Endpoint, Refusal> endpoint = endpoint_of(question, target.path, draining);
    if (const auto* why = std::get_if<Refusal>(&endpoint)) { co_return replies.refuse(question, *why); }
    co_return std::get<Endpoint>(endpoint);
  }

  // Answers the connection's request. False: the connection is over.
  asio::awaitable<bool> answer(Connection& connection) {
    const Question& question = connection.question;
    httpd::Target target;
    const auto text = question.target();
    std::variant<Endpoint, Reply> found;
    if (httpd::parse_target({text.data(), text.size()}, target)) {
      found = co_await look_up(question, target);
    } else {
      found = replies.refuse(question, refusal(400, "this address cannot be read", "invalid_request_error"));
    }
    bool open = false;
    if (auto* reply = std::get_if<Reply>(&found)) {
      open = co_await send_reply(connection, *reply);
    } else {
      open = co_await run_exchange(parts, connection, std::get<Endpoint>(found));
    }
    co_return open;
  }

  asio::awaitable<void> serve(asio::ip::tcp::socket socket) {
    Connection connection{boost::beast::tcp_stream(std::move(socket)), {}, {}};
    ++connections;
    for (bool open = connections <= kMostConnections; open;) {
      const Received received = co_await receive(connection);
      if (received.unreadable) {
        connection.question = Question(http::verb::get, "/", 11);
        connection.question.keep_alive(false);
        Reply reply = replies.refuse(connection.question, *received.unreadable);
        co_await send_reply(connection, reply);
      }
      open = false;
      if (received.whole) { open = co_await answer(connection); }
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
