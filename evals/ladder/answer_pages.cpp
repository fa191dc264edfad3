#include "evals/ladder/answer_pages.h"

#include <algorithm>
#include <set>

namespace vortex::evals {

std::vector<int> answer_blocks(const model::Tokenizer& tokenizer, const PreparedProblem& prepared, int block_size) {
  std::string text;
  std::vector<size_t> ends;  // [token]: where its bytes end in the text
  for (const int32_t token : prepared.prompt) {
    text += tokenizer.piece(token, ends.empty());
    ends.push_back(text.size());
  }
  std::set<int> blocks;
  for (const std::string& answer : prepared.problem.answers) {
    if (answer.empty()) { continue; }
    for (size_t at = text.find(answer); at != std::string::npos; at = text.find(answer, at + 1)) {
      const auto first = std::upper_bound(ends.begin(), ends.end(), at) - ends.begin();
      const auto last = std::lower_bound(ends.begin(), ends.end(), at + answer.size()) - ends.begin();
      for (auto token = first; token <= last; ++token) { blocks.insert(static_cast<int>(token) / block_size); }
    }
  }
  return {blocks.begin(), blocks.end()};
}

}  // namespace vortex::evals
