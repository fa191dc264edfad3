#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "job/stage.h"

namespace vortex::evals {

// Which questions were answered right: all that comparing policies needs of outcomes, in a bit an answer. A question is
// one trial of a problem. AnswerSheet to the same questions in the same order can share their list, and are then
// compared word by word: a search has tens of thousands of candidates, and nearly all were asked the same.
class AnswerSheet {
 public:
  struct Question {
    std::string problem;
    int trial = 0;
    uint32_t number = 0;  // of its problem, in order of first appearance
    bool operator==(const Question&) const = default;
  };

  struct Given {
    std::string_view problem;
    int trial = 0;
    bool right = false;
  };

  AnswerSheet() = default;
  explicit AnswerSheet(const std::vector<Given>& given);
  AnswerSheet(const std::vector<job::Outcome>& outcomes);  // the same, told shorter

  size_t size() const { return questions_ == nullptr ? 0 : questions_->asked.size(); }
  bool empty() const { return size() == 0; }
  size_t problems() const { return questions_ == nullptr ? 0 : questions_->problems; }
  bool one_each() const { return size() == problems(); }  // one trial of every problem
  const Question& question(size_t i) const { return questions_->asked[i]; }
  bool right(size_t i) const { return ((words_[i / 64] >> (i % 64)) & 1u) != 0; }
  size_t count_right() const;

  bool operator==(const AnswerSheet& other) const;

  // Takes over the other's list of questions if it is the same. True if both share one list now.
  bool share(const AnswerSheet& other);
  // Do both share one list? Then `won` and `lost` are how many answers only this has right, and only the other.
  bool shares(const AnswerSheet& other) const { return questions_ == other.questions_; }
  void compare(const AnswerSheet& other, size_t& won, size_t& lost) const;

 private:
  struct Questions {
    std::vector<Question> asked;
    size_t problems = 0;
  };
  bool same_questions(const AnswerSheet& other) const;

  std::shared_ptr<const Questions> questions_;
  std::vector<uint64_t> words_;
};

}  // namespace vortex::evals
