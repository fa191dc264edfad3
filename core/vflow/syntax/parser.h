#pragma once

#include "core/vflow/syntax/ast.h"

namespace vortex::vflow {

// Parses the Python subset. Syntax outside of it is reported with what to write instead; parsing resumes at the next
// statement, where the bad one leaves a kError node, so one pass finds all independent mistakes.
Module parse_module(Reporter& reporter);

}  // namespace vortex::vflow
