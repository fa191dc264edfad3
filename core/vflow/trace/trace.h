#pragma once

#include "core/vflow/policy.h"
#include "core/vflow/trace/interp.h"

namespace vortex::vflow {

// A traced module and where its parts stand in the source.
struct Trace {
  Program program;
  GraphSpans spans;          // by node index
  std::vector<Span> fields;  // the declarations, by field index; empty spans for the built-in ones
  Span class_name;
  Span forward_cache;     // the method's name
  Span forward_indexer;   // the method's name
  bool complete = false;  // nothing was reported: what is missing is missing in the policy
};

// Parses the module, executes it and traces the class that is registered as `name` (the only one if empty).
// Reports everything that it finds wrong; program checks make sense only on a complete trace.
Trace trace_module(Reporter& reporter, std::string_view name, const ModelGeometry& model, int block_size);

}  // namespace vortex::vflow
