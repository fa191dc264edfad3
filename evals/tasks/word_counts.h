#pragma once

#include "evals/tasks/task.h"

namespace vortex::evals {

// Common and frequent words extraction, as RULER's cwe and fwe (Hsieh et al. 2024, arXiv:2404.06654). Common words: a
// numbered list in random order in which some words stand often and all others rarely; every common word must be
// mentioned. Frequent words: made-up words whose counts follow a zeta distribution; the most frequent one is the noise
// word "...", and those after it must be mentioned.
extern const Task kCommonWordsTask;
extern const Task kFrequentWordsTask;

}  // namespace vortex::evals
