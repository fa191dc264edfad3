#include "agent/llm/client.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <memory>

#include "agent/llm/body_sink.h"
#include "base/clock.h"
#include "base/rng.h"
#include "base/text.h"
#include "net/http.h"

namespace vortex::agent {
namespace {

constexpr int kPaidAttempts = 2;
constexpr double kLongestRest = 900;

// How one attempt ended.
struct Attempt {
  std::optional<ChatReply> reply;  // a whole one
  ChatReply partial;               // what had come of one that failed
  bool paid = false;               // the endpoint may have charged for it
  bool again = false;              // may work another time
  bool told = false;               // the search ended it
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
    key.text_ = net::trimmed(value);
    const auto unsendable = [](char c) { return static_cast<unsigned char>(c) <= 0x20 || c == 0x7f; };
    if (key.text_.empty() || std::any_of(key.text_.begin(), key.text_.end(), unsendable)) {
      return candidate_error(
          "the environment variable " + model.key_env + " is no key: it is empty or has white space in it",
          "set it to the key of " + model.name + " alone");
    }
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

// What an answer that is no success means.
void judge_failure(const ModelSpec& model, const net::HttpReply& reply, Attempt& attempt) {
  if (reply.failure != net::HttpFailure::kNone) {
    attempt.told = reply.failure == net::HttpFailure::kAborted;
    attempt.why = model.name + " answered " + std::to_string(reply.status) + ": " + reply.message;
    attempt.again = reply.failure == net::HttpFailure::kTemporary;
    return;
  }
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
    if (reply.status == 404) { attempt.hint += "; it was asked at " + reply.url; }
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
  BodySink sink(wire, monotonic_seconds);
  net::HttpHooks http;
  http.should_stop = [&] { return sink.waited_enough() || (hooks.should_stop && hooks.should_stop()); };
  http.on_body = [&](const net::HttpReply& reply, std::string_view bytes) {
    return sink.take(reply.header("content-type"), bytes);
  };
  const net::HttpReply reply = net::http_send(request, http);

  Attempt attempt;
  attempt.paid = sink.got_any();
  attempt.partial = sink.partial();
  const bool success = reply.status >= 200 && reply.status < 300;
  if (sink.too_long()) {
    attempt.why = "the reply of " + model.name + " is longer than 4 MiB";
    attempt.again = true;
  } else if (reply.status != 0 && !success) {
    judge_failure(model, reply, attempt);
  } else {
    const bool ended = reply.failure == net::HttpFailure::kNone;
    attempt.paid = attempt.paid || ended;
    Result<ChatReply> whole = sink.finish(ended);
    if (whole.ok()) {  // however the connection ended: all of it came
      attempt.reply = std::move(whole).value();
    } else {
      const bool cut = sink.fault().ok() && !ended;
      attempt.told = reply.failure == net::HttpFailure::kAborted && sink.fault().ok();
      const std::string silence = "no whole reply of it yet, " + std::to_string(sink.size()) + " bytes";
      attempt.why = model.name + ": " + (!cut ? whole.error().message : attempt.told ? silence : reply.message);
      attempt.again = !cut || reply.failure == net::HttpFailure::kTemporary;
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

Error stop_error(const std::string& why) { return environment_error("the search ended while it waited: " + why); }

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
  std::string why;  // the last attempt that the search did not end itself failed
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
    if (why.empty() || !attempt.told) { why = attempt.why; }
    if (stopped(hooks)) { return stop_error(why); }
    paid += attempt.paid ? 1 : 0;
    const bool too_late = attempt.retry_after.value_or(0) > roster.longest_wait;
    if (!attempt.again || tries >= roster.attempts || paid >= kPaidAttempts || too_late) {
      return Error{attempt.blame, attempt.why, attempt.hint};
    }
    const double pause = backoff.next(attempt.retry_after);
    if (hooks.on_message) { hooks.on_message(attempt.why + "; again in " + std::to_string(std::lround(pause)) + " s"); }
    if (!net::pause_for(pause, hooks.should_stop)) { return stop_error(why); }
  }
}

}  // namespace vortex::agent
