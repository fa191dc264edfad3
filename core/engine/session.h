// Requests that come and go while others decode.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <utility>
#include <vector>

#include "base/result.h"
#include "core/engine/engine.h"

namespace vortex::engine {

// What the model says of one token at one position: natural logarithms, of the logits as they are (temperature 1).
struct TokenProb {
  int32_t token = 0;
  float log_prob = 0;
};

// A new token of a live request.
struct LiveToken {
  int32_t token = 0;
  bool last = false;           // the request ends with it
  bool stopped = false;        // it is a stop token
  float log_prob = 0;          // these two where LiveRequest::top_log_probs asks for them
  std::vector<TokenProb> top;  // most probable first, equal ones by token
};

// When a live request's prompt was begun, and how much of it lay in the cache already.
struct LiveStart {
  int64_t prompt_tokens = 0;
  int64_t cached_tokens = 0;
};

// What a prompt's tokens say of each other: of its token i + 1, as the tokens up to i predict it.
struct PromptProb {
  float log_prob = 0;
  std::vector<TokenProb> top;
};

struct LiveRequest {
  int64_t id = 0;             // the caller's own; no two that live have the same
  Request request;            // its on_token is not called
  int top_log_probs = -1;     // of each token, so many of the most probable ones; -1: no log-probabilities at all
  bool prompt_probs = false;  // with top_log_probs >= 0: on_prompt is called, before the first token
  // All of them optional, and called inside round(). They must not call the session.
  std::function<void(const LiveStart&)> on_start;
  std::function<void(std::vector<PromptProb>)> on_prompt;
  std::function<void(LiveToken)> on_token;
};

struct SessionUse {
  int waiting = 0;  // requests that hold nothing yet
  int running = 0;
  int pages = 0;       // of the pool
  int free_pages = 0;  // those among them, too, that only hold the beginnings of earlier prompts
  int kept_pages = 0;  // how many these are
};

// How a session reads prompts. Tokens and log-probabilities depend on none of it.
struct SessionOptions {
  int chunk_tokens = 0;        // of prompts, read between two decode steps; 0: no limit
  double chunk_seconds = 0;    // that reading them may take, about: of processor time, or of a device's; 0: no limit
  bool keep_prefixes = false;  // prompts that begin alike share pages, but for policies that keep state in them; on the
                               // CPU
  bool pack_prompts = true;    // short prompts that wait go through the model together; on a device
  double decode_share = 0;  // of the time while requests decode, what steps have at least (schedule.h), and the seconds
  double share_patience = 0;  // of waiting after which a prompt is read all the same (0: never); on a device
};

// A batch that never ends: requests are submitted, decode together, and leave. A request's tokens depend on nothing but
// the request. Not thread-safe; lives no longer than its engine, and is of no use any more once any other function of
// the engine was called.
class Session {
 public:
  virtual ~Session() = default;

  // Queues a request behind those that wait. One that could never run is refused, as generate() would.
  virtual Status submit(LiveRequest request) = 0;

  // Ends a request without another word to it; what it held is free on return. An unknown id is one that has ended.
  virtual void cancel(int64_t id) = 0;

  // One round: who waits is admitted in order as far as the pool is sure to suffice, and its prompt is read, one prompt
  // after the other, or several short ones at once, and as much of them as the options allow; then all whose prompt was
  // read decode one token. False
  // where there was nothing to do. After an Error the session is of no use any more.
  virtual Result<bool> round() = 0;

  virtual SessionUse use() const = 0;
};

// The `count` most probable tokens of `logits` [vocab] with their log-probabilities, and that of `token`.
std::pair<float, std::vector<TokenProb>> token_probs(std::span<const float> logits, int32_t token, int count);

}  // namespace vortex::engine
