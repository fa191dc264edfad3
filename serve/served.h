#pragma once

#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "core/model/chat.h"
#include "core/model/model.h"
#include "core/model/tokenizer.h"
#include "serve/answer.h"
#include "serve/ask.h"
#include "serve/dispatcher.h"

namespace vortex::serve {

// A model with the policies that it is served with.
struct Served {
  std::string name;                // what clients call it
  std::vector<std::string> lanes;  // the policies' names, "dense" the last; the first answers to the bare name
  std::shared_ptr<const model::Tokenizer> tokenizer;
  std::optional<model::ChatTemplate> chat;  // none: the model has none that is covered
  std::string no_chat;                      // and why
  int vocab_size = 0;
  int max_context = 0;  // tokens of a prompt and its answer

  // What clients call a lane.
  std::string model_name(size_t lane) const { return name + ":" + lanes[lane]; }
};

// A request that the engine can run.
struct Prepared {
  size_t lane = 0;
  std::vector<TokenPrompt> prompts;
  std::vector<Work> work;  // [choice], as Answer numbers them; without callbacks
};

// Finds the policy, makes tokens of the prompts, and checks lengths. `fresh_seed` is for who names none; further
// choices of a prompt have seeds of their own that follow from it.
std::variant<Prepared, Refusal> prepare(const Ask& ask, const Served& served, uint64_t fresh_seed);

}  // namespace vortex::serve
