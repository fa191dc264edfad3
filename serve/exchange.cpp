#include "serve/exchange.h"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <cstdio>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "base/clock.h"
#include "base/secret.h"
#include "serve/answer.h"

namespace vortex::serve {

namespace asio = boost::asio;

namespace {

using Clock = std::chrono::steady_clock;

// What the pool makes of a body.
struct Read {
  Ask ask;
  Prepared prepared;
};
using Reading = std::variant<Read, Refusal>;

Reading read_body(Endpoint endpoint, const std::string& body, const Served& served) {
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

// For a thread of the pool. What it refers to outlives it.
asio::awaitable<Reading> read_there(Endpoint endpoint, const std::string& body, const Served& served) {
  co_return read_body(endpoint, body, served);
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

// The answer so far, and where its news arrive. Stays where it is while run() goes on.
class Exchange {
 public:
  // `arrived`: on the monotonic clock.
  Exchange(const ExchangeParts& parts, Connection& connection, const Ask& ask, std::vector<TokenPrompt> prompts,
           size_t lane, double arrived)
      : parts_(parts),
        connection_(connection),
        stream_(ask.stream),
        answer_(ask, std::move(prompts), *parts.served.tokenizer, fresh_id(ask.endpoint),
                static_cast<int64_t>(wall_seconds()), ask.model.empty() ? parts.served.name : ask.model),
        lane_(lane),
        times_(answer_.choices()),
        channel_(std::make_shared<Channel>(parts.io)) {
    for (Times& times : times_) { times.arrived = arrived; }
  }

  std::optional<Refusal> submit(std::vector<Work> work);
  // Sends the answer while it is made. False: the connection is over.
  asio::awaitable<bool> run();

 private:
  void connect(std::vector<Work>& work) const;
  std::string take(Event event);
  std::string take_token(size_t choice, double time, engine::LiveToken token);
  std::string framed(const std::string& text);
  asio::awaitable<bool> follow();
  asio::awaitable<bool> finish();
  void give_up(const char* reason);
  void count_end(size_t choice, const std::string& reason, double now);

  const ExchangeParts& parts_;
  Connection& connection_;
  bool stream_;
  Answer answer_;
  size_t lane_;
  int64_t first_id_ = 0;      // the dispatcher's of choice 0; the others' follow
  std::vector<Times> times_;  // [choice]
  std::shared_ptr<Channel> channel_;
  bool begun_ = false;    // the head of a stream was sent
  bool chunked_ = false;  // with HTTP's chunks around its bytes
  std::optional<Refusal> failure_;
};

// Hands the choices to the dispatcher. Gives why not, where too many wait.
std::optional<Refusal> Exchange::submit(std::vector<Work> work) {
  connect(work);
  const std::optional<int64_t> first = parts_.dispatcher.submit(lane_, std::move(work));
  if (first) {
    first_id_ = *first;
    return std::nullopt;
  }
  Refusal why = refusal(429, "too many requests wait already; try again", "rate_limit_error", "queue_full");
  why.retry_after = kRetrySeconds;
  return why;
}

// Lets the engines' thread tell the channel what becomes of each choice. The channel is the callbacks' as well: what
// comes too late for the exchange still finds it.
void Exchange::connect(std::vector<Work>& work) const {
  for (size_t choice = 0; choice < work.size(); ++choice) {
    const auto tell = [&io = parts_.io, channel = channel_, choice](auto&& what) {
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

asio::awaitable<bool> Exchange::run() {
  begin_watch(parts_.io, connection_, channel_);
  const bool there = co_await follow();
  give_up(failure_ ? "error" : "abort");
  bool open = false;
  if (there) { open = co_await finish(); }
  co_await end_watch(connection_, *channel_);
  co_return open && !channel_->gone;
}

// Takes news until all choices are done; sends what a stream has to tell. False: the client is gone.
asio::awaitable<bool> Exchange::follow() {
  const double seconds = parts_.options.request_seconds;
  const auto limit = std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
  const auto deadline = seconds > 0 ? Clock::now() + limit : Clock::time_point::max();
  while (!answer_.is_done() && !failure_) {
    if (channel_->gone) { co_return false; }
    if (Clock::now() >= deadline) {
      failure_ = refusal(504, "the request took longer than this server allows", "timeout_error");
      break;
    }
    if (channel_->events.empty()) {
      co_await wait_for_news(*channel_, deadline);
      continue;
    }
    std::string text;
    while (!channel_->events.empty() && !failure_) {
      Event event = std::move(channel_->events.front());
      channel_->events.pop_front();
      text += take(std::move(event));
    }
    if (text.empty()) { continue; }
    const std::string bytes = framed(text);
    const bool sent = co_await send(connection_, bytes);
    if (!sent) { co_return false; }
  }
  co_return true;
}

// What an event makes a stream send.
std::string Exchange::take(Event event) {
  if (answer_.is_done(event.choice)) { return {}; }
  if (const auto* start = std::get_if<engine::LiveStart>(&event.what)) {
    times_[event.choice].started = event.time;
    answer_.take_start(event.choice, *start);
    parts_.metrics.count_prompt(lane_, start->prompt_tokens, start->cached_tokens);
  } else if (auto* probs = std::get_if<std::vector<engine::PromptProb>>(&event.what)) {
    answer_.take_prompt(event.choice, std::move(*probs));
  } else if (const auto* error = std::get_if<Error>(&event.what)) {
    failure_ = refusal(500, error->message, "server_error");
  } else {
    return take_token(event.choice, event.time, std::get<engine::LiveToken>(std::move(event.what)));
  }
  return {};
}

std::string Exchange::take_token(size_t choice, double time, engine::LiveToken token) {
  const bool last = token.last;
  parts_.metrics.count_token(lane_, times_[choice], time);
  std::string text;
  for (const std::string& chunk : answer_.take(choice, std::move(token))) { text += event_line(chunk); }
  if (answer_.is_done(choice)) {
    if (!last) { parts_.dispatcher.cancel(first_id_ + static_cast<int64_t>(choice)); }
    count_end(choice, answer_.finish_of(choice), time);
  }
  return text;
}

void Exchange::count_end(size_t choice, const std::string& reason, double now) {
  parts_.metrics.count_end(lane_, reason, times_[choice], static_cast<int64_t>(answer_.prompt_of(choice).size()),
                           answer_.produced(choice), now);
}

// What a stream says next, as bytes; the first time with its head, in one piece.
std::string Exchange::framed(const std::string& text) {
  std::string head;
  if (!begun_) {
    begun_ = true;
    chunked_ = connection_.question.version() >= 11;
    head = parts_.replies.stream_head(connection_.question, chunked_);
  }
  return head + (chunked_ ? http_chunk(text) : text);
}

// The end of an answer: of a stream its usage and [DONE], or what went wrong, which leaves the stream open-ended.
asio::awaitable<bool> Exchange::finish() {
  const Question& question = connection_.question;
  if (failure_ && begun_) {
    parts_.metrics.count_refused(failure_->status);
    const std::string bytes = framed(event_line(refusal_body(*failure_)));
    co_await send(connection_, bytes);
    co_return false;
  }
  if (failure_ || !stream_) {
    Reply reply = failure_ ? parts_.replies.refuse(question, *failure_)
                           : parts_.replies.to(question, 200, kJson, answer_.whole());
    const bool open = co_await send_reply(connection_, reply);
    co_return open;
  }
  const std::string usage = answer_.usage_chunk();
  std::string bytes = framed((usage.empty() ? "" : event_line(usage)) + event_line("[DONE]"));
  if (chunked_) { bytes += "0\r\n\r\n"; }
  const bool sent = co_await send(connection_, bytes);
  const bool open = sent && chunked_ && question.keep_alive();
  co_return open;
}

// Ends what still goes on.
void Exchange::give_up(const char* reason) {
  for (size_t choice = 0; choice < answer_.choices(); ++choice) {
    if (answer_.is_done(choice)) { continue; }
    parts_.dispatcher.cancel(first_id_ + static_cast<int64_t>(choice));
    count_end(choice, reason, monotonic_seconds());
  }
}

}  // namespace

asio::awaitable<bool> run_exchange(const ExchangeParts& parts, Connection& connection, Endpoint endpoint) {
  const double arrived = monotonic_seconds();
  const std::string& body = connection.question.body();
  Reading reading = co_await asio::co_spawn(parts.pool, read_there(endpoint, body, parts.served), asio::use_awaitable);
  std::optional<Refusal> refused;
  std::optional<Exchange> exchange;
  if (auto* why = std::get_if<Refusal>(&reading)) {
    refused = std::move(*why);
  } else {
    auto& [ask, prepared] = std::get<Read>(reading);
    exchange.emplace(parts, connection, ask, std::move(prepared.prompts), prepared.lane, arrived);
    refused = exchange->submit(std::move(prepared.work));
  }
  if (refused) {
    Reply reply = parts.replies.refuse(connection.question, *refused);
    const bool open = co_await send_reply(connection, reply);
    co_return open;
  }
  ++parts.answering;
  const bool open = co_await exchange->run();
  --parts.answering;
  co_return open;
}

}  // namespace vortex::serve
