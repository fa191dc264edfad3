#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/result.h"
#include "core/vflow/policy.h"
#include "study/loaded_run.h"
#include "study/options.h"

namespace vortex::web {

// The model of a search as policies are checked against it, from its config.json, which must still be where it was.
Result<vflow::ModelGeometry> geometry_of_run(const study::SearchOptions& options);

// A candidate's policy as it is traced for the model of its search.
Result<vflow::Policy> traced_policy(const study::CandidateFiles& files, const study::SearchOptions& options);

// The live part of the traced graph: [{"side", "nodes": [{"title", "detail", "kind", "inputs"}]}].
nlohmann::json graph_json(const vflow::Program& program);

// An order of n things in which near ones are neighbours, from their distances (row-major): from the two that are
// farthest apart, always the nearest one that is left.
std::vector<int> near_order(const std::vector<double>& matrix, size_t n);

// Places in a plane whose distances come near those of the matrix: classical scaling (Torgerson 1952) by power
// iteration, deterministic.
std::vector<std::pair<double, double>> plane_of(const std::vector<double>& matrix, size_t n);

}  // namespace vortex::web
