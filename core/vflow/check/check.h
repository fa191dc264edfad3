#pragma once

#include "core/vflow/trace/trace.h"

namespace vortex::vflow {

// What a complete trace and its configuration must satisfy together; findings go to the module's reporter where they
// have a place in it, otherwise to the configuration's.
struct CheckInput {
  const Trace& trace;
  const EngineConfig& config;
  const ModelGeometry& model;
  Reporter& module;
  Reporter& config_file;
};

// Is what the module computes meaningful: one selection, every field written and read, a score that can differ by
// page and query (check_program.cpp).
void check_program(const CheckInput& input);

// Can the score be what it is for: no number, the same for all pages, or nothing that the query changes, as far as can
// be told beforehand; warnings (check_scores.cpp). The second step of check_program.
void check_scores(const CheckInput& input);

// How the two programs use one field.
struct FieldUse {
  bool stored = false;  // kStore
  bool filled = false;  // kFill
  bool saved = false;   // kSave
  bool loaded = false;  // kLoad
  bool read = false;    // kField
};
std::vector<FieldUse> field_uses(const Program& program);

// Do the configuration, the module and the model fit together: the contract's text searches, backend, budget, layers,
// memory (check_fit.cpp).
void check_fit(const CheckInput& input);

// What vortex_torch would compute differently without saying so, as warnings by name: a field that is stored and read
// in one pass, a saved field read behind an operation over pages, more pages than its exact selection takes; what NaN
// means there is said with the scores (check_upstream.cpp).
void check_upstream(const CheckInput& input);

// The place of a key in the configuration's text, or its start.
Span key_span(const Reporter& reporter, std::string_view key);
// The JSON text of a key that this runtime only hands on; empty where the configuration does not have it.
std::string_view passthrough(const EngineConfig& config, std::string_view key);

// The two text searches of vortex_torch's own check, which ignore Python's syntax.
void check_text_contract(std::string_view name, const EngineConfig& config, Reporter& module);

}  // namespace vortex::vflow
