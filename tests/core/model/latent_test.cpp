// Configurations and tensors of models with latent attention and experts.
#include <gtest/gtest.h>

#include "base/files.h"
#include "core/model/fp8_scales.h"
#include "core/model/model.h"
#include "core/model/weights.h"
#include "tests/core/model/checkpoint.h"

namespace vortex::model {
namespace {

using nlohmann::json;

// GLM-4.7-Flash's config.json, made small.
json glm_config() {
  return json::parse(R"({
    "architectures": ["Glm4MoeLiteForCausalLM"], "hidden_size": 36, "num_hidden_layers": 3, "num_attention_heads": 5,
    "num_key_value_heads": 5, "head_dim": 4, "q_lora_rank": 12, "kv_lora_rank": 16, "qk_nope_head_dim": 8,
    "qk_rope_head_dim": 4, "v_head_dim": 6, "intermediate_size": 40, "moe_intermediate_size": 10,
    "n_routed_experts": 8, "num_experts_per_tok": 2, "n_shared_experts": 1, "first_k_dense_replace": 1, "n_group": 1,
    "topk_group": 1, "topk_method": "noaux_tc", "norm_topk_prob": true, "routed_scaling_factor": 1.8,
    "num_nextn_predict_layers": 1, "vocab_size": 20, "max_position_embeddings": 4096, "rms_norm_eps": 1e-5,
    "rope_theta": 1000000, "hidden_act": "silu", "tie_word_embeddings": false, "attention_bias": false,
    "eos_token_id": [1, 2]})");
}

Result<ModelConfig> read(const json& config) {
  const testing::TempFolder folder;
  testing::write_text(folder.path() / "config.json", config.dump());
  return read_model_config(folder.path());
}

TEST(LatentConfig, ReadsWhatIsSaidAndWhatTheFamilyMeans) {
  const ModelConfig config = read(glm_config()).value();
  ASSERT_TRUE(config.latent && config.experts);
  EXPECT_EQ(config.num_kv_heads, 1);
  EXPECT_EQ(config.head_dim, 20);
  EXPECT_EQ(config.rotary_dim(), 4);
  EXPECT_EQ(config.cached_values(), 20);
  EXPECT_EQ(config.latent->q_rank, 12);
  EXPECT_EQ(config.latent->value_dim, 6);
  EXPECT_TRUE(config.latent->interleaved) << "where nothing is said";
  EXPECT_EQ(config.latent->norm_eps, 1e-5) << "what the configuration says of norms";
  EXPECT_EQ(config.experts->score, ExpertScore::kSigmoid) << "of the family, where nothing is said";
  EXPECT_EQ(config.experts->layers, (std::vector<bool>{false, true, true}));
  EXPECT_EQ(config.experts->shared_inner, 10);
  EXPECT_EQ(config.experts->group_score, GroupScore::kNone);
  EXPECT_DOUBLE_EQ(softmax_scale(config), 1 / std::sqrt(12.0)) << "of a query, not of the latent";
  const vflow::ModelGeometry geometry = geometry_of(config, 640, 0);
  EXPECT_EQ(geometry.kv_lora_rank, 16);
  EXPECT_EQ(geometry.rope_dim, 4);
  EXPECT_EQ(geometry.num_q_heads, 5);
}

TEST(LatentConfig, OlderAndNewerSpellings) {
  json config = glm_config();
  config.erase("rope_theta");
  config.erase("first_k_dense_replace");
  config.erase("head_dim");
  config.erase("routed_scaling_factor");
  config["rope_parameters"] = {{"rope_type", "default"}, {"rope_theta", 5e5}, {"partial_rotary_factor", 1.0}};
  config["mlp_layer_types"] = {"sparse", "dense", "sparse"};
  config["latent_norm_eps"] = 1e-6;
  config["scoring_func"] = "softmax";
  const ModelConfig read_config = read(config).value();
  EXPECT_EQ(read_config.rope_theta, 5e5);
  EXPECT_EQ(read_config.experts->layers, (std::vector<bool>{true, false, true}));
  EXPECT_EQ(read_config.experts->score, ExpertScore::kSoftmax);
  EXPECT_EQ(read_config.experts->scale, 1.8);
  EXPECT_EQ(read_config.latent->norm_eps, 1e-6);
  EXPECT_EQ(read_config.rms_norm_eps, 1e-5);
}

TEST(LatentConfig, FamiliesDiffer) {
  json config = glm_config();
  for (const char* key : {"topk_method", "norm_topk_prob", "routed_scaling_factor", "first_k_dense_replace"}) {
    config.erase(key);
  }
  config["architectures"] = {"DeepseekV2ForCausalLM"};
  config["q_lora_rank"] = nullptr;
  config["n_shared_experts"] = 2;
  const ModelConfig v2 = read(config).value();
  EXPECT_EQ(v2.latent->q_rank, 0);
  EXPECT_EQ(v2.experts->score, ExpertScore::kSoftmax);
  EXPECT_FALSE(v2.experts->bias);
  EXPECT_FALSE(v2.experts->normalised);
  EXPECT_EQ(v2.experts->scale, 1.0);
  EXPECT_EQ(v2.experts->shared_inner, 20);
  EXPECT_EQ(v2.experts->layers, (std::vector<bool>{true, true, true}));
  config["n_group"] = 4;
  config["topk_group"] = 2;
  EXPECT_EQ(read(config)->experts->groups, 1) << "greedy knows no groups";
  config["topk_method"] = "group_limited_greedy";
  EXPECT_EQ(read(config)->experts->group_score, GroupScore::kBest);
  EXPECT_EQ(read(config)->experts->kept_groups, 2);
  config["architectures"] = {"DeepseekV3ForCausalLM"};
  config["topk_method"] = "noaux_tc";
  const ModelConfig v3 = read(config).value();
  EXPECT_EQ(v3.experts->group_score, GroupScore::kBestTwo);
  EXPECT_TRUE(v3.experts->bias && v3.experts->normalised);
  EXPECT_EQ(v3.experts->layers, (std::vector<bool>{false, false, false})) << "the first three are dense";
  config["n_routed_experts"] = nullptr;
  EXPECT_FALSE(read(config)->experts);
}

// DeepSeek-V2-Lite's scaling: the cosines keep their size, the softmax gets warmer.
TEST(LatentConfig, TemperatureOfYarn) {
  json config = glm_config();
  config["qk_nope_head_dim"] = 128;
  config["qk_rope_head_dim"] = 64;
  config["rope_scaling"] = {{"type", "yarn"},
                            {"factor", 40},
                            {"mscale", 0.707},
                            {"mscale_all_dim", 0.707},
                            {"original_max_position_embeddings", 4096}};
  const ModelConfig both = read(config).value();
  EXPECT_EQ(rotary_magnitude(both), 1.0);
  EXPECT_NEAR(softmax_scale(both) * std::sqrt(192.0), 1.5896, 1e-4);
  config["rope_scaling"].erase("mscale_all_dim");
  const ModelConfig one = read(config).value();
  EXPECT_NEAR(rotary_magnitude(one), 0.1 * std::log(40.0) + 1, 1e-12);
  EXPECT_DOUBLE_EQ(softmax_scale(one), 1 / std::sqrt(192.0));
  config["rope_scaling"]["attention_factor"] = 1.25;
  EXPECT_EQ(rotary_magnitude(read(config).value()), 1.25);
}

// Qwen3 with the scaling that its model card recommends for 131,072 tokens, worked out by hand: with theta = 1e6 and
// head_dim 128 the pair that turns 32 times within 32,768 tokens has index 23.6, the one that turns once 39.65.
TEST(LatentConfig, YarnOfGroupedQueryModels) {
  json config = testing::config_of({});
  config["head_dim"] = 128;
  config["rope_theta"] = 1e6;
  const std::vector<double> plain = rotary_frequencies(read(config).value());
  config["rope_scaling"] = {{"rope_type", "yarn"}, {"factor", 4.0}, {"original_max_position_embeddings", 32768}};
  const ModelConfig stretched = read(config).value();
  const std::vector<double> frequencies = rotary_frequencies(stretched);
  ASSERT_EQ(frequencies.size(), 64U);
  for (size_t i = 0; i < 64; ++i) {
    const double ramp = std::clamp((static_cast<double>(i) - 23) / (40 - 23), 0.0, 1.0);
    EXPECT_NEAR(frequencies[i] / plain[i], 1 - ramp + ramp / 4, 1e-12) << i;
  }
  EXPECT_NEAR(rotary_magnitude(stretched), 0.1 * std::log(4.0) + 1, 1e-12);
  EXPECT_DOUBLE_EQ(softmax_scale(stretched), 1 / std::sqrt(128.0));
  config["rope_scaling"]["truncate"] = false;
  const std::vector<double> unrounded = rotary_frequencies(read(config).value());
  EXPECT_NE(unrounded[30], frequencies[30]);
  EXPECT_EQ(unrounded[10], frequencies[10]);
}

TEST(LatentConfig, Refuses) {
  const std::string text =
      read_file(std::string(VORTEX_SOURCE_DIR) + "/tests/cases/model/latent_refusals.json").value();
  for (const auto& test : json::parse(text)) {
    SCOPED_TRACE(test["name"].get<std::string>());
    json config = glm_config();
    config.merge_patch(test["patch"]);
    const auto refused = read(config);
    ASSERT_FALSE(refused.ok());
    EXPECT_EQ(refused.error().blame, Blame::kCandidate);
    EXPECT_NE(refused.error().message.find(test["error"].get<std::string>()), std::string::npos)
        << refused.error().message;
  }
}

TEST(LatentConfig, ABackendWithAListOfHeadSizesTakesLatentsOfAnySize) {
  vflow::BackendLimits backend;
  const ModelConfig config = read(glm_config()).value();
  EXPECT_TRUE(check_covered(config, backend).ok());
  backend.name = "CUDA";
  backend.head_dims = {64, 128};
  EXPECT_TRUE(check_covered(config, backend).ok());
}

// MiniMax-M2's config.json, made small: what is particular comes after what all grouped-query models have.
json minimax_config() {
  json config = testing::config_of({});
  config.merge_patch(json::parse(R"({
    "architectures": ["MiniMaxM2ForCausalLM"], "rotary_dim": 8, "num_local_experts": 4, "num_experts_per_tok": 2,
    "use_qk_norm": true, "qk_norm_type": "per_layer", "use_routing_bias": true, "scoring_func": "sigmoid",
    "attn_type_list": [1, 1], "shared_intermediate_size": 0, "num_mtp_modules": 3, "tie_word_embeddings": false,
    "quantization_config": {"quant_method": "fp8", "fmt": "float8_e4m3fn", "activation_scheme": "dynamic",
                            "weight_block_size": [32, 16], "modules_to_not_convert": ["gate"]}})"));
  return config;
}

TEST(GroupedExperts, ReadsWhatMinimaxSays) {
  json said = minimax_config();
  const ModelConfig config = read(said).value();
  EXPECT_EQ(config.rotary_dim(), 8);
  EXPECT_EQ(rotary_frequencies(config).size(), 4U);
  EXPECT_EQ(config.qk_norm, QkNorm::kAllHeads);
  ASSERT_TRUE(config.experts);
  EXPECT_EQ(config.experts->inner, config.intermediate_size);
  EXPECT_TRUE(config.experts->bias && config.experts->normalised);
  EXPECT_EQ(config.experts->layers, (std::vector<bool>{true, true}));
  EXPECT_EQ(config.scale_block.rows, 32);
  EXPECT_EQ(config.scale_block.cols, 16);
  said.erase("rotary_dim");
  EXPECT_EQ(read(said)->rotary_dim(), 16) << "all of a head, where nothing is said";
  said["rope_parameters"] = {{"rope_type", "default"}, {"rope_theta", 5e6}, {"partial_rotary_factor", 0.25}};
  EXPECT_EQ(read(said)->rotary_dim(), 4) << "as transformers 5 has it";
}

TEST(GroupedExperts, ABackendWithKernelsForTheHeadsTakesThem) {
  vflow::BackendLimits backend;
  backend.name = "CUDA";
  backend.head_dims = {16};
  ModelConfig config = read(minimax_config()).value();
  EXPECT_TRUE(check_covered(config, backend).ok());
  backend.head_dims = {64, 128};
  EXPECT_FALSE(check_covered(config, backend).ok());
}

// A matrix of 3x4 in blocks of 2x3: four scales.
TEST(Fp8Scales, EachBlockHasItsOwn) {
  const uint8_t bits[] = {0x38, 0x40, 0xb8, 0x30, 0x38, 0x38, 0x38, 0x38, 0x38, 0x38, 0x38, 0x7e};
  const float of_blocks[] = {2.0F, 10.0F, 0.5F, 0.25F};
  const Tensor scales{reinterpret_cast<const char*>(of_blocks), vflow::Dtype::kFp32, {2, 2}};
  std::map<std::string, Tensor> tensors;
  tensors["w.weight"] = {reinterpret_cast<const char*>(bits), vflow::Dtype::kFp8E4m3, {3, 4}};
  tensors["w.weight_scale_inv"] = scales;
  ASSERT_TRUE(attach_scales({2, 3}, tensors).ok());
  const auto row = [&](int64_t i) {
    std::vector<float> values(4);
    read_row(tensors["w.weight"], i, values.data());
    return values;
  };
  EXPECT_EQ(row(0), (std::vector<float>{2, 4, -2, 5}));
  EXPECT_EQ(row(1), (std::vector<float>{2, 2, 2, 10}));
  EXPECT_EQ(row(2), (std::vector<float>{0.5, 0.5, 0.5, 112})) << "448, the largest number, by a quarter";
}

TEST(Fp8Scales, AScaleThatIsNoNumberIsRefused) {
  const uint8_t bits[] = {0x38, 0x40};
  for (const float bad : {std::nanf(""), HUGE_VALF}) {
    std::map<std::string, Tensor> tensors;
    tensors["w.weight"] = {reinterpret_cast<const char*>(bits), vflow::Dtype::kFp8E4m3, {1, 2}};
    tensors["w.weight_scale_inv"] = {reinterpret_cast<const char*>(&bad), vflow::Dtype::kFp32, {1, 1}};
    const Status refused = attach_scales({2, 2}, tensors);
    ASSERT_FALSE(refused.ok());
    EXPECT_NE(refused.error().message.find("w.weight_scale_inv has a scale that is no finite number"),
              std::string::npos);
  }
}

TEST(Fp8Scales, WhatIsMissingOrMisshapenIsNamed) {
  const auto error_of = [](const ScaleBlock& block, std::vector<int64_t> shape, std::vector<int64_t> scales) {
    std::map<std::string, Tensor> tensors;
    tensors["w.weight"] = {nullptr, vflow::Dtype::kFp8E4m3, std::move(shape)};
    if (!scales.empty()) { tensors["w.weight_scale_inv"] = {nullptr, vflow::Dtype::kFp32, std::move(scales)}; }
    const Status refused = attach_scales(block, tensors);
    EXPECT_FALSE(refused.ok());
    EXPECT_EQ(refused.error().blame, Blame::kCandidate);
    return refused.error().message;
  };
  EXPECT_NE(error_of({}, {4, 4}, {1, 1}).find("has no quantization_config"), std::string::npos);
  EXPECT_NE(error_of({2, 2}, {4, 4}, {}).find("lacks its scales, w.weight_scale_inv"), std::string::npos);
  EXPECT_NE(error_of({2, 2}, {4}, {2}).find("lacks its scales"), std::string::npos) << "a vector";
  EXPECT_NE(error_of({2, 2}, {5, 4}, {2, 2}).find("block of 2x2 of w.weight, which are 3x2"), std::string::npos);
}

// Every tensor is asked for by name and shape; a further layer and its odd tensors are left alone.
TEST(LatentWeights, NamesMissingAndMisshapenTensors) {
  const json config = glm_config();
  testing::TensorMap tensors;
  Rng rng(1);
  const auto add = [&](const std::string& name, std::vector<int64_t> shape) {
    tensors[name] = testing::random_tensor(std::move(shape), rng, 1.0);
  };
  const auto add_mlp = [&](const std::string& at, int64_t inner) {
    add(at + "gate_proj.weight", {inner, 36});
    add(at + "up_proj.weight", {inner, 36});
    add(at + "down_proj.weight", {36, inner});
  };
  add("model.embed_tokens.weight", {20, 36});
  add("lm_head.weight", {20, 36});
  add("model.norm.weight", {36});
  for (int layer = 0; layer < 3; ++layer) {
    const std::string at = "model.layers." + std::to_string(layer) + ".";
    add(at + "input_layernorm.weight", {36});
    add(at + "post_attention_layernorm.weight", {36});
    add(at + "self_attn.q_a_proj.weight", {12, 36});
    add(at + "self_attn.q_a_layernorm.weight", {12});
    add(at + "self_attn.q_b_proj.weight", {60, 12});
    add(at + "self_attn.kv_a_proj_with_mqa.weight", {20, 36});
    add(at + "self_attn.kv_a_layernorm.weight", {16});
    add(at + "self_attn.kv_b_proj.weight", {70, 16});
    add(at + "self_attn.o_proj.weight", {36, 30});
    if (layer == 0) {
      add_mlp(at + "mlp.", 40);
      continue;
    }
    add(at + "mlp.gate.weight", {8, 36});
    add(at + "mlp.gate.e_score_correction_bias", {8});
    for (int expert = 0; expert < 8; ++expert) { add_mlp(at + "mlp.experts." + std::to_string(expert) + ".", 10); }
    add_mlp(at + "mlp.shared_experts.", 10);
  }
  const testing::TempFolder folder;
  testing::write_text(folder.path() / "config.json", config.dump());
  const auto load = [&](const testing::TensorMap& map) {
    testing::write_text(folder.path() / "model.safetensors", testing::safetensors_bytes(map));
    return load_model(folder.path());
  };
  testing::TensorMap further = tensors;
  further["model.layers.3.eh_proj.weight"] = testing::random_tensor({3, 5}, rng, 1.0);
  further["model.layers.3.self_attn.q_a_proj.weight"] = testing::random_tensor({1, 2}, rng, 1.0);
  const auto model = load(further);
  ASSERT_TRUE(model.ok()) << model.error().message;
  ASSERT_EQ(model->weights->layers.size(), 3U);
  EXPECT_TRUE(model->weights->layers[0].experts.empty());
  EXPECT_EQ(model->weights->layers[2].experts.size(), 8U);
  EXPECT_EQ(rows_of(model->weights->layers[2].mlp.gate), 10);
  for (const auto& [name, tensor] : tensors) {
    if (name.find(".layers.1.") != std::string::npos && name.find("experts.3") == std::string::npos) { continue; }
    SCOPED_TRACE(name);
    testing::TensorMap damaged = tensors;
    damaged.erase(name);
    const auto missing = load(damaged);
    ASSERT_FALSE(missing.ok());
    EXPECT_NE(missing.error().message.find("lacks the tensor " + name), std::string::npos);
    damaged[name] = {{1, static_cast<int64_t>(tensor.values.size())}, tensor.values};
    const auto misshapen = load(damaged);
    ASSERT_FALSE(misshapen.ok());
    EXPECT_NE(misshapen.error().message.find("tensor " + name + " has shape [1, "), std::string::npos);
  }
}

}  // namespace
}  // namespace vortex::model
