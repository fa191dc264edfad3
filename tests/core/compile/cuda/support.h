// Policies for the tests of the CUDA compiler.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "base/files.h"
#include "base/rng.h"
#include "core/vflow/policy.h"
#include "core/vflow/vary/generate.h"

namespace vortex::compile {

inline vflow::ModelGeometry small_model(int group, int head_dim) {
  vflow::ModelGeometry model;
  model.layers = 2;
  model.num_kv_heads = 2;
  model.num_q_heads = 2 * group;
  model.head_dim = head_dim;
  return model;
}

struct RandomPolicy {
  vflow::ModelGeometry model;
  vflow::Policy policy;
  uint64_t key = 0;
};

// The i-th random policy: shapes of all kinds, every third of an uneven group, every fifth for latent attention, every
// fourth in float32.
inline RandomPolicy random_policy(int i) {
  Rng rng(stream_key(2606, static_cast<uint64_t>(i)));
  vflow::GenerateOptions generate;
  generate.mla = i % 5 == 4;
  const int head_dims[] = {8, 16, 24, 40, 64, 128};
  RandomPolicy result;
  const int head_dim = head_dims[rng.below(6)];
  const int power = 1 << rng.below(3);
  const int uneven[] = {3, 5, 6, 7, 9, 16};
  result.model = small_model(i % 3 == 1 ? uneven[i / 3 % 6] : power, head_dim);
  if (generate.mla) {
    result.model.kv_lora_rank = rng.below(2) == 0 ? 24 : 48;
    result.model.rope_dim = rng.below(2) == 0 ? 8 : 16;
  }
  result.policy = vflow::random_policy(rng, result.model, generate);
  result.policy.config.topk_val = std::min(result.policy.config.topk_val, 12);
  if (i % 4 == 3) { result.policy.config.dtype = vflow::Dtype::kFp32; }
  result.key = rng.next();
  return result;
}

// A policy of the repository, FOLDER/NAME.py with its .json, for the model of the check tests.
inline vflow::Policy policy_from(const std::filesystem::path& module, const vflow::ModelGeometry& model) {
  vflow::PolicySource source;
  std::filesystem::path config = module;
  config.replace_extension(".json");
  source.module_text = read_file(module).value();
  source.config_text = read_file(config).value();
  source.module_file = module.string();
  const vflow::CheckReport report = vflow::check_policy(source, model);
  EXPECT_TRUE(report.policy.has_value()) << module << "\n" << vflow::render(report.diagnostics);
  return report.policy.value_or(vflow::Policy{});
}

inline vflow::ModelGeometry model_of(const std::filesystem::path& module) {
  const bool mla = read_file(module).value().find("(vFlowMLA)") != std::string::npos;
  vflow::ModelGeometry model;
  model.layers = 4;
  model.num_q_heads = 8;
  model.num_kv_heads = mla ? 1 : 4;
  model.head_dim = 64;
  model.max_context = 4608;
  model.kv_lora_rank = mla ? 512 : 0;
  model.rope_dim = mla ? 64 : 0;
  return model;
}

inline const std::filesystem::path kSource = VORTEX_SOURCE_DIR;

inline std::vector<std::filesystem::path> module_files() {
  std::vector<std::filesystem::path> files;
  for (const char* folder : {"examples/policies", "tests/cases/check/modules", "tests/bench/policies"}) {
    for (const auto& entry : std::filesystem::directory_iterator(kSource / folder)) {
      if (entry.path().extension() == ".py") { files.push_back(entry.path()); }
    }
  }
  std::sort(files.begin(), files.end());
  return files;
}

}  // namespace vortex::compile
