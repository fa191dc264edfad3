#include "evals/answer_sheet.h"

#include <bit>
#include <string_view>
#include <unordered_map>
#include <utility>

namespace vortex::evals {

AnswerSheet::AnswerSheet(const std::vector<Given>& given) {
  if (given.empty()) { return; }
  auto questions = std::make_shared<Questions>();
  questions->asked.reserve(given.size());
  std::unordered_map<std::string_view, uint32_t> numbers;
  words_.assign((given.size() + 63) / 64, 0);
  for (size_t i = 0; i < given.size(); ++i) {
    const auto [entry, is_new] = numbers.try_emplace(given[i].problem, static_cast<uint32_t>(numbers.size()));
    questions->asked.push_back({std::string(given[i].problem), given[i].trial, entry->second});
    words_[i / 64] |= static_cast<uint64_t>(given[i].right ? 1 : 0) << (i % 64);
  }
  questions->problems = numbers.size();
  questions_ = std::move(questions);
}

AnswerSheet::AnswerSheet(const std::vector<job::Outcome>& outcomes) {
  std::vector<Given> given;
  given.reserve(outcomes.size());
  for (const job::Outcome& outcome : outcomes) { given.push_back({outcome.problem, outcome.trial, outcome.correct}); }
  *this = AnswerSheet(given);
}

size_t AnswerSheet::count_right() const {
  size_t count = 0;
  for (const uint64_t word : words_) { count += static_cast<size_t>(std::popcount(word)); }
  return count;
}

bool AnswerSheet::same_questions(const AnswerSheet& other) const {
  return shares(other) || (size() == other.size() && questions_->asked == other.questions_->asked);
}

bool AnswerSheet::operator==(const AnswerSheet& other) const { return words_ == other.words_ && same_questions(other); }

bool AnswerSheet::share(const AnswerSheet& other) {
  if (!same_questions(other)) { return false; }
  questions_ = other.questions_;
  return true;
}

void AnswerSheet::compare(const AnswerSheet& other, size_t& won, size_t& lost) const {
  won = lost = 0;
  for (size_t i = 0; i < words_.size(); ++i) {
    won += static_cast<size_t>(std::popcount(words_[i] & ~other.words_[i]));
    lost += static_cast<size_t>(std::popcount(~words_[i] & other.words_[i]));
  }
}

}  // namespace vortex::evals
