#include "serve/answer.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "serve/log_probs.h"

namespace vortex::serve {
namespace {

using nlohmann::json;

json or_null(const std::string& text) { return text.empty() ? json(nullptr) : json(text); }

}  // namespace

std::string refusal_body(const Refusal& refusal) {
  return json{{"error",
               {{"message", refusal.message},
                {"type", refusal.type},
                {"param", or_null(refusal.param)},
                {"code", or_null(refusal.code)}}}}
      .dump(-1, ' ', false, json::error_handler_t::replace);
}

Answer::Answer(const Ask& ask, std::vector<TokenPrompt> prompts, const model::Tokenizer& tokenizer, std::string id,
               int64_t created, std::string model)
    : ask_(ask),
      prompts_(std::move(prompts)),
      tokenizer_(tokenizer),
      id_(std::move(id)),
      created_(created),
      model_(std::move(model)) {
  const size_t count = prompts_.size() * static_cast<size_t>(ask_.choices);
  for (size_t i = 0; i < count; ++i) {
    // A completion goes on where its prompt ends; a chat's answer is a text of its own.
    choices_.push_back({ChoiceText(tokenizer_, ask_.stop, chat()), "", {}, {}, 0, 0, false, ""});
  }
}

// The choices of a prompt share it: what the first of them found is what its reading cost less.
void Answer::take_start(size_t choice, const engine::LiveStart& start) {
  if (choice % static_cast<size_t>(ask_.choices) == 0) { cached_tokens_ += start.cached_tokens; }
}

void Answer::take_prompt(size_t choice, std::vector<engine::PromptProb> probs) {
  choices_[choice].prompt = std::move(probs);
}

bool Answer::is_done() const {
  return std::all_of(choices_.begin(), choices_.end(), [](const Choice& choice) { return !choice.finish.empty(); });
}

int64_t Answer::prompt_tokens() const {
  int64_t total = 0;
  for (const TokenPrompt& prompt : prompts_) { total += static_cast<int64_t>(prompt.ids.size()); }
  return total;
}

int64_t Answer::completion_tokens() const {
  int64_t total = 0;
  for (const Choice& choice : choices_) { total += choice.produced; }
  return total;
}

json Answer::head(std::string_view object) const {
  return {{"id", id_}, {"object", object}, {"created", created_}, {"model", model_}};
}

json Answer::usage() const {
  return {{"prompt_tokens", prompt_tokens()},
          {"completion_tokens", completion_tokens()},
          {"total_tokens", prompt_tokens() + completion_tokens()},
          {"prompt_tokens_details", {{"cached_tokens", cached_tokens_}}}};
}

// Null where none were asked for.
json Answer::log_probs(size_t choice, const std::vector<ToldToken>& tokens, bool with_prompt, size_t offset) const {
  if (!ask_.top_log_probs) { return nullptr; }
  std::vector<ScoredToken> scored;
  if (with_prompt) {
    const std::vector<int32_t>& ids = prompts_[prompt_index(choice)].ids;
    const std::vector<engine::PromptProb>& probs = choices_[choice].prompt;
    for (size_t i = 0; i < ids.size(); ++i) {
      ScoredToken token{ids[i], tokenizer_.piece(ids[i], i == 0), std::nullopt, {}};
      if (i > 0 && i <= probs.size()) {
        token.log_prob = probs[i - 1].log_prob;
        token.top = probs[i - 1].top;
      }
      scored.push_back(std::move(token));
    }
  }
  for (const ToldToken& told : tokens) {
    scored.push_back({told.token.token, told.text, told.token.log_prob, told.token.top});
  }
  return chat() ? chat_log_probs(tokenizer_, scored) : completion_log_probs(tokenizer_, scored, offset);
}

// A chunk with what is told, or, with nothing to tell, with the reason why a choice ended.
std::string Answer::chunk(size_t choice, const Told& told, const std::string& finish, size_t offset) {
  Choice& of = choices_[choice];
  json item = {{"index", choice}, {"finish_reason", or_null(finish)}};
  std::string text = told.text;
  const bool first = !std::exchange(of.begun, true);
  if (chat()) {
    json& delta = item["delta"] = json::object();
    if (first) { delta["role"] = "assistant"; }
    if (first || !text.empty()) { delta["content"] = text; }
  } else {
    if (first && ask_.echo) { text = prompts_[prompt_index(choice)].text + text; }
    item["text"] = text;
  }
  const bool scored = !told.tokens.empty() || (first && ask_.echo);
  item["logprobs"] = scored ? log_probs(choice, told.tokens, first && ask_.echo, first ? 0 : offset) : json(nullptr);
  json result = head(chat() ? "chat.completion.chunk" : "text_completion");
  result["choices"] = json::array({std::move(item)});
  if (ask_.include_usage) { result["usage"] = nullptr; }
  return result.dump();
}

// Text goes out as soon as there is some. Tokens without any wait for those that have.
void Answer::tell(size_t choice, Told told, std::vector<std::string>& chunks) {
  Choice& of = choices_[choice];
  const size_t offset = of.characters;
  of.characters += count_characters(told.text);
  of.told += told.text;
  std::move(told.tokens.begin(), told.tokens.end(), std::back_inserter(of.tokens));
  if (!ask_.stream || told.text.empty()) { return; }
  told.tokens = std::exchange(of.tokens, {});
  chunks.push_back(chunk(choice, told, "", offset));
}

std::vector<std::string> Answer::take(size_t choice, engine::LiveToken token) {
  Choice& of = choices_[choice];
  std::vector<std::string> chunks;
  if (!of.finish.empty()) { return chunks; }
  if (of.produced == 0 && ask_.echo) { of.characters = count_characters(prompts_[prompt_index(choice)].text); }
  const bool last = token.last;
  const bool stopped = token.stopped;
  const bool none_wanted = ask_.max_tokens == 0;  // the engine made one all the same
  if (!none_wanted) { ++of.produced; }
  if (!stopped && !none_wanted) { tell(choice, of.text.push(std::move(token)), chunks); }
  if (of.text.stopped()) {
    of.finish = "stop";
  } else if (last) {
    tell(choice, of.text.finish(), chunks);
    of.finish = stopped || of.text.stopped() ? "stop" : "length";
  }
  if (ask_.stream && !of.finish.empty()) {
    chunks.push_back(chunk(choice, {"", std::exchange(of.tokens, {})}, of.finish, of.characters));
  }
  return chunks;
}

std::string Answer::usage_chunk() const {
  if (!ask_.include_usage) { return {}; }
  json result = head(chat() ? "chat.completion.chunk" : "text_completion");
  result["choices"] = json::array();
  result["usage"] = usage();
  return result.dump();
}

std::string Answer::whole() const {
  json result = head(chat() ? "chat.completion" : "text_completion");
  json& list = result["choices"] = json::array();
  for (size_t i = 0; i < choices_.size(); ++i) {
    const Choice& choice = choices_[i];
    const std::string& prompt = prompts_[prompt_index(i)].text;
    const size_t offset = ask_.echo ? 0 : choice.characters - count_characters(choice.told);
    json item = {{"index", i}, {"finish_reason", or_null(choice.finish)}};
    item["logprobs"] = log_probs(i, choice.tokens, ask_.echo, offset);
    if (chat()) {
      item["message"] = {{"role", "assistant"}, {"content", choice.told}, {"refusal", nullptr}};
    } else {
      item["text"] = (ask_.echo ? prompt : "") + choice.told;
    }
    list.push_back(std::move(item));
  }
  result["usage"] = usage();
  return result.dump();
}

}  // namespace vortex::serve
