#pragma once

#include <string>
#include <vector>

#include "core/vflow/policy.h"

namespace vortex::vflow {

// Cases of tests/cases/check/*.cases. A case starts with "== NAME" and edits an example policy:
//   base NAME        the example (or tests/cases/check/modules) it starts from, block_topk if left out
//   - TEXT           the line of the module (or part of one) to replace; must occur exactly once
//   + TEXT           what replaces it; several lines keep the first one's indentation
//   config {...}     members that replace or extend the configuration's
//   drop KEY         a member that the configuration loses
//   text FLAG...     bom, crlf, tabs: how the module is written
//   ! ok             it must check; the policy may have the warnings that are listed
//   ! SEVERITY CODE [LINE:COLUMN]   one finding; all of them must be listed; "config:" marks the configuration's
//   has TEXT         must appear in the rendered findings
struct CheckCase {
  std::string name;
  PolicySource source;
  bool ok = false;
  std::vector<std::string> findings;  // as written after "!"
  std::vector<std::string> texts;
};

std::vector<CheckCase> load_check_cases();
// Every module of the examples and of tests/cases/check/modules, with its configuration.
std::vector<PolicySource> load_modules();
// What the examples are checked against; latent attention for vFlowMLA modules.
ModelGeometry test_model(bool mla = false);

}  // namespace vortex::vflow
