#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace vortex::evals {

// The text with symbols beyond ASCII as the commands that mean the same, and white space of any kind as spaces.
std::string with_ascii_symbols(std::string_view text);

// What is to be done with a command of LaTeX, by its name without the backslash.
enum class CommandKind {
  kIgnored,     // sizes, styles, spacing: leaves nothing
  kSpace,       // leaves white space
  kSkipped,     // is left out with its argument: \hspace{1em}, \tag{1}
  kWrapper,     // leaves its argument: \boxed{5}, \underline{5}
  kColored,     // leaves its second argument: \textcolor{red}{5}
  kText,        // its argument is words: \text{cm}
  kUpright,     // its argument is letters in another font: \mathrm{cm}
  kAccent,      // makes another name of a letter: \bar{x}
  kReplaced,    // stands for the text that comes with it
  kMeaningful,  // the name that comes with it has a meaning of its own
  kGreek,       // a variable
  kUnknown,
};
struct Command {
  CommandKind kind = CommandKind::kUnknown;
  std::string_view means;
};
Command command_of(std::string_view name);

}  // namespace vortex::evals
