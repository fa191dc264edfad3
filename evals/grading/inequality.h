#pragma once

#include <optional>
#include <string>
#include <vector>

#include "evals/grading/answer_tree.h"

namespace vortex::evals {

// What joins an item of a list to the one before it.
enum class Joint { kNone, kComma, kSemicolon, kAnd, kOr };

struct Item {
  Joint before;
  std::vector<Node> nodes;  // several for one with a plus-minus sign
};

// The inequality a < b <= c of its sides and the signs between them: '<', '>', 'l' for at most, 'g' for at least, '!'
// for unequal. A kUnread where a side is no number. With the set of real numbers that it leaves to the one variable
// that it bounds, where it does.
Node inequality_of(const std::vector<Node>& sides, const std::string& signs);

// Inequalities in one variable that stand together: both hold, or, where that leaves nothing or "or" joins them, one of
// them does. Nothing where the items are something else.
std::optional<Node> held_together(const std::vector<Item>& items);

}  // namespace vortex::evals
