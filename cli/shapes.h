#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "base/result.h"
#include "core/vflow/policy.h"

namespace vortex::cli {

// The shape of a model, which is all that checking a policy needs: no folder and no weights.
struct Shape {
  vflow::ModelGeometry geometry;  // of find_shape: max_context is the model's own, 0 where nobody knows it
  std::string warning;            // why the engine cannot run such a model; empty: it can, or nobody knows
};

// A published model by name ("qwen3-1.7b", "Qwen/Qwen3-1.7B"), a folder with a config.json, or a config.json by itself.
// Latent attention and configurations whose language model is in text_config are read, too.
Result<Shape> find_shape(const std::string& name);

// The names that find_shape() knows.
std::vector<std::string> shape_names();

void add_shape_option(CLI::App* verb, std::string& shape);

// The shape that a policy is checked against: of `shape` if given, else of `model`, else what its configuration names
// as model_path. `max_context` 0: the configuration's vortex_max_seq_lens (its default: 20480), or the model's own
// context where that is -1.
Result<Shape> shape_of(const vflow::PolicySource& source, const std::string& shape, const std::string& model,
                       int max_context);

}  // namespace vortex::cli
