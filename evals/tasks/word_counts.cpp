#include "evals/tasks/word_counts.h"

#include <cmath>
#include <numeric>
#include <set>

#include "base/text.h"
#include "evals/tasks/haystack.h"
#include "evals/tasks/text.h"

namespace vortex::evals {
namespace {

constexpr int kTokensPerCodedWord = 50;  // the vocabulary of frequent_words has length / 50 words

Status check_prompt(const job::TaskSpec& spec) {
  if (spec.prompt.find("{context}") == std::string::npos) { return candidate_error("task.prompt lacks {context}"); }
  return ok_status();
}

Status check_common_words(const job::TaskSpec& spec) {
  if (static_cast<size_t>(spec.common_words.common) > plain_words() / 2) {
    return candidate_error("task.common_words.common is too large");
  }
  return check_prompt(spec);
}

struct WordList {
  std::string text;  // "1. word 2. word ..."
  std::vector<std::string> common;
};

WordList draw_list(const job::CommonWordsSpec& spec, int others, int common_count, int other_count, Rng& rng) {
  std::vector<size_t> numbers(plain_words());
  std::iota(numbers.begin(), numbers.end(), size_t{0});
  shuffle(numbers, rng);
  WordList list;
  std::vector<std::string> words;
  const auto distinct = std::min(static_cast<size_t>(spec.common + others), numbers.size());
  for (size_t i = 0; i < distinct; ++i) {
    const bool is_common = i < static_cast<size_t>(spec.common);
    const std::string word = plain_word(numbers[i]);
    if (is_common) { list.common.push_back(word); }
    words.insert(words.end(), static_cast<size_t>(is_common ? common_count : other_count), word);
  }
  shuffle(words, rng);
  for (size_t i = 0; i < words.size(); ++i) {
    list.text += (i == 0 ? "" : " ") + std::to_string(i + 1) + ". " + words[i];
  }
  return list;
}

std::string numbered(const std::vector<std::string>& words) {
  std::string text;
  for (size_t i = 0; i < words.size(); ++i) { text += " " + std::to_string(i + 1) + ". " + words[i]; }
  return text;
}

Problem make_common_words_sized(const job::TaskSpec& spec, int number, int units, const std::string& filler) {
  const job::CommonWordsSpec& words = spec.common_words;
  const std::string count = std::to_string(words.common);
  Rng rng(stream_key(spec.seed, static_cast<uint64_t>(number), 0xc3e));
  std::string examples;
  for (int i = 0; i < words.examples; ++i) {
    const WordList list =
        draw_list(words, words.example_others, words.example_common_count, words.example_other_count, rng);
    examples += filled(spec.prompt, {{"{context}", list.text}, {"{count}", count}}) +
                filled(spec.answer_start, {{"{count}", count}}) + numbered(list.common) + "\n\n";
  }
  const WordList list = draw_list(words, units, words.common_count, words.other_count, rng);
  Problem problem;
  problem.id = synthetic_id(spec, number);
  problem.prompt = examples + filled(spec.prompt, {{"{context}", list.text + filler}, {"{count}", count}});
  problem.answer_start = filled(spec.answer_start, {{"{count}", count}});
  problem.answers = list.common;
  problem.solution = numbered(list.common);
  return problem;
}

Result<Problem> make_common_words(const job::TaskSpec& spec, int number, const CountTokens& count) {
  return fit_to_length(
      spec, 1,
      [&](int units, const std::string& filler) { return make_common_words_sized(spec, number, units, filler); },
      count);
}

Status check_frequent_words(const job::TaskSpec& spec) {
  if (spec.length / kTokensPerCodedWord <= spec.frequent_words.asked) {
    return candidate_error("task.length must be above " +
                           std::to_string((spec.frequent_words.asked + 1) * kTokensPerCodedWord));
  }
  return check_prompt(spec);
}

std::string coded_word(int letters, std::set<std::string>& known, Rng& rng) {
  while (true) {
    std::string word;
    for (int i = 0; i < letters; ++i) { word += static_cast<char>('a' + rng.below(26)); }
    if (known.insert(word).second) { return word; }
  }
}

// About `units` words; the k-th most frequent word of the vocabulary stands floor(units k^-alpha / zeta(alpha)) times.
Problem make_frequent_words_sized(const job::TaskSpec& spec, int number, int units, const std::string& filler) {
  const job::FrequentWordsSpec& words = spec.frequent_words;
  Rng rng(stream_key(spec.seed, static_cast<uint64_t>(number), 0xf3e));
  std::set<std::string> known;
  std::vector<std::string> vocabulary = {"..."};
  while (vocabulary.size() < static_cast<size_t>(spec.length / kTokensPerCodedWord)) {
    vocabulary.push_back(coded_word(words.word_length, known, rng));
  }
  std::vector<std::string> text;
  for (size_t k = 0; k < vocabulary.size(); ++k) {
    const double share = std::pow(static_cast<double>(k + 1), -words.alpha) / std::riemann_zeta(words.alpha);
    text.insert(text.end(), static_cast<size_t>(units * share), vocabulary[k]);
  }
  shuffle(text, rng);
  Problem problem;
  const std::string asked = std::to_string(words.asked);
  problem.id = synthetic_id(spec, number);
  problem.prompt = filled(spec.prompt, {{"{context}", join(text, " ") + filler}, {"{count}", asked}});
  problem.answer_start = filled(spec.answer_start, {{"{count}", asked}});
  problem.answers.assign(vocabulary.begin() + 1, vocabulary.begin() + 1 + words.asked);
  problem.solution = " " + listed(problem.answers);
  return problem;
}

Result<Problem> make_frequent_words(const job::TaskSpec& spec, int number, const CountTokens& count) {
  // With fewer words than this, two of those that are asked for could stand equally often.
  const double asked = spec.frequent_words.asked + 1;
  const double gap = std::pow(asked, -spec.frequent_words.alpha) - std::pow(asked + 1, -spec.frequent_words.alpha);
  const int least = static_cast<int>(std::ceil(2 * std::riemann_zeta(spec.frequent_words.alpha) / gap));
  return fit_to_length(
      spec, least,
      [&](int units, const std::string& filler) { return make_frequent_words_sized(spec, number, units, filler); },
      count);
}

}  // namespace

const Task kCommonWordsTask = {"common_words", check_common_words, make_common_words, grade_mention, synthetic_bound};
const Task kFrequentWordsTask = {"frequent_words", check_frequent_words, make_frequent_words, grade_mention,
                                 synthetic_bound};

}  // namespace vortex::evals
