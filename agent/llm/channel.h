#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "base/result.h"
#include "db/store.h"

namespace vortex::agent {

class Budget;

// One question to whoever writes policies, for one place in a batch.
struct Ask {
  int64_t batch = 0;
  int64_t slot = 0;
  int64_t draw = 0;
  int64_t round = 1;  // 2: asked again since the first reply could not be read
  db::CallPurpose purpose = db::CallPurpose::kPropose;
  std::string system;           // what holds for every question
  std::string prompt;           // the question
  nlohmann::json context;       // the facts behind the prompt, for programs (docs/proposers.md)
  nlohmann::json reply_schema;  // JSON schema of the reply
};

// What came back.
struct Answer {
  std::string text;
  std::string model;   // the user's name for who wrote it
  std::string finish;  // stop, length (cut at its limit), refusal, tool
  int64_t input_tokens = 0;
  int64_t output_tokens = 0;
  double dollars = 0;
};

// Keeps one row a call from before it is sent, and asks the budget first: what is in flight counts.
class CallBook {
 public:
  CallBook(db::Store& store, int64_t run) : store_(store), run_(run) {}
  void set_budget(Budget* budget) { budget_ = budget; }

  struct Open {
    db::LlmCall row;
    std::optional<int64_t> hold;
    double started = 0;
  };
  // Nothing when the budget does not allow what the call may cost at most.
  Result<std::optional<Open>> begin(const Ask& ask, const std::string& model, int64_t most_tokens, double most_dollars);
  Status answered(Open open, const Answer& answer);
  // `spent` says what the failed attempt cost as far as that is known; its text is kept too.
  Status failed(Open open, const std::string& why, const Answer& spent);

  // The reply that a place's round already has, from this session or an earlier one.
  Result<std::optional<Answer>> find(const Ask& ask);

 private:
  Status end(Open open, const Answer& answer);

  db::Store& store_;
  int64_t run_;
  Budget* budget_ = nullptr;
};

// A way to get a reply: language models over HTTP, a program, a recording.
class Channel {
 public:
  virtual ~Channel() = default;
  // Nothing when the budget does not allow the call. Errors: environment (nobody answers), candidate (the user's
  // settings are wrong).
  virtual Result<std::optional<Answer>> ask(const Ask& ask, CallBook& book) = 0;
};

// The prompt as it is kept and hashed: everything that the writer was told.
std::string whole_prompt(const Ask& ask);

}  // namespace vortex::agent
