#include "serve/served.h"

#include <algorithm>

#include "base/rng.h"
#include "base/text.h"

namespace vortex::serve {
namespace {

constexpr int kCompletionTokens = 16;  // that OpenAI's completions have where nothing is said

Refusal invalid(std::string message, std::string param, std::string code = "") {
  return {400, std::move(message), "invalid_request_error", std::move(param), std::move(code), 0};
}

std::variant<size_t, Refusal> find_lane(const Served& served, const std::string& model) {
  if (model.empty() || model == served.name) { return size_t{0}; }
  for (size_t lane = 0; lane < served.lanes.size(); ++lane) {
    if (model == served.lanes[lane] || model == served.model_name(lane)) { return lane; }
  }
  std::vector<std::string> names = {served.name};
  for (size_t lane = 0; lane < served.lanes.size(); ++lane) { names.push_back(served.model_name(lane)); }
  return Refusal{404,
                 "there is no model " + clipped(model, 200) + " here; there are " + join(names, ", "),
                 "invalid_request_error",
                 "model",
                 "model_not_found",
                 0};
}

// The ids of what a prompt or a conversation says.
Result<TokenPrompt> encode(const Served& served, const std::string& text, bool raw) {
  VORTEX_ASSIGN(std::vector<int32_t> ids, served.tokenizer->encode(text));
  if (raw) { ids = served.tokenizer->add_special_tokens(std::move(ids)); }
  return TokenPrompt{std::move(ids), text};
}

Result<TokenPrompt> encode_chat(const Ask& ask, const Served& served) {
  if (!served.chat) {
    return candidate_error("this model has no chat template (" + served.no_chat + "); /v1/completions takes raw text");
  }
  model::ChatOptions options;
  options.thinking = ask.thinking;
  VORTEX_ASSIGN(const model::ChatPrompt prompt, served.chat->render(ask.messages, options));
  return encode(served, prompt.text, false);
}

Result<TokenPrompt> encode_prompt(const Served& served, const PromptText& prompt) {
  if (const auto* text = std::get_if<std::string>(&prompt)) { return encode(served, *text, true); }
  const auto& ids = std::get<std::vector<int32_t>>(prompt);
  const auto unknown = std::find_if(ids.begin(), ids.end(), [&](int32_t id) { return id >= served.vocab_size; });
  if (unknown != ids.end()) {
    return candidate_error("token " + std::to_string(*unknown) + " is not in the vocabulary of " +
                           std::to_string(served.vocab_size));
  }
  return TokenPrompt{ids, served.tokenizer->decode(ids)};
}

Result<std::vector<TokenPrompt>> encode_all(const Ask& ask, const Served& served) {
  std::vector<TokenPrompt> prompts;
  if (ask.endpoint == Endpoint::kChat) { VORTEX_ASSIGN(prompts.emplace_back(), encode_chat(ask, served)); }
  for (const PromptText& prompt : ask.prompts) { VORTEX_ASSIGN(prompts.emplace_back(), encode_prompt(served, prompt)); }
  for (const TokenPrompt& prompt : prompts) {
    if (prompt.ids.empty()) { return candidate_error("a prompt must have at least one token"); }
  }
  return prompts;
}

// How many tokens an answer may have; a Refusal where they and the prompt are more than the context.
std::variant<int, Refusal> answer_length(const Ask& ask, const Served& served, size_t prompt) {
  const auto room = static_cast<int64_t>(served.max_context) - static_cast<int64_t>(prompt);
  const bool open_end = !ask.max_tokens && ask.endpoint == Endpoint::kChat;
  const int64_t wanted =
      open_end ? std::max<int64_t>(1, room) : std::max(1, ask.max_tokens.value_or(kCompletionTokens));
  if (wanted <= room) { return static_cast<int>(wanted); }
  return invalid("a prompt of " + std::to_string(prompt) + " tokens and " + std::to_string(wanted) +
                     " new ones exceed the context of " + std::to_string(served.max_context),
                 ask.endpoint == Endpoint::kChat ? "messages" : "prompt", "context_length_exceeded");
}

}  // namespace

std::variant<Prepared, Refusal> prepare(const Ask& ask, const Served& served, uint64_t fresh_seed) {
  const std::variant<size_t, Refusal> lane = find_lane(served, ask.model);
  if (const auto* refusal = std::get_if<Refusal>(&lane)) { return *refusal; }
  Result<std::vector<TokenPrompt>> prompts = encode_all(ask, served);
  if (!prompts.ok()) {
    return invalid(prompts.error().message, ask.endpoint == Endpoint::kChat ? "messages" : "prompt");
  }
  Prepared prepared{std::get<size_t>(lane), std::move(*prompts), {}};
  const uint64_t seed = ask.seed.value_or(fresh_seed);
  for (const TokenPrompt& prompt : prepared.prompts) {
    const std::variant<int, Refusal> length = answer_length(ask, served, prompt.ids.size());
    if (const auto* refusal = std::get_if<Refusal>(&length)) { return *refusal; }
    for (int i = 0; i < ask.choices; ++i) {
      engine::LiveRequest live;
      live.request.prompt = prompt.ids;
      live.request.seed = i == 0 ? seed : stream_key(seed, static_cast<uint64_t>(i));
      live.request.max_new_tokens = std::get<int>(length);
      live.request.ignore_eos = ask.ignore_eos;
      live.request.sampling = {ask.temperature, ask.top_p, ask.top_k};
      live.top_log_probs = ask.top_log_probs.value_or(-1);
      live.prompt_probs = ask.echo && ask.top_log_probs.has_value();
      prepared.work.push_back({std::move(live), {}});
    }
  }
  return prepared;
}

}  // namespace vortex::serve
