#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "evals/grading/real_set.h"
#include "evals/grading/term.h"

namespace vortex::evals {

enum class NodeKind {
  kNumber,      // or an expression, or a matrix: `term`
  kWords,       // nothing but words
  kRatio,       // a : b : c, in `parts`
  kTuple,       // in brackets, in order; of two parts also an interval
  kList,        // not in brackets
  kSet,         // in \{ \}
  kReals,       // a set of real numbers that is no list of them
  kUnion,       // of sets with variables in them
  kEquation,    // the sides of a = b = c, in `parts`
  kInequality,  // or several that hold together
  kUnread,      // not understood: known by its `text` alone
};

// difference < 0, <= 0 or != 0
struct Constraint {
  Value difference;
  char relation = '<';  // '<', 'l' for at most, '!' for unequal
};

// An answer as it is understood.
struct Node {
  NodeKind kind = NodeKind::kUnread;
  std::string text;  // its tokens; of words, their letters and digits in lower case
  Term term;
  std::vector<Node> parts;
  std::string brackets;          // of a tuple: "()", "[)"
  std::optional<RealSet> reals;  // the real numbers that a set, an interval or an inequality has, where known
  std::vector<Constraint> constraints;
  std::optional<Value> modulus;  // 7 \pmod{10}
  std::string words;             // unknown ones behind a number
  std::string as_name;           // what it names, if it could stand before an equals sign: "x_1", "f()", "x,y"
  bool descriptive = false;      // that name is words
  std::string name;              // of x \in and of the variable in an inequality
  std::vector<Node> rough;       // what stands behind an "approximately equal", or nothing
  char choice = '\0';            // of (B) 27
  std::string daytime;           // "am" or "pm" behind a time
};

// Reads an answer (evals/grading/lexer.h); what is not understood is a kUnread, never an error.
Node read_answer(std::string_view text, bool merge_commas);

}  // namespace vortex::evals
