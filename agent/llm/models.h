#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/llm/wire.h"
#include "base/result.h"
#include "study/history.h"
#include "study/options.h"

namespace vortex::agent {

// One language model that may be asked. Keys are never here: `key_env` names the variable that holds one.
struct ModelSpec {
  std::string name;         // the user's: what rows and reports say
  std::string url;          // base URL, e.g. http://127.0.0.1:8000/v1
  std::string api;          // wire format: chat, responses, messages
  std::string model;        // as the endpoint calls it
  std::string key_env;      // empty: no key
  double weight = 1;        // chance of being asked, where the choice is by weight
  double input_price = -1;  // dollars a million tokens; below 0: not known
  double output_price = -1;
  int64_t max_output_tokens = 16384;
  double temperature = -1;  // below 0: the endpoint's default
  bool stream = true;
  OutputForm output = OutputForm::kText;
  double idle_seconds = 120;   // given up when nothing comes for so long
  double total_seconds = 900;  // given up after so long whatever comes
  nlohmann::json extra = nlohmann::json::object();

  double dollars(int64_t input_tokens, int64_t output_tokens) const;
};

// The models file: {"models": [...], "choice": "weights" | "bandit", "attempts", "longest_wait", "pause"}.
struct Roster {
  std::vector<ModelSpec> models;
  bool bandit = false;
  int attempts = 5;           // a question, of one model; two of those that cost money
  double longest_wait = 120;  // seconds that a Retry-After may ask for
  double first_pause = 1;     // seconds before the second attempt; doubled from there
  double rest_seconds = 60;   // that a model rests after all its attempts failed; doubled each time, up to 15 minutes
};

// Strict: unknown keys, wrong types, no models, two of one name are refused by name. Needs prices where `needs_prices`.
Result<Roster> roster_from_json(std::string_view text, bool needs_prices);

// What one model's past calls came to.
struct ModelArm {
  int64_t policies = 0;  // written by it and decided
  double reward = 0;     // 1 a policy that is on the front, 0.3 one that passed
  double dollars = 0;
};
Result<std::vector<ModelArm>> model_arms(db::Store& store, const study::History& history,
                                         const study::SearchOptions& options, const Roster& roster);

// Which of the models in `awake` (indices) to ask. By weight: drawn with `key`. As a bandit: the largest upper
// confidence bound of the reward a policy (UCB1; Auer, Cesa-Bianchi, Fischer 2002), divided by the square root of what
// a policy costs beside the cheapest model's; every model is tried once first.
size_t choose_model(const Roster& roster, const std::vector<ModelArm>& arms, const std::vector<size_t>& awake,
                    uint64_t key);

}  // namespace vortex::agent
