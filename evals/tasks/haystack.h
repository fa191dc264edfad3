#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/rng.h"
#include "evals/tasks/task.h"

namespace vortex::evals {

// What the synthetic long-context tasks have in common (docs/tasks.md). All text in them is made here.

// "quiet-harbour": one of 12,000 pairs of an adjective and a noun.
std::string random_pair(Rng& rng);
// A plain English word, or, once `number` is beyond the list, two of them in one: distinct for distinct numbers.
std::string plain_word(size_t number);
size_t plain_words();  // how many there are in all
// Seven digits, the first not 0.
std::string random_number(Rng& rng);
// A version 4 UUID (RFC 9562).
std::string random_uuid(Rng& rng);
// A sentence of plain prose that states nothing in particular.
std::string prose_sentence(Rng& rng);

// Puts `inserted` between `units`, each at a random place of its own, in their order; gives all of it in order.
std::vector<std::string> scattered(const std::vector<std::string>& units, const std::vector<std::string>& inserted,
                                   Rng& rng);

// A stable id: kind, length, what else decides the problems, seed and number.
std::string synthetic_id(const job::TaskSpec& spec, int number);

// Makes the largest problem of `units` units, at least `least`, whose prompt and spec.max_new_tokens come to
// spec.length tokens at most, and fills what is left, less than a unit, with single dots: `make(units, filler)` puts
// them at the end of the context. Where the tokenizer takes several tokens for a dot, another dot or a line break
// behind them makes up for what is left. A length that does not hold `least` units is the candidate's fault.
using MakeSized = std::function<Problem(int units, const std::string& filler)>;
Result<Problem> fit_to_length(const job::TaskSpec& spec, int least, const MakeSized& make, const CountTokens& count);

// Is the answer part of the output, whatever the case? (RULER's metric, an answer at a time)
Grade grade_mention(const std::string& answer, std::string_view output);

// A synthetic prompt and its answer fill the length that was asked for.
int synthetic_bound(const job::TaskSpec& spec);

}  // namespace vortex::evals
