// What a backend does not cover is found when a policy is checked.
#include "core/compile/limits.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/files.h"
#include "core/compile/cuda/device/params.h"

namespace vortex::compile {
namespace {

const std::string kPolicy = std::string(VORTEX_SOURCE_DIR) + "/examples/policies/block_topk";

vflow::ModelGeometry model_of(int group, int head_dim, const vflow::BackendLimits& backend) {
  vflow::ModelGeometry model;
  model.layers = 4;
  model.num_kv_heads = 2;
  model.num_q_heads = 2 * group;
  model.head_dim = head_dim;
  model.max_context = 4608;
  model.backend = backend;
  return model;
}

// The codes of the errors.
std::vector<std::string> errors(const vflow::ModelGeometry& model, const nlohmann::json& changes = {},
                                const std::string& module = read_file(kPolicy + ".py").value()) {
  nlohmann::json config = nlohmann::json::parse(read_file(kPolicy + ".json").value());
  if (!changes.is_null()) { config.merge_patch(changes); }
  std::vector<std::string> codes;
  for (const vflow::Diagnostic& d : vflow::check_policy({module, config.dump()}, model).diagnostics) {
    if (d.severity == vflow::Severity::kError) { codes.push_back(d.code); }
  }
  return codes;
}

using Codes = std::vector<std::string>;

TEST(Limits, EveryGroupIsCovered) {
  for (int group = 1; group <= 16; ++group) {
    for (const int dim : {64, 128}) { EXPECT_EQ(errors(model_of(group, dim, cuda_limits())), Codes{}) << group; }
  }
}

TEST(Limits, CudaSaysWhatItLacks) {
  const vflow::BackendLimits cuda = cuda_limits();
  EXPECT_EQ(errors(model_of(2, 96, cuda)), Codes{"backend-head-dim"});
  EXPECT_EQ(errors(model_of(2, 96, {})), Codes{}) << "nobody asked about a backend";
  EXPECT_EQ(errors(model_of(2, 64, cuda), {{"vortex_block_size", 8}}), Codes{"backend-block-size"});
  EXPECT_EQ(errors(model_of(2, 64, {}), {{"vortex_block_size", 8}}), Codes{});
  for (const char* kv : {"auto", "bfloat16", "float32", "fp8_e4m3", "fp8_e5m2"}) {
    EXPECT_EQ(errors(model_of(3, 64, cuda), {{"kv_cache_dtype", kv}}), Codes{}) << kv;
  }
}

TEST(Limits, TheCpuTakesBfloat16Alone) {
  EXPECT_EQ(errors(model_of(3, 96, cpu_limits())), Codes{});
  for (const char* kv : {"float32", "fp8_e4m3", "fp8_e5m2"}) {
    EXPECT_EQ(errors(model_of(3, 64, cpu_limits()), {{"kv_cache_dtype", kv}}), Codes{"backend-kv-dtype"}) << kv;
  }
}

TEST(Limits, LatentsOfAnySizeInBfloat16Alone) {
  const std::string module = read_file(std::string(VORTEX_SOURCE_DIR) + "/examples/policies/mla/rope_aware.py").value();
  for (const vflow::BackendLimits& backend : {cuda_limits(), cpu_limits()}) {
    vflow::ModelGeometry model = model_of(2, 288, backend);
    model.num_kv_heads = 1;
    model.kv_lora_rank = 256;
    model.rope_dim = 32;
    const nlohmann::json named = {{"vortex_module_name", "rope_aware"}};
    EXPECT_EQ(errors(model, named, module), Codes{});
    for (const char* kv : {"float32", "fp8_e4m3"}) {
      nlohmann::json changed = named;
      changed["kv_cache_dtype"] = kv;
      EXPECT_EQ(errors(model, changed, module), Codes{"backend-kv-dtype"}) << kv;
    }
  }
}

// block_topk with more fields than a kernel's parameters hold.
TEST(Limits, CudaCountsFields) {
  std::string module = read_file(kPolicy + ".py").value();
  const auto insert = [&](const std::string& before, const std::string& text) {
    const size_t at = module.find(before);
    ASSERT_NE(at, std::string::npos) << before;
    module.insert(at, text);
  };
  std::string fields;
  std::string members;
  std::string stores;
  for (int i = 0; i + 3 <= device::kMaxFields; ++i) {
    const std::string number = std::to_string(i);
    fields += "\"extra" + number + "\": (1, head_dim), ";
    members += "self.more" + number + " = CMean(dim=1)\n        ";
    stores += "self.more" + number + "(cache[\"k\"], cache[\"extra" + number + "\"], loc=loc, ctx=ctx)\n        ";
  }
  insert("\"centroid\": (1", fields);
  insert("self.centroid = ", members);
  insert("self.centroid(cache", stores);
  const Codes found = errors(model_of(2, 64, cuda_limits()), {}, module);
  EXPECT_NE(std::find(found.begin(), found.end(), "backend-fields"), found.end());
  const Codes without = errors(model_of(2, 64, {}), {}, module);
  EXPECT_EQ(std::find(without.begin(), without.end(), "backend-fields"), without.end());
}

}  // namespace
}  // namespace vortex::compile
