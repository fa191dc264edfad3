#include "evals/tasks/chain.h"

#include <array>
#include <numeric>
#include <optional>

#include "base/rng.h"

namespace vortex::evals {
namespace {

// Variables are drawn from as many names as the models have words for: those of the 4K model, or all of the 16K one's.
constexpr int kFewNames = 1008;
constexpr int kNames = 4080;
constexpr double kLiteralShare = 0.15;
constexpr int kModulus = 1000;

struct Definition {
  int name = 0;
  int constant = 0;           // 0..99
  std::optional<int> source;  // topological number of the variable referred to; none: a literal
};

// Definitions in topological order; the first `chain` of them are the chain, literal first.
std::vector<Definition> draw_definitions(Rng& rng, int definitions, int chain) {
  const int count = definitions <= kFewNames ? kFewNames : kNames;
  std::vector<int> names(static_cast<size_t>(count));
  std::iota(names.begin(), names.end(), 0);
  std::vector<Definition> drawn(static_cast<size_t>(definitions));
  for (int i = 0; i < definitions; ++i) {
    Definition& definition = drawn[static_cast<size_t>(i)];
    std::swap(names[static_cast<size_t>(i)], names[static_cast<size_t>(rng.between(i, count - 1))]);
    definition.name = names[static_cast<size_t>(i)];
    definition.constant = rng.between(0, 99);
    const bool literal = i < chain ? i == 0 : rng.uniform() < kLiteralShare;
    if (!literal) { definition.source = i < chain ? i - 1 : rng.between(0, i - 1); }
  }
  return drawn;
}

std::string name_word(int name) { return "v" + std::to_string(name); }

std::string definition_words(const std::vector<Definition>& definitions, size_t number) {
  const Definition& definition = definitions[number];
  const std::string source =
      definition.source ? name_word(definitions[static_cast<size_t>(*definition.source)].name) : "#";
  return name_word(definition.name) + " " + std::to_string(definition.constant % 10) + " " +
         std::to_string(definition.constant / 10) + " " + source + " ;";
}

std::string prompt_words(const std::vector<Definition>& definitions, int chain, Rng& rng) {
  std::vector<size_t> order(definitions.size());
  std::iota(order.begin(), order.end(), size_t{0});
  for (size_t i = order.size(); i > 1; --i) { std::swap(order[i - 1], order[rng.below(i)]); }
  std::string text = "<s>";
  for (const size_t number : order) { text += " " + definition_words(definitions, number); }
  return text + " ? " + name_word(definitions[static_cast<size_t>(chain) - 1].name) + " ?";
}

std::array<std::string, 3> digits_of(int value) {
  return {std::to_string(value % 10), std::to_string(value / 10 % 10), std::to_string(value / 100)};
}

Status check_chain(const job::TaskSpec& spec) {
  if (spec.definitions < 1 || spec.definitions > kNames) {
    return candidate_error("task.definitions must be between 1 and " + std::to_string(kNames));
  }
  if (spec.chain < 1 || spec.chain > spec.definitions) {
    return candidate_error("task.chain must be between 1 and task.definitions");
  }
  return ok_status();
}

Result<Problem> make_chain_problem(const job::TaskSpec& spec, int number, const CountTokens&) {
  const auto size = static_cast<uint64_t>(spec.definitions) << 32 | static_cast<uint64_t>(spec.chain);
  Rng rng(stream_key(spec.seed, static_cast<uint64_t>(number), size));
  const std::vector<Definition> definitions = draw_definitions(rng, spec.definitions, spec.chain);

  Problem problem;
  const std::string digits = std::to_string(number);
  problem.id = "chain-" + std::to_string(spec.definitions) + "-" + std::to_string(spec.chain) + "-s" +
               std::to_string(spec.seed) + "-" + std::string(digits.size() < 3 ? 3 - digits.size() : 0, '0') + digits;
  problem.prompt = prompt_words(definitions, spec.chain, rng);

  const auto chain = static_cast<size_t>(spec.chain);
  for (size_t i = chain; i > 0; --i) { problem.solution += definition_words(definitions, i - 1) + " "; }
  int value = 0;
  for (size_t i = 0; i < chain; ++i) {
    value = (value + definitions[i].constant) % kModulus;
    const auto [ones, tens, hundreds] = digits_of(value);
    problem.solution += name_word(definitions[i].name) + " " + ones + " " + tens + " " + hundreds + " ; ";
  }
  const auto [ones, tens, hundreds] = digits_of(value);
  problem.answers = {hundreds + tens + ones};
  problem.solution += "? " + hundreds + " " + tens + " " + ones + " </s>";
  return problem;
}

std::vector<std::string_view> words_of(std::string_view text) {
  std::vector<std::string_view> words;
  while (!text.empty()) {
    const size_t end = text.find(' ');
    if (end != 0) { words.push_back(text.substr(0, end)); }
    if (end == std::string_view::npos) { break; }
    text.remove_prefix(end + 1);
  }
  return words;
}

Grade grade_chain(const std::string& answer, std::string_view output) {
  constexpr size_t kShown = 6;  // words of a malformed answer that are worth keeping
  const std::vector<std::string_view> words = words_of(output);
  size_t begin = words.size();
  while (begin > 0 && words[begin - 1] != "?") { --begin; }
  if (begin == 0) { return {false, "", "no ? in the output"}; }

  Grade grade;
  bool well_formed = words.size() == begin + 4 && words.back() == "</s>";
  for (size_t i = begin; i < words.size() && i < begin + kShown; ++i) {
    if (i < begin + 3 && (words[i].size() != 1 || words[i][0] < '0' || words[i][0] > '9')) { well_formed = false; }
    grade.extracted += (i == begin ? "" : " ") + std::string(words[i]);
  }
  if (!well_formed) {
    grade.rule = "not three digits and the stop token after the last ?";
    return grade;
  }
  grade.extracted = std::string(words[begin]) + std::string(words[begin + 1]) + std::string(words[begin + 2]);
  grade.rule = "three digits after the last ?";
  grade.correct = grade.extracted == answer;
  return grade;
}

int chain_bound(const job::TaskSpec& spec) { return 5 * spec.definitions + 4 + spec.max_new_tokens; }

}  // namespace

const Task kChainTask = {"chain", check_chain, make_chain_problem, grade_chain, chain_bound, true};

}  // namespace vortex::evals
