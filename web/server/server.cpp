#include "web/server/server.h"

#include <atomic>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <chrono>
#include <list>
#include <optional>
#include <thread>
#include <type_traits>
#include <utility>

#include "base/secret.h"
#include "db/lock.h"
#include "db/store.h"
#include "httpd/guard.h"
#include "httpd/listener.h"
#include "web/server/api.h"
#include "web/server/assets.h"

namespace vortex::web {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using tcp = asio::ip::tcp;
using boost::system::error_code;

constexpr auto kIdle = std::chrono::seconds(60);  // of a connection between requests
constexpr auto kRefresh = std::chrono::milliseconds(500);
constexpr auto kNextPart = std::chrono::milliseconds(20);  // of a large run
constexpr auto kKeepAlive = std::chrono::seconds(15);      // a sign of life on a stream that has no news
constexpr size_t kMostStreams = 512;
constexpr size_t kMostBody = 64 * 1024;

constexpr const char* kContentPolicy =
    "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

using Answer = http::response<http::string_body>;
using Question = http::request<http::string_body>;

void protect(http::fields& fields) {
  fields.set("Content-Security-Policy", kContentPolicy);
  fields.set("X-Content-Type-Options", "nosniff");
  fields.set("X-Frame-Options", "DENY");
  fields.set("Referrer-Policy", "no-referrer");
  fields.set("Cross-Origin-Resource-Policy", "same-origin");
  fields.set("Cross-Origin-Opener-Policy", "same-origin");
}

Answer answer_with(const Question& question, int status, std::string_view type, std::string body) {
  Answer answer{static_cast<http::status>(status), question.version()};
  protect(answer);
  answer.set(http::field::content_type, boost::string_view(type.data(), type.size()));
  answer.set(http::field::cache_control, "no-store");
  answer.keep_alive(question.keep_alive());
  answer.body() = question.method() == http::verb::head ? std::string() : std::move(body);
  answer.prepare_payload();
  return answer;
}

Answer refusal(const Question& question, int status, const std::string& why) {
  return answer_with(question, status, "application/json", "{\"error\":\"" + why + "\",\"hint\":\"\"}");
}

std::string_view field(const Question& question, http::field name) {
  const auto value = question[name];
  return {value.data(), value.size()};
}

std::string event(const char* name, const std::string& data) {
  return "event: " + std::string(name) + "\ndata: " + data + "\n\n";
}

}  // namespace

struct Server::State {
  explicit State(ServerOptions given)
      : options(std::move(given)), api({options.workspace, options.actions, options.vortex}) {}

  ServerOptions options;
  Api api;
  bool local = true;
  asio::io_context io{1};
  asio::thread_pool pool{2};
  httpd::Listener listener{io};
  std::list<asio::steady_timer*> waiting;  // streams that wait for news; touched by the io thread alone
  size_t streams = 0;
  std::atomic<bool> stopping = false;
  std::thread io_thread;
  std::thread reader;

  // --- rights

  bool has_token(const Question& question) const {
    return same_secret(
        httpd::token_of(field(question, http::field::authorization), field(question, http::field::cookie)),
        options.token);
  }

  // Nothing where the question may be answered.
  std::optional<Answer> refuse(const Question& question) const {
    if (!httpd::is_our_host(field(question, http::field::host), options.address, listener.port())) {
      return refusal(question, 421, "this is not the host that you asked for");
    }
    const std::string_view origin = field(question, http::field::origin);
    if (!origin.empty() && !httpd::is_our_origin(origin, options.address, listener.port())) {
      return refusal(question, 403, "requests of other pages are not answered");
    }
    const bool writes = question.method() == http::verb::post;
    if (!writes && question.method() != http::verb::get && question.method() != http::verb::head) {
      return refusal(question, 405, "only GET, HEAD and POST are understood");
    }
    if ((writes || !local) && !has_token(question)) {
      return refusal(question, 401, "this needs the token: open the address that vortex dashboard printed");
    }
    if (writes && field(question, http::field::content_type).rfind("application/json", 0) != 0) {
      return refusal(question, 415, "send JSON");
    }
    return std::nullopt;
  }

  // A visit with the token in the address: it becomes a cookie, and leaves the address.
  std::optional<Answer> welcome(const Question& question, const httpd::Target& target) const {
    const auto token = target.query.find("token");
    if (token == target.query.end() || target.path != "/") { return std::nullopt; }
    if (!httpd::is_our_host(field(question, http::field::host), options.address, listener.port())) {
      return std::nullopt;
    }
    if (!same_secret(token->second, options.token)) {
      return refusal(question, 401,
                     "this token is not the right one: open the address that vortex dashboard printed last");
    }
    Answer answer = answer_with(question, 303, "text/plain", "");
    answer.set(http::field::location, "/");
    answer.set(http::field::set_cookie,
               "vortex_token=" + options.token + "; HttpOnly; SameSite=Strict; Path=/; Max-Age=604800");
    return answer;
  }

  // --- answers

  static Answer page(const Question& question, const httpd::Target& target) {
    const Asset& asset = asset_at(target.path);
    Answer answer = answer_with(question, 200, asset.type, std::string(asset.bytes));
    answer.set(http::field::cache_control, "no-cache");
    return answer;
  }

  // Runs `work` on the pool and goes on on the io thread with what it gave.
  template <typename Work>
  asio::awaitable<std::invoke_result_t<Work>> on_pool(Work work) {
    using Given = std::invoke_result_t<Work>;
    auto task = [](Work todo) -> asio::awaitable<std::optional<Given>> { co_return todo(); };
    std::optional<Given> given = co_await asio::co_spawn(pool, task(std::move(work)), asio::use_awaitable);
    co_return std::move(*given);
  }

  asio::awaitable<Answer> ask_api(const Question& question, httpd::Target& target) {
    Request request{std::string(question.method_string()), std::move(target.segments), std::move(target.query),
                    question.body()};
    request.path.erase(request.path.begin());  // "api"
    if (request.method == "HEAD") { request.method = "GET"; }
    Response response = co_await on_pool([this, &request] { return api.handle(request); });
    co_return answer_with(question, response.status, "application/json", std::move(response.body));
  }

  // --- streams

  // Callers hold `text` in a variable: GCC 12 destroys a temporary twice that lives across a co_await in a condition.
  asio::awaitable<bool> send(beast::tcp_stream& stream, const std::string& text) {
    error_code failed;
    stream.expires_after(kIdle);
    co_await asio::async_write(stream, asio::buffer(text), asio::redirect_error(asio::use_awaitable, failed));
    co_return !failed;
  }

  // Waits until somebody says that there may be news, or `kKeepAlive` has gone by.
  asio::awaitable<void> wait_for_news() {
    asio::steady_timer timer(io);
    timer.expires_after(kKeepAlive);
    const auto place = waiting.insert(waiting.end(), &timer);
    error_code cancelled;
    co_await timer.async_wait(asio::redirect_error(asio::use_awaitable, cancelled));
    waiting.erase(place);
  }

  // Everything that changed since the cursor, then what changes, as server-sent events, until either side ends it. A
  // cursor of another life of this server is answered with everything.
  asio::awaitable<void> stream_run(beast::tcp_stream& stream, const std::shared_ptr<LiveRun>& run,
                                   const std::string& cursor) {
    http::fields fields;
    protect(fields);
    std::string head =
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\nConnection: close\r\n";
    for (const auto& one : fields) {
      head += std::string(one.name_string()) + ": " + std::string(one.value()) + "\r\n";
    }
    int64_t known = run->version_of(cursor);
    head += "\r\n" + event("hello", "{\"cursor\":\"" + run->cursor() + "\"}");
    bool open = co_await send(stream, head);
    const std::string still_here = ": still here\n\n";
    while (open && !stopping) {
      const int64_t now = run->version();
      if (now > known) {
        const std::string news = event(known == 0 ? "all" : "delta", run->since(known));
        open = co_await send(stream, news);
        known = now;
        continue;
      }
      co_await wait_for_news();
      if (!stopping && run->version() == known) { open = co_await send(stream, still_here); }
    }
  }

  asio::awaitable<void> open_stream(beast::tcp_stream& stream, const Question& question, const httpd::Target& target) {
    error_code ignored;
    if (streams >= kMostStreams) {
      Answer full = refusal(question, 503, "too many open streams");
      co_await http::async_write(stream, full, asio::redirect_error(asio::use_awaitable, ignored));
      co_return;
    }
    const std::string& name = target.segments[2];
    Result<std::shared_ptr<LiveRun>> run = co_await on_pool([this, &name] { return api.runs().find(name); });
    if (!run.ok()) {
      Answer missing = refusal(question, 404, "there is no such search");
      co_await http::async_write(stream, missing, asio::redirect_error(asio::use_awaitable, ignored));
      co_return;
    }
    const auto cursor = target.query.find("cursor");
    ++streams;
    const std::string known = cursor == target.query.end() ? std::string() : cursor->second;
    co_await stream_run(stream, *run, known);
    --streams;
  }

  // --- connections

  asio::awaitable<void> serve(tcp::socket socket) {
    beast::tcp_stream stream(std::move(socket));
    beast::flat_buffer buffer;
    error_code failed;
    for (bool open = true; open && !stopping;) {
      http::request_parser<http::string_body> parser;
      parser.body_limit(kMostBody);
      stream.expires_after(kIdle);
      co_await http::async_read(stream, buffer, parser, asio::redirect_error(asio::use_awaitable, failed));
      if (failed) { break; }
      const Question question = parser.release();
      httpd::Target target;
      const auto text = question.target();
      const bool valid = httpd::parse_target({text.data(), text.size()}, target);
      std::optional<Answer> answer;
      if (!valid) { answer = refusal(question, 400, "this address cannot be read"); }
      if (!answer) { answer = welcome(question, target); }
      if (!answer) { answer = refuse(question); }
      const bool is_api = valid && !target.segments.empty() && target.segments[0] == "api";
      if (!answer && is_api && target.segments.size() == 4 && target.segments[3] == "stream") {
        co_await open_stream(stream, question, target);
        break;
      }
      if (!answer && is_api) { answer = co_await ask_api(question, target); }
      if (!answer) { answer = page(question, target); }
      open = answer->keep_alive();
      stream.expires_after(kIdle);
      co_await http::async_write(stream, *answer, asio::redirect_error(asio::use_awaitable, failed));
      if (failed) { break; }
    }
    stream.socket().shutdown(tcp::socket::shutdown_send, failed);
  }

  void read_rows() {
    open_newest();
    bool more = true;
    while (!stopping) {
      std::this_thread::sleep_for(more ? kNextPart : kRefresh);
      more = api.runs().refresh();
      asio::post(io, [this] {
        for (asio::steady_timer* timer : waiting) { timer->cancel(); }
      });
    }
  }

  // What its user will ask for first.
  void open_newest() {
    const Result<std::unique_ptr<db::Store>> store = db::Store::open_read_only(options.workspace);
    if (!store.ok()) { return; }
    const Result<std::vector<db::Run>> runs = (*store)->runs();
    if (!runs.ok() || runs->empty()) { return; }
    [[maybe_unused]] const Result<std::shared_ptr<LiveRun>> run = api.runs().find(runs->front().name);
  }

  Status listen() {
    local = httpd::is_loopback(options.address);
    return listener.open(options.address, options.port);
  }

  void run() {
    listener.run([this](tcp::socket socket) { return serve(std::move(socket)); });
    io_thread = std::thread([this] { io.run(); });
    reader = std::thread([this] { read_rows(); });
  }

  ~State() {
    stopping = true;
    io.stop();
    if (io_thread.joinable()) { io_thread.join(); }
    if (reader.joinable()) { reader.join(); }
    pool.join();
  }
};

Server::Server(std::unique_ptr<State> state) : state_(std::move(state)) {}
Server::~Server() = default;

namespace {

// A workspace of an older vortex is brought up to date, unless a search of that vortex runs in it.
Status bring_up_to_date(const ServerOptions& options) {
  std::error_code failed;
  const bool there = std::filesystem::exists(options.workspace / "vortex.db", failed);
  if (!there || !options.actions || db::lock_holder(options.workspace)) { return ok_status(); }
  const Result<std::unique_ptr<db::Store>> store = db::Store::open(options.workspace);
  return store.ok() ? ok_status() : Status(store.error());
}

}  // namespace

Result<std::unique_ptr<Server>> Server::start(ServerOptions options) {
  VORTEX_TRY(bring_up_to_date(options));
  VORTEX_ASSIGN(const std::unique_ptr<db::Store> store, db::Store::open_read_only(options.workspace));
  if (options.token.empty()) { options.token = random_hex(16); }
  auto state = std::make_unique<State>(std::move(options));
  VORTEX_TRY(state->listen());
  state->run();
  return std::unique_ptr<Server>(new Server(std::move(state)));
}

uint16_t Server::port() const { return state_->listener.port(); }

std::string Server::url() const {
  const std::string& address = state_->options.address;
  const bool any = address == "0.0.0.0" || address == "::";
  const std::string host = any ? "127.0.0.1" : address.find(':') == std::string::npos ? address : "[" + address + "]";
  return "http://" + host + ":" + std::to_string(port()) + "/?token=" + state_->options.token;
}

}  // namespace vortex::web
