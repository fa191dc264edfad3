// Engines and requests shared by the tests of the CUDA engine.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/files.h"
#include "base/rng.h"
#include "core/engine/cuda/cuda_engine.h"
#include "core/engine/engine.h"
#include "core/model/model.h"
#include "core/vflow/policy.h"
#include "tests/core/engine/support.h"

namespace vortex::engine {

using vortex::testing::example_policy;

inline const std::string kChainModel = std::string(VORTEX_SOURCE_DIR) + "/models/chain-4m";

class CudaEngineTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto device = find_cuda_device();
    if (!device.ok()) { GTEST_SKIP() << device.error().message; }
  }
};

inline EngineOptions options_of(int max_batch, int max_context, int64_t kv_memory_bytes = 0) {
  EngineOptions options;
  options.max_batch = max_batch;
  options.max_context = max_context;
  options.kv_memory_bytes = kv_memory_bytes;
  return options;
}

inline std::unique_ptr<Engine> chain_engine(const EngineOptions& options, const CudaOptions& cuda = {}) {
  auto engine = make_cuda_engine(model::load_model(kChainModel).value(), options, cuda);
  EXPECT_TRUE(engine.ok()) << (engine.ok() ? "" : engine.error().message);
  return engine.ok() ? std::move(*engine) : nullptr;
}

inline std::unique_ptr<Engine> chain_engine_on_cpu(const EngineOptions& options) {
  return make_cpu_engine(model::load_model(kChainModel).value(), options).value();
}

// An example policy for the shipped model, some of its configuration changed.
inline vflow::Policy load_policy(const std::string& name, const nlohmann::json& changes, int max_context) {
  return vortex::testing::example_policy(name, model::read_model_config(kChainModel).value(), changes, max_context);
}

// `pages` middle pages in every layer but the dense ones.
inline nlohmann::json budget(int pages, const nlohmann::json& dense_layers = nlohmann::json::array()) {
  return {{"vortex_topk_val", pages},       {"vortex_topk_ratio", 0.0},       {"vortex_block_size", 16},
          {"vortex_block_reserved_bos", 1}, {"vortex_block_reserved_eos", 2}, {"vortex_layers_skip", dense_layers}};
}

inline std::vector<int32_t> random_tokens(int count, uint64_t seed) {
  Rng rng(stream_key(seed));
  std::vector<int32_t> tokens;
  for (int i = 0; i < count; ++i) { tokens.push_back(rng.between(16, 1023)); }
  return tokens;
}

inline std::vector<std::vector<int32_t>> tokens_of(Engine& engine, const std::vector<Request>& requests,
                                                   RunStats* stats = nullptr) {
  const auto outputs = engine.generate(requests, stats);
  EXPECT_TRUE(outputs.ok()) << (outputs.ok() ? "" : outputs.error().message);
  std::vector<std::vector<int32_t>> tokens;
  if (!outputs.ok()) { return tokens; }
  for (const Output& output : *outputs) { tokens.push_back(output.tokens); }
  return tokens;
}

// Greedy and sampled requests of mixed lengths, some of which may end at a stop token.
inline std::vector<Request> mixed_requests(int count, int longest) {
  std::vector<Request> requests;
  for (int i = 0; i < count; ++i) {
    Request request;
    request.prompt = random_tokens(1 + (i * 97) % longest, static_cast<uint64_t>(i));
    request.seed = static_cast<uint64_t>(100 + i);
    request.max_new_tokens = 10 + 17 * (i % 4);
    request.ignore_eos = i % 3 != 0;
    if (i % 2 == 1) { request.sampling = {1.0, i % 4 == 1 ? 0.9 : 1.0, i % 4 == 3 ? 20 : 0}; }
    requests.push_back(request);
  }
  return requests;
}

}  // namespace vortex::engine
