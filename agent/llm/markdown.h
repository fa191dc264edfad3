#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace vortex::agent {

// A fenced block of a Markdown text (CommonMark 0.31, 4.5), also within list items and quotes, whose indentation it
// loses. A fence that is never closed ends with the text.
struct FencedBlock {
  std::string language;  // first word after the fence, in lower case: letters and digits
  std::string text;
  bool closed = true;
};
std::vector<FencedBlock> fenced_blocks(std::string_view text);

// A reply without the thoughts that some models write in front of it or between: <think>...</think> that begins a line,
// and everything before a </think> that nothing opens. Thoughts that are never closed end with the text.
std::string without_thoughts(std::string_view text);

}  // namespace vortex::agent
