#include "core/model/model.h"

#include <gtest/gtest.h>

#include "base/files.h"
#include "core/model/safetensors.h"
#include "core/model/weights.h"
#include "tests/core/model/checkpoint.h"

namespace vortex::model {
namespace {

using testing::TempFolder;
using testing::TensorMap;
using testing::TinyModel;

nlohmann::json cases(const std::string& name) {
  return nlohmann::json::parse(read_file(std::string(VORTEX_SOURCE_DIR) + "/tests/cases/model/" + name).value());
}

std::vector<float> values_of(const Tensor& tensor) {
  std::vector<float> values(static_cast<size_t>(rows_of(tensor) * cols_of(tensor)));
  for (int64_t row = 0; row < rows_of(tensor); ++row) {
    read_row(tensor, row, &values[static_cast<size_t>(row * cols_of(tensor))]);
  }
  return values;
}

void expect_loads(const std::filesystem::path& folder, const TensorMap& tensors) {
  const auto model = load_model(folder);
  ASSERT_TRUE(model.ok()) << model.error().message;
  const Weights& weights = *model->weights;
  EXPECT_EQ(values_of(weights.embedding), tensors.at("model.embed_tokens.weight").values);
  EXPECT_EQ(values_of(weights.final_norm), tensors.at("model.norm.weight").values);
  const bool tied = tensors.count("lm_head.weight") == 0;
  EXPECT_EQ(values_of(weights.head), tensors.at(tied ? "model.embed_tokens.weight" : "lm_head.weight").values);
  ASSERT_EQ(weights.layers.size(), 2U);
  EXPECT_EQ(values_of(weights.layers[1].mlp.down), tensors.at("model.layers.1.mlp.down_proj.weight").values);
  EXPECT_EQ(values_of(weights.layers[0].k_norm), tensors.at("model.layers.0.self_attn.k_norm.weight").values);
}

TEST(Model, ReadsConfig) {
  TempFolder folder;
  auto config = testing::config_of({});
  config["rope_parameters"] = {{"rope_type", "default"}, {"rope_theta", 5e5}};
  config["eos_token_id"] = {3, 4};
  testing::write_text(folder.path() / "config.json", config.dump());
  const auto read = read_model_config(folder.path());
  ASSERT_TRUE(read.ok()) << read.error().message;
  EXPECT_EQ(read->head_dim, 16);
  EXPECT_EQ(read->num_kv_heads, 2);
  EXPECT_EQ(read->rope_theta, 5e5);
  EXPECT_EQ(read->qk_norm, QkNorm::kEachHead);
  EXPECT_EQ(read->eos_token_ids, (std::vector<int>{3, 4}));
  const vflow::ModelGeometry geometry = geometry_of(*read, 640, 1000);
  EXPECT_EQ(geometry.layers, 2);
  EXPECT_EQ(geometry.num_q_heads, 4);
  EXPECT_EQ(geometry.max_context, 640);
  EXPECT_EQ(geometry.kv_memory_bytes, 1000);
}

TEST(Model, ReadsConfigsOfEveryArchitecture) {
  for (const char* architecture : {"LlamaForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM"}) {
    SCOPED_TRACE(architecture);
    TempFolder folder;
    auto config = testing::config_of({.architecture = architecture});
    config.erase("head_dim");
    config["layer_types"] = {"full_attention", "full_attention"};
    config["sliding_window"] = nullptr;
    testing::write_text(folder.path() / "config.json", config.dump());
    const auto read = read_model_config(folder.path());
    ASSERT_TRUE(read.ok()) << read.error().message;
    EXPECT_EQ(read->head_dim, 12) << "hidden_size / num_attention_heads";
    EXPECT_EQ(read->qk_norm == QkNorm::kEachHead, read->architecture == "Qwen3ForCausalLM");
    EXPECT_EQ(read->qkv_bias, read->architecture == "Qwen2ForCausalLM");
    EXPECT_FALSE(read->rope_scaling);
  }
}

// The frequencies of Llama 3.1 8B, worked out by hand at the ends and in the middle of the blend.
TEST(Model, StretchesRotaryFrequencies) {
  ModelConfig config;
  config.head_dim = 128;
  config.rope_theta = 500000.0;
  const std::vector<double> plain = rotary_frequencies(config);
  ASSERT_EQ(plain.size(), 64U);
  EXPECT_EQ(plain[0], 1.0);
  EXPECT_NEAR(plain[32], 1 / std::sqrt(500000.0), 1e-15);
  config.rope_scaling = RopeScaling{8.0, 1.0, 4.0, 8192};
  const std::vector<double> stretched = rotary_frequencies(config);
  for (size_t i = 0; i < plain.size(); ++i) {
    const double wavelength = 2 * M_PI / plain[i];
    EXPECT_GE(stretched[i], plain[i] / 8) << i;
    EXPECT_LE(stretched[i], plain[i]) << i;
    EXPECT_EQ(stretched[i] == plain[i], wavelength < 2048) << i;
    EXPECT_EQ(stretched[i] == plain[i] / 8, wavelength > 8192) << i;
  }
  // Wavelength 2 pi * 500000^(30/64) = 2948.1: 8192 / 2948.1 = 2.7787 turns, so 0.5929 of the frequency is kept whole.
  EXPECT_NEAR(stretched[30] / plain[30], 0.5929 + (1 - 0.5929) / 8, 1e-4);
}

TEST(Model, StopTokensAreThoseOfAllFiles) {
  TempFolder folder;
  testing::write_text(folder.path() / "config.json", testing::config_of({}).dump());
  testing::write_text(folder.path() / "generation_config.json", R"({"eos_token_id": [7, 1], "do_sample": true})");
  EXPECT_EQ(read_model_config(folder.path())->eos_token_ids, (std::vector<int>{7, 1}));
  testing::write_text(folder.path() / "generation_config.json", R"({"do_sample": true})");
  EXPECT_EQ(read_model_config(folder.path())->eos_token_ids, std::vector<int>{1});
  testing::write_text(folder.path() / "generation_config.json", R"({"eos_token_id": 50})");
  const auto outside = read_model_config(folder.path());
  ASSERT_FALSE(outside.ok());
  EXPECT_NE(
      outside.error().message.find("generation_config.json: eos_token_id 50 is not in the vocabulary of 50 tokens"),
      std::string::npos);
  testing::write_text(folder.path() / "generation_config.json", R"({"eos_token_id": 7})");
  testing::write_text(folder.path() / "chat_template.jinja",
                      "{% for m in messages %}{{ m.content }}<|end|>{% endfor %}");
  for (const auto& [id, expected] : {std::pair{9, std::vector<int>{7, 1, 9}}, {7, {7, 1}}, {50, {7, 1}}}) {
    testing::write_text(
        folder.path() / "tokenizer_config.json",
        nlohmann::json({{"added_tokens_decoder", {{std::to_string(id), {{"content", "<|end|>"}, {"special", true}}}}}})
            .dump());
    EXPECT_EQ(read_model_config(folder.path())->eos_token_ids, expected);
  }
}

TEST(Model, NullIsAbsent) {
  const char* kOptional[] = {"head_dim",        "num_key_value_heads", "rope_theta",          "rope_scaling",
                             "rope_parameters", "rms_norm_eps",        "tie_word_embeddings", "partial_rotary_factor",
                             "hidden_act",      "layer_types",         "quantization_config", "eos_token_id",
                             "sliding_window",  "use_sliding_window",  "attention_bias",      "mlp_bias"};
  for (const char* architecture : {"Qwen3ForCausalLM", "Qwen2ForCausalLM", "LlamaForCausalLM"}) {
    for (const char* key : kOptional) {
      SCOPED_TRACE(std::string(architecture) + " " + key);
      TempFolder folder;
      auto config = testing::config_of({});
      config["architectures"] = {architecture};
      config.erase(key);
      testing::write_text(folder.path() / "config.json", config.dump());
      const auto absent = read_model_config(folder.path());
      config[key] = nullptr;
      testing::write_text(folder.path() / "config.json", config.dump());
      const auto null = read_model_config(folder.path());
      ASSERT_TRUE(absent.ok()) << absent.error().message;
      ASSERT_TRUE(null.ok()) << null.error().message;
      EXPECT_EQ(null->head_dim, absent->head_dim);
      EXPECT_EQ(null->num_kv_heads, absent->num_kv_heads);
      EXPECT_EQ(null->rope_theta, absent->rope_theta);
      EXPECT_EQ(null->rms_norm_eps, absent->rms_norm_eps);
      EXPECT_EQ(null->tie_word_embeddings, absent->tie_word_embeddings);
      EXPECT_EQ(null->eos_token_ids, absent->eos_token_ids);
    }
  }
}

TEST(Model, ReadsRotarySettingsByLayerType) {
  TempFolder folder;
  auto config = testing::config_of({});
  config.erase("rope_theta");
  config["rope_parameters"] = {{"full_attention", {{"rope_type", "default"}, {"rope_theta", 1e6}}},
                               {"sliding_attention", {{"rope_type", "default"}, {"rope_theta", 1e4}}}};
  testing::write_text(folder.path() / "config.json", config.dump());
  const auto read = read_model_config(folder.path());
  ASSERT_TRUE(read.ok()) << read.error().message;
  EXPECT_EQ(read->rope_theta, 1e6);
}

TEST(Model, RefusesConfigs) {
  for (const auto& test : cases("config_refusals.json")) {
    SCOPED_TRACE(test["name"].get<std::string>());
    TempFolder folder;
    auto config = testing::config_of({});
    config.merge_patch(test["patch"]);
    testing::write_text(folder.path() / "config.json", config.dump());
    const auto read = read_model_config(folder.path());
    ASSERT_FALSE(read.ok());
    EXPECT_EQ(read.error().blame, Blame::kCandidate);
    EXPECT_NE(read.error().message.find(test["error"].get<std::string>()), std::string::npos) << read.error().message;
  }
}

TEST(Model, LoadsEveryElementType) {
  for (const char* dtype : {"BF16", "F16", "F32"}) {
    SCOPED_TRACE(dtype);
    TempFolder folder;
    TensorMap tensors = testing::tensors_of({});
    for (auto& [name, tensor] : tensors) {
      for (float& value : tensor.values) {
        value = std::round(value * 64) / 64;  // exact in all three
      }
    }
    testing::write_text(folder.path() / "config.json", testing::config_of({}).dump());
    testing::write_text(folder.path() / "model.safetensors", testing::safetensors_bytes(tensors, dtype));
    expect_loads(folder.path(), tensors);
  }
}

TEST(Model, WidensSpecialHalves) {
  const uint16_t halves[] = {0x0000, 0x8000, 0x3c00, 0xc000, 0x0001, 0x83ff, 0x7bff, 0x7c00, 0xfc00};
  const float expected[] = {0.0F, -0.0F, 1.0F, -2.0F, 0x1p-24F, -1023 * 0x1p-24F, 65504.0F, INFINITY, -INFINITY};
  const Tensor tensor{reinterpret_cast<const char*>(halves), vflow::Dtype::kFp16, {9}};
  const std::vector<float> values = values_of(tensor);
  for (size_t i = 0; i < 9; ++i) { EXPECT_EQ(values[i], expected[i]) << i; }
}

TEST(Model, LoadsUntiedHead) {
  TempFolder folder;
  TinyModel tiny;
  tiny.tied = false;
  testing::write_checkpoint(folder.path(), tiny);
  expect_loads(folder.path(), testing::tensors_of(tiny));
}

TEST(Model, LoadsShards) {
  TempFolder folder;
  const TensorMap tensors = testing::tensors_of({});
  TensorMap shards[2];
  nlohmann::json index;
  int count = 0;
  for (const auto& [name, tensor] : tensors) {
    shards[count % 2][name] = tensor;
    index["weight_map"][name] = "part-" + std::to_string(count++ % 2) + ".safetensors";
  }
  testing::write_text(folder.path() / "config.json", testing::config_of({}).dump());
  testing::write_text(folder.path() / "model.safetensors.index.json", index.dump());
  testing::write_text(folder.path() / "part-0.safetensors", testing::safetensors_bytes(shards[0]));
  EXPECT_FALSE(load_model(folder.path()).ok()) << "a shard is missing";
  testing::write_text(folder.path() / "part-1.safetensors", testing::safetensors_bytes(shards[1]));
  expect_loads(folder.path(), tensors);
  testing::write_text(folder.path() / "part-1.safetensors", testing::safetensors_bytes(tensors));
  const auto doubled = load_model(folder.path());
  ASSERT_FALSE(doubled.ok());
  EXPECT_NE(doubled.error().message.find("is in two shards"), std::string::npos);
  index["weight_map"]["model.norm.weight"] = "../elsewhere.safetensors";
  testing::write_text(folder.path() / "model.safetensors.index.json", index.dump());
  EXPECT_FALSE(load_model(folder.path()).ok()) << "a shard outside the folder";
}

// Files of weights as converters leave them.
TEST(Model, LoadsFoldersAsConvertersLeaveThem) {
  const TensorMap tensors = testing::tensors_of({});
  for (const nlohmann::json& metadata :
       {nlohmann::json::object(), nlohmann::json(nullptr), nlohmann::json({{"step", 7}, {"format", nullptr}})}) {
    TempFolder folder;
    testing::write_text(folder.path() / "config.json", testing::config_of({}).dump());
    testing::write_text(folder.path() / "model.safetensors", testing::safetensors_bytes(tensors, "BF16", metadata));
    expect_loads(folder.path(), tensors);
  }
  // An index that is older than the one file of all weights.
  TempFolder folder;
  auto config = testing::config_of({});
  config["time_step_limit"] = {0.0, "Infinity"};
  std::string text = config.dump();
  text.replace(text.find("\"Infinity\""), 10, "Infinity");
  testing::write_text(folder.path() / "config.json", "\xef\xbb\xbf" + text + "\r\n");
  testing::write_text(folder.path() / "model.safetensors.index.json",
                      R"({"metadata": {"total_size": 1}, "weight_map": {"a": "model-00001-of-00030.safetensors"}})");
  const auto alone = load_model(folder.path());
  ASSERT_FALSE(alone.ok());
  EXPECT_NE(alone.error().message.find("model-00001-of-00030.safetensors"), std::string::npos) << "the missing shard";
  testing::write_text(folder.path() / "model.safetensors", testing::safetensors_bytes(tensors));
  expect_loads(folder.path(), tensors);
}

// Its index names a tensor that the shard does not have.
TEST(Model, NamesATensorThatItsShardLacks) {
  TempFolder folder;
  TensorMap tensors = testing::tensors_of({});
  nlohmann::json index;
  for (const auto& [name, tensor] : tensors) { index["weight_map"][name] = "part.safetensors"; }
  tensors.erase("model.norm.weight");
  testing::write_text(folder.path() / "config.json", testing::config_of({}).dump());
  testing::write_text(folder.path() / "model.safetensors.index.json", index.dump());
  testing::write_text(folder.path() / "part.safetensors", testing::safetensors_bytes(tensors));
  const auto model = load_model(folder.path());
  ASSERT_FALSE(model.ok());
  EXPECT_NE(model.error().message.find("lacks the tensor model.norm.weight"), std::string::npos);
}

TEST(Model, HashChangesWithWeightsAndConfig) {
  TempFolder folder;
  testing::write_checkpoint(folder.path(), {});
  const std::string first = load_model(folder.path())->hash;
  EXPECT_EQ(load_model(folder.path())->hash, first);
  TinyModel other;
  other.seed = 2;
  testing::write_checkpoint(folder.path(), other);
  const std::string second = load_model(folder.path())->hash;
  EXPECT_NE(second, first);
  auto config = testing::config_of(other);
  config["rope_theta"] = 20000.0;
  testing::write_text(folder.path() / "config.json", config.dump());
  EXPECT_NE(load_model(folder.path())->hash, second);
}

void expect_names_bad_tensors(const TinyModel& tiny) {
  for (const auto& [name, tensor] : testing::tensors_of(tiny)) {
    SCOPED_TRACE(tiny.architecture + " " + name);
    TempFolder folder;
    testing::write_text(folder.path() / "config.json", testing::config_of(tiny).dump());
    TensorMap tensors = testing::tensors_of(tiny);
    tensors.erase(name);
    testing::write_text(folder.path() / "model.safetensors", testing::safetensors_bytes(tensors));
    const auto missing = load_model(folder.path());
    ASSERT_FALSE(missing.ok());
    EXPECT_NE(missing.error().message.find("lacks the tensor " + name), std::string::npos);
    tensors[name] = {{1, static_cast<int64_t>(tensor.values.size())}, tensor.values};
    testing::write_text(folder.path() / "model.safetensors", testing::safetensors_bytes(tensors));
    const auto misshapen = load_model(folder.path());
    ASSERT_FALSE(misshapen.ok());
    EXPECT_NE(misshapen.error().message.find("tensor " + name + " has shape [1, "), std::string::npos);
  }
}

TEST(Model, NamesMissingAndMisshapenTensors) {
  for (const char* architecture : {"LlamaForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM"}) {
    expect_names_bad_tensors({.architecture = architecture});
  }
}

TEST(Model, NamesMissingFiles) {
  TempFolder folder;
  EXPECT_FALSE(load_model(folder.path()).ok());
  testing::write_text(folder.path() / "config.json", testing::config_of({}).dump());
  const auto model = load_model(folder.path());
  ASSERT_FALSE(model.ok());
  EXPECT_NE(model.error().message.find("has no weights"), std::string::npos);
}

TEST(Model, TellsWhichFileIsMissingWithoutLoadingAny) {
  TempFolder folder;
  const std::vector<std::pair<std::string, std::string>> files = {
      {"config.json", "no JSON"},
      {"tokenizer.json", ""},
      {"model.safetensors.index.json", R"({"weight_map": {"a": "one.safetensors"}})"},
      {"one.safetensors", "no tensors"}};
  for (const auto& [name, text] : files) {
    const Status missing = check_model_files(folder.path());
    ASSERT_FALSE(missing.ok()) << name;
    const std::string said = name.ends_with("index.json") ? "has no weights" : name + " is not there";
    EXPECT_NE(missing.error().message.find(said), std::string::npos) << missing.error().message;
    testing::write_text(folder.path() / name, text);
  }
  EXPECT_TRUE(check_model_files(folder.path()).ok());
  EXPECT_FALSE(check_model_files(folder.path() / "nowhere").ok());
}

TEST(Model, AConfigOfAnyDepthIsRefusedInWords) {
  TempFolder folder;
  const std::string deep(200'000, '[');
  const std::string text = testing::config_of({}).dump();
  testing::write_text(folder.path() / "config.json", text.substr(0, text.size() - 1) + ", \"hidden_act\": " + deep +
                                                         std::string(deep.size(), ']') + "}");
  const auto config = read_model_config(folder.path());
  ASSERT_FALSE(config.ok());
  EXPECT_EQ(config.error().blame, Blame::kCandidate);
}

TEST(Safetensors, RefusesMalformedFiles) {
  for (const auto& test : cases("safetensors_refusals.json")) {
    SCOPED_TRACE(test["name"].get<std::string>());
    const std::string bytes = testing::safetensors_file(test["header"].get<std::string>(),
                                                        std::string(test["data_bytes"].get<size_t>(), '\0'));
    const auto parsed = parse_safetensors(bytes, "f");
    ASSERT_FALSE(parsed.ok());
    EXPECT_EQ(parsed.error().blame, Blame::kCandidate);
    EXPECT_NE(parsed.error().message.find(test["error"].get<std::string>()), std::string::npos)
        << parsed.error().message;
  }
}

TEST(Safetensors, RefusesHostileHeaderLengths) {
  for (uint64_t length : {uint64_t{1}, uint64_t{100'000'001}, uint64_t{1} << 63, ~uint64_t{0}}) {
    std::string bytes(reinterpret_cast<const char*>(&length), sizeof(length));
    const auto parsed = parse_safetensors(bytes, "f");
    ASSERT_FALSE(parsed.ok());
    EXPECT_NE(parsed.error().message.find(std::to_string(length)), std::string::npos);
  }
}

TEST(Safetensors, RefusesEveryTruncation) {
  const TensorMap tensors = {{"a", {{3}, {1, 2, 3}}}, {"b", {{2, 2}, {4, 5, 6, 7}}}};
  const std::string bytes = testing::safetensors_bytes(tensors);
  ASSERT_TRUE(parse_safetensors(bytes, "f").ok());
  for (size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_FALSE(parse_safetensors(std::string_view(bytes).substr(0, size), "f").ok()) << size;
  }
}

TEST(Safetensors, SurvivesCorruption) {
  const TensorMap tensors = {{"a", {{3}, {1, 2, 3}}}, {"b", {{2, 2}, {4, 5, 6, 7}}}};
  const std::string original = testing::safetensors_bytes(tensors, "F32");
  Rng rng(7);
  int refused = 0;
  for (int round = 0; round < 3000; ++round) {
    std::string bytes = original;
    for (int flips = rng.between(1, 3); flips > 0; --flips) {
      bytes[rng.below(bytes.size())] = static_cast<char>(rng.next());
    }
    const auto parsed = parse_safetensors(bytes, "f");
    if (!parsed.ok()) {
      ++refused;
      continue;
    }
    for (const auto& [name, tensor] : *parsed) {  // what is accepted stays inside the file
      const int64_t size = rows_of(tensor) * cols_of(tensor) * vflow::dtype_bytes(tensor.dtype);
      EXPECT_GE(tensor.data, bytes.data());
      EXPECT_LE(tensor.data + size, bytes.data() + bytes.size());
    }
  }
  EXPECT_GT(refused, 1000);
}

TEST(CheckCovered, SaysWhatTheBackendLacks) {
  vflow::BackendLimits backend;
  ModelConfig config;
  config.head_dim = 96;
  config.hidden_size = 576;
  config.intermediate_size = 1530;
  config.eos_token_ids = {1, 2};
  EXPECT_TRUE(check_covered(config, backend).ok()) << "no limits";
  backend.name = "CUDA";
  backend.head_dims = {64, 128};
  backend.max_hidden = 8192;
  backend.hidden_multiple = 8;
  backend.remedy = "use the CPU";
  const auto refused = [&](const char* word) {
    const Status status = check_covered(config, backend);
    ASSERT_FALSE(status.ok()) << word;
    EXPECT_EQ(status.error().blame, Blame::kCandidate);
    EXPECT_NE(status.error().message.find(word), std::string::npos) << status.error().message;
    EXPECT_EQ(status.error().hint, "use the CPU");
  };
  refused("head_dim of 64 or 128");
  config.head_dim = 64;
  refused("multiples of 8");
  config.intermediate_size = 1536;
  EXPECT_TRUE(check_covered(config, backend).ok());
  backend.max_stop_tokens = 1;
  refused("at most 1 stop tokens");
  backend.max_stop_tokens = 8;
  config.hidden_size = 8200;
  refused("at most 8192");
}

}  // namespace
}  // namespace vortex::model
