#include "agent/llm/client.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <memory>

#include "base/rng.h"
#include "base/text.h"
#include "net/http.h"

namespace vortex::agent {
namespace {

constexpr size_t kMaxReply = size_t{4} << 20;  // bytes of a reply; no policy is near that long
constexpr int kPaidAttempts = 2;
constexpr double kLongestRest = 900;

// How one attempt ended.
struct Attempt {
  std::optional<ChatReply> reply;  // a whole one
  ChatReply partial;               // what had come of one that failed
  bool paid = false;               // the endpoint may have charged for it
  bool again = false;              // may work another time
  std::string why;
  Blame blame = Blame::kEnvironment;
  std::string hint;
  std::optional<double> retry_after;
};

// The key, and its removal from everything that comes back: an endpoint may quote it.
class Key {
 public:
  static Result<Key> of(const ModelSpec& model) {
    Key key;
    if (model.key_env.empty()) { return key; }
    const char* value = std::getenv(model.key_env.c_str());
    if (value == nullptr || *value == '\0') {
      return candidate_error(
          "the environment variable " + model.key_env + ", the key of " + model.name + ", is not set",
          "export it before the search; keys are never stored");
    }
    key.text_ = value;
    return key;
  }
  const std::string& text() const { return text_; }
  void redact(std::string& text) const {
    if (text_.empty()) { return; }
    for (size_t at = text.find(text_); at != std::string::npos; at = text.find(text_, at)) {
      text.replace(at, text_.size(), "[key]");
    }
  }

 private:
  std::string text_;
};

ChatRequest chat_request(const ModelSpec& model, const Ask& ask) {
  ChatRequest request;
  request.model = model.model;
  request.system = ask.system;
  request.prompt = ask.prompt;
  request.max_output_tokens = model.max_output_tokens;
  request.temperature = model.temperature;
  request.stream = model.stream;
  request.output = model.output;
  request.schema = ask.reply_schema;
  request.extra = model.extra;
  return request;
}

bool is_event_stream(const net::HttpReply& reply) {
  return reply.header("content-type").find("text/event-stream") != std::string_view::npos;
}

// Takes a 2xx body as it comes: events are read at once, anything else is kept for the end.
class BodySink {
 public:
  explicit BodySink(const WireFormat& wire) : reader_(wire.make_reader()), wire_(wire) {}

  bool take(const net::HttpReply& reply, std::string_view bytes) {
    size_ += bytes.size();
    too_long_ = size_ > 4 * kMaxReply || reader_->reply().text.size() > kMaxReply;
    if (too_long_) { return false; }
    streamed_ = is_event_stream(reply);
    if (!streamed_) {
      body_.append(bytes);
      return true;
    }
    for (const ServerEvent& event : parser_.feed(bytes)) {
      if (fault_.ok()) { fault_ = reader_->take(event); }
    }
    return fault_.ok() && !parser_.broken();
  }

  bool too_long() const { return too_long_; }
  bool got_any() const { return size_ > 0; }
  const Status& fault() const { return fault_; }

  // The whole reply, once the exchange ended well.
  Result<ChatReply> finish() const {
    if (!fault_.ok()) { return fault_.error(); }
    if (!streamed_) { return wire_.read(body_); }
    if (!reader_->complete()) { return environment_error("the stream ended before the reply did"); }
    return reader_->reply();
  }
  ChatReply partial() const {
    ChatReply reply = reader_->reply();
    if (!streamed_) { reply.text = body_; }
    return reply;
  }

 private:
  std::unique_ptr<StreamReader> reader_;
  const WireFormat& wire_;
  SseParser parser_;
  std::string body_;
  Status fault_ = ok_status();
  size_t size_ = 0;
  bool streamed_ = false;
  bool too_long_ = false;
};

// What an answer that is no success means.
void judge_status(const ModelSpec& model, const net::HttpReply& reply, Attempt& attempt) {
  attempt.why = model.name + " answered " + std::to_string(reply.status) + ": " + error_message_of(reply.body);
  attempt.again = net::worth_retrying(reply);
  attempt.retry_after = net::retry_after_seconds(reply);
  if (attempt.again) { return; }
  if (reply.status == 401 || reply.status == 403) {
    attempt.hint = model.key_env.empty() ? "it wants a key: name its variable as key_env in the models file"
                                         : "is the key in " + model.key_env + " right?";
  } else if (reply.status == 402) {
    attempt.hint = "the account is used up";
  } else {
    attempt.blame = Blame::kCandidate;
    attempt.hint = "look at url, api, model and output of " + model.name + " in the models file";
  }
}

Attempt attempt_once(const ModelSpec& model, const WireFormat& wire, const Key& key, const Ask& ask,
                     const ClientHooks& hooks) {
  net::HttpRequest request;
  request.method = "POST";
  request.url = model.url + std::string(wire.path);
  request.headers = wire.headers(key.text());
  request.body = wire.body(chat_request(model, ask)).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  request.idle_seconds = model.idle_seconds;
  request.total_seconds = model.total_seconds;
  BodySink sink(wire);
  net::HttpHooks http;
  http.should_stop = hooks.should_stop;
  http.on_body = [&](const net::HttpReply& reply, std::string_view bytes) { return sink.take(reply, bytes); };
  const net::HttpReply reply = net::http_send(request, http);

  Attempt attempt;
  attempt.paid = sink.got_any();
  attempt.partial = sink.partial();
  if (sink.too_long()) {
    attempt.why = "the reply of " + model.name + " is longer than 4 MiB";
    attempt.again = true;
  } else if (!sink.fault().ok()) {
    attempt.why = model.name + ": " + sink.fault().error().message;
    attempt.again = true;
  } else if (reply.failure != net::HttpFailure::kNone) {
    attempt.why = model.name + ": " + reply.message;
    attempt.again = reply.failure == net::HttpFailure::kTemporary;
  } else if (!reply.succeeded()) {
    judge_status(model, reply, attempt);
  } else {
    attempt.paid = true;
    Result<ChatReply> whole = sink.finish();
    if (whole.ok()) {
      attempt.reply = std::move(whole).value();
    } else {
      attempt.why = model.name + ": " + whole.error().message;
      attempt.again = true;
    }
  }
  key.redact(attempt.why);
  return attempt;
}

// Tokens as the endpoint counts them, estimated where it does not.
Answer answer_of(const ModelSpec& model, const Ask& ask, const ChatReply& reply, const Key& key, bool paid) {
  Answer answer;
  answer.text = reply.text;
  key.redact(answer.text);
  answer.model = model.name;
  answer.finish = reply.finish;
  if (paid) {
    answer.input_tokens = reply.input_tokens > 0 ? reply.input_tokens : estimated_tokens(whole_prompt(ask));
    answer.output_tokens = reply.output_tokens > 0 ? reply.output_tokens : estimated_tokens(reply.text);
  }
  answer.dollars = model.dollars(answer.input_tokens, answer.output_tokens);
  return answer;
}

bool stopped(const ClientHooks& hooks) { return hooks.should_stop && hooks.should_stop(); }

Error stop_error() { return environment_error("the search was told to stop while it waited for a reply"); }

}  // namespace

void EndpointBreaker::succeeded() {
  until_ = 0;
  next_rest_ = rest_;
}

void EndpointBreaker::failed(double now) {
  until_ = now + next_rest_;
  next_rest_ = std::min(2 * next_rest_, std::max(rest_, kLongestRest));
}

Result<std::optional<Answer>> ask_model(const ModelSpec& model, const Roster& roster, const Ask& ask, CallBook& book,
                                        const ClientHooks& hooks) {
  VORTEX_ASSIGN(const WireFormat* wire, find_wire(model.api));
  VORTEX_ASSIGN(const Key key, Key::of(model));
  const auto place = static_cast<uint64_t>(ask.batch * 10007 + ask.slot * 101 + ask.draw);
  net::Backoff backoff(stream_key(place), roster.first_pause, std::max(roster.first_pause, 60.0));
  const int64_t most_input = estimated_tokens(whole_prompt(ask)) * 5 / 4;
  const int64_t most_output = model.max_output_tokens;
  int paid = 0;
  for (int tries = 1;; ++tries) {
    VORTEX_ASSIGN(auto open,
                  book.begin(ask, model.name, most_input + most_output, model.dollars(most_input, most_output)));
    if (!open) { return std::optional<Answer>{}; }
    const Attempt attempt = attempt_once(model, *wire, key, ask, hooks);
    if (attempt.reply) {
      Answer answer = answer_of(model, ask, *attempt.reply, key, true);
      VORTEX_TRY(book.answered(std::move(*open), answer));
      return std::optional(std::move(answer));
    }
    VORTEX_TRY(book.failed(std::move(*open), attempt.why, answer_of(model, ask, attempt.partial, key, attempt.paid)));
    if (stopped(hooks)) { return stop_error(); }
    paid += attempt.paid ? 1 : 0;
    const bool too_late = attempt.retry_after.value_or(0) > roster.longest_wait;
    if (!attempt.again || tries >= roster.attempts || paid >= kPaidAttempts || too_late) {
      return Error{attempt.blame, attempt.why, attempt.hint};
    }
    const double pause = backoff.next(attempt.retry_after);
    if (hooks.on_message) { hooks.on_message(attempt.why + "; again in " + std::to_string(std::lround(pause)) + " s"); }
    if (!net::pause_for(pause, hooks.should_stop)) { return stop_error(); }
  }
}

}  // namespace vortex::agent
