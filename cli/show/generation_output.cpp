#include "cli/show/generation_output.h"

#include <unistd.h>

#include <iostream>
#include <optional>
#include <set>

#include "base/escape.h"
#include "base/text.h"
#include "cli/continuation.h"
#include "cli/show/side_by_side.h"
#include "job/protocol.h"

namespace vortex::cli {
namespace {

constexpr size_t kHeadBytes = 60;     // of a prompt, in a heading
constexpr size_t kContextBytes = 60;  // of the text before a difference

// The text without what a terminal would obey, where it goes to one; a model may write anything.
std::string shown(const std::string& text) { return ::isatty(STDOUT_FILENO) == 1 ? terminal_text(text) : text; }

bool inside_character(const std::string& text, size_t at) {
  return at < text.size() && (static_cast<unsigned char>(text[at]) & 0xc0) == 0x80;
}

std::string heading(size_t index, const std::string& prompt) {
  std::string head = first_line(prompt);
  if (head.size() > kHeadBytes) {
    size_t cut = kHeadBytes;
    while (inside_character(head, cut)) { --cut; }
    head = head.substr(0, cut);
  }
  return "== " + std::to_string(index + 1) + ": " + shown(head) + (head.size() < prompt.size() ? "..." : "") + "\n";
}

// Text of all prompts, each in one piece and in order: the first one that goes on is live, those behind it wait.
class StreamedText : public GenerationOutput {
 public:
  StreamedText(const std::vector<std::string>& prompts, const model::Tokenizer& tokenizer) : prompts_(prompts) {
    for (size_t i = 0; i < prompts.size(); ++i) { waiting_.push_back({Continuation(tokenizer), "", false}); }
  }

  void take(const job::NewToken& token) override {
    Waiting& waiting = waiting_[token.prompt];
    waiting.text += waiting.continuation.push(token);
    waiting.ended = token.end != job::TokenEnd::kGoesOn;
    while (live_ < waiting_.size()) {
      print(waiting_[live_]);
      if (!waiting_[live_].ended) { break; }
      end_line();
      ++live_;
    }
    std::cout.flush();
  }

  void close() override {
    if (line_open_) { end_line(); }
  }

 private:
  struct Waiting {
    Continuation continuation;
    std::string text;  // not printed yet
    bool ended = false;
  };

  void print(Waiting& waiting) {
    if (!begun_ && prompts_.size() > 1) { std::cout << heading(live_, prompts_[live_]); }
    begun_ = true;
    line_open_ = true;
    if (waiting.text.empty()) { return; }
    std::cout << shown(waiting.text);
    at_line_start_ = waiting.text.ends_with('\n');
    waiting.text.clear();
  }

  void end_line() {
    if (!at_line_start_) { std::cout << "\n"; }
    std::cout.flush();
    at_line_start_ = false;
    begun_ = false;
    line_open_ = false;
  }

  const std::vector<std::string>& prompts_;
  std::vector<Waiting> waiting_;
  size_t live_ = 0;
  bool begun_ = false;      // the live one's heading is printed
  bool line_open_ = false;  // the live one's last line has no end yet
  bool at_line_start_ = false;
};

// What one prompt was continued with.
struct Answer {
  std::optional<Continuation> dense;
  std::optional<Continuation> policy;
};

// Collects whole answers; `finish` is called with each in the order of the prompts, as soon as it and all before it are
// complete.
class Answers : public GenerationOutput {
 public:
  Answers(const std::vector<std::string>& prompts, const std::string& policy_name, bool compare,
          const model::Tokenizer& tokenizer)
      : prompts_(prompts), policy_name_(policy_name), compare_(compare) {
    const bool dense = compare || policy_name.empty();
    for (size_t i = 0; i < prompts.size(); ++i) {
      Answer answer;
      if (dense) { answer.dense.emplace(tokenizer); }
      if (!policy_name.empty()) { answer.policy.emplace(tokenizer); }
      answers_.push_back(std::move(answer));
    }
  }

  void take(const job::NewToken& token) override {
    Answer& answer = answers_[token.prompt];
    (token.dense ? answer.dense : answer.policy)->push(token);
    if (token.end == job::TokenEnd::kGoesOn || (compare_ && token.dense)) { return; }
    complete_.insert(token.prompt);
    for (; complete_.contains(next_); ++next_) { finish(next_, answers_[next_]); }
  }

 protected:
  virtual void finish(size_t index, const Answer& answer) = 0;

  const std::vector<std::string>& prompts_;
  const std::string& policy_name_;
  bool compare_;

 private:
  std::vector<Answer> answers_;
  std::set<size_t> complete_;
  size_t next_ = 0;  // whose turn it is
};

// The end of the text before a difference.
std::string context_before(const Continuation& continuation, size_t index) {
  const size_t end = continuation.place(index).first;
  size_t begin = end - std::min(end, kContextBytes);
  while (inside_character(continuation.text(), begin)) { ++begin; }
  return continuation.text().substr(begin, end - begin);
}

nlohmann::json token_json(const Continuation& continuation, size_t index) {
  if (index >= continuation.ids().size()) { return nullptr; }
  return {{"id", continuation.ids()[index]}, {"text", continuation.piece(index)}};
}

class Comparison : public Answers {
 public:
  using Answers::Answers;

 private:
  void finish(size_t index, const Answer& answer) override {
    const auto difference = first_difference(*answer.dense, *answer.policy);
    const bool color = use_color(STDOUT_FILENO);
    if (prompts_.size() > 1) { std::cout << heading(index, prompts_[index]); }
    std::cout << side_by_side(column("dense", *answer.dense, difference),
                              column(policy_name_, *answer.policy, difference), terminal_size(STDOUT_FILENO).columns,
                              color)
              << "\n"
              << verdict(answer, difference) << std::endl;
  }

  // The text with the differing token marked; one that leaves no text is spelled out.
  static Column column(const std::string& title, const Continuation& continuation, std::optional<size_t> difference) {
    const std::string& text = continuation.text();
    if (!difference || *difference >= continuation.ids().size()) { return {title, terminal_text(text), {0, 0}}; }
    const auto [begin, end] = continuation.place(*difference);
    const std::string before = terminal_text(text.substr(0, begin));
    const std::string marked =
        terminal_text(begin == end ? continuation.piece(*difference) : text.substr(begin, end - begin));
    return {title, before + marked + terminal_text(text.substr(end)), {before.size(), before.size() + marked.size()}};
  }

  std::string verdict(const Answer& answer, std::optional<size_t> difference) const {
    const size_t tokens = answer.dense->ids().size();
    if (!difference) { return "no difference in " + std::to_string(tokens) + " tokens\n"; }
    const auto line = [&](const std::string& name, const Continuation& continuation) {
      const nlohmann::json token = token_json(continuation, *difference);
      if (token.is_null()) { return "  " + name + ": ended\n"; }
      return "  " + name + ": " + token["text"].dump() + " (" + token["id"].dump() + ")\n";
    };
    const Continuation& longer = *difference < tokens ? *answer.dense : *answer.policy;
    return "first difference at token " + std::to_string(*difference + 1) + ", of " + std::to_string(tokens) +
           " dense and " + std::to_string(answer.policy->ids().size()) + " with " + policy_name_ + "\n  behind " +
           nlohmann::json(context_before(longer, *difference)).dump() + "\n" + line("dense", *answer.dense) +
           line(policy_name_, *answer.policy);
  }
};

class Records : public Answers {
 public:
  Records(Format format, const std::vector<std::string>& prompts, const std::string& policy_name, bool compare,
          const model::Tokenizer& tokenizer)
      : Answers(prompts, policy_name, compare, tokenizer), format_(format) {}

  void close() override {
    if (format_ == Format::kJsonl) { return; }
    print_records(format_, "generation", records_);
  }

 private:
  void finish(size_t index, const Answer& answer) override {
    nlohmann::json record = {{"index", index}, {"prompt", prompts_[index]}};
    if (!policy_name_.empty()) { record["policy_name"] = policy_name_; }
    if (answer.dense) { record["dense"] = to_json(*answer.dense); }
    if (answer.policy) { record["policy"] = to_json(*answer.policy); }
    if (compare_) {
      const auto difference = first_difference(*answer.dense, *answer.policy);
      record["same"] = !difference.has_value();
      if (difference) {
        record["first_difference"] = {{"position", *difference},
                                      {"before", context_before(*answer.dense, *difference)},
                                      {"dense", token_json(*answer.dense, *difference)},
                                      {"policy", token_json(*answer.policy, *difference)}};
      }
    }
    if (format_ == Format::kJsonl) { return print_record(format_, "generation", record); }
    records_.push_back(std::move(record));
  }

  Format format_;
  std::vector<nlohmann::json> records_;
};

}  // namespace

std::unique_ptr<GenerationOutput> make_generation_output(Format format, const std::vector<std::string>& prompts,
                                                         const std::string& policy_name, bool compare,
                                                         const model::Tokenizer& tokenizer) {
  if (format != Format::kText) { return std::make_unique<Records>(format, prompts, policy_name, compare, tokenizer); }
  if (compare) { return std::make_unique<Comparison>(prompts, policy_name, compare, tokenizer); }
  return std::make_unique<StreamedText>(prompts, tokenizer);
}

}  // namespace vortex::cli
