#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "base/clock.h"
#include "base/files.h"
#include "core/engine/bench/bench.h"
#include "core/engine/cpu_math.h"
#include "core/engine/random_model.h"
#include "core/engine/tensor_parallel.h"
#include "kernels/cpu/isa.h"
#ifdef VORTEX_WITH_CUDA
#include "core/engine/cuda/cuda_engine.h"
#include "core/engine/cuda/tensor_parallel.h"
#endif

namespace vortex::bench {
namespace {

struct Named {
  const char* name;
  int layers, hidden, q_heads, kv_heads, head_dim, inner, vocab;
  bool tied;
};

// Shapes of published checkpoints (their config.json), and one for machines without a GPU.
constexpr Named kNamed[] = {
    {"qwen3-0.6b", 28, 1024, 16, 8, 128, 3072, 151936, true},  {"qwen3-1.7b", 28, 2048, 16, 8, 128, 6144, 151936, true},
    {"qwen3-4b", 36, 2560, 32, 8, 128, 9728, 151936, true},    {"qwen3-8b", 36, 4096, 32, 8, 128, 12288, 151936, false},
    {"qwen3-32b", 64, 5120, 64, 8, 128, 25600, 151936, false}, {"tiny", 4, 128, 4, 2, 64, 256, 512, true},
};

// The same of models with latent attention and experts, of which the first layer has none.
struct NamedLatent {
  const char* name;
  int layers, hidden, heads, q_rank, kv_rank, nope, rope, value, inner, vocab;
  int experts, per_token, expert_inner, shared_inner;
  model::ExpertScore score;
};
constexpr NamedLatent kNamedLatent[] = {
    {"glm-4.7-flash", 47, 2048, 20, 768, 512, 192, 64, 256, 10240, 154880, 64, 4, 1536, 1536,
     model::ExpertScore::kSigmoid},
    {"deepseek-v2-lite", 27, 2048, 16, 0, 512, 128, 64, 128, 10944, 102400, 64, 6, 1408, 2816,
     model::ExpertScore::kSoftmax},
    {"tiny-latent", 2, 64, 4, 32, 32, 16, 16, 16, 96, 512, 4, 2, 32, 32, model::ExpertScore::kSigmoid},
};

// The same of models with experts in every layer behind grouped-query attention.
struct NamedExperts {
  Named attention;
  int rotated;  // of a head; 0: all
  int experts, per_token, expert_inner;
  model::ExpertScore score;
};
constexpr NamedExperts kNamedExperts[] = {
    {{"qwen3-30b-a3b", 48, 2048, 32, 4, 128, 6144, 151936, false}, 0, 128, 8, 768, model::ExpertScore::kSoftmax},
    {{"minimax-m2", 62, 3072, 48, 8, 128, 1536, 200064, false}, 64, 256, 8, 1536, model::ExpertScore::kSigmoid},
    {{"tiny-experts", 2, 128, 4, 2, 64, 64, 512, true}, 32, 8, 2, 64, model::ExpertScore::kSigmoid},
};

constexpr int kScaleBlock = 128;  // of experts in fp8
constexpr int kMaxPositions = 1 << 20;
constexpr double kRopeTheta = 1e6;

Result<nlohmann::json> read_config(const Options& options) {
  const std::string path = options.config.empty()
                               ? std::filesystem::path(options.policy).replace_extension(".json").string()
                               : options.config;
  VORTEX_ASSIGN(const std::string text, read_file(path));
  nlohmann::json config = nlohmann::json::parse(text, nullptr, false);
  if (!config.is_object()) { return candidate_error(path + " is not a JSON object"); }
  return config;
}

model::ModelConfig config_of(const Named& named) {
  model::ModelConfig config;
  config.architecture = "Qwen3ForCausalLM";
  config.num_layers = named.layers;
  config.hidden_size = named.hidden;
  config.num_q_heads = named.q_heads;
  config.num_kv_heads = named.kv_heads;
  config.head_dim = named.head_dim;
  config.intermediate_size = named.inner;
  config.vocab_size = named.vocab;
  config.tie_word_embeddings = named.tied;
  config.max_position_embeddings = kMaxPositions;
  config.rope_theta = kRopeTheta;
  config.qk_norm = model::QkNorm::kEachHead;
  return config;
}

model::ModelConfig config_of(const NamedLatent& named) {
  model::ModelConfig config;
  config.architecture = "DeepseekV3ForCausalLM";
  config.num_layers = named.layers;
  config.hidden_size = named.hidden;
  config.num_q_heads = named.heads;
  config.num_kv_heads = 1;
  config.head_dim = named.kv_rank + named.rope;
  config.intermediate_size = named.inner;
  config.vocab_size = named.vocab;
  config.max_position_embeddings = kMaxPositions;
  config.rope_theta = kRopeTheta;
  config.latent.emplace();
  config.latent->q_rank = named.q_rank;
  config.latent->kv_rank = named.kv_rank;
  config.latent->nope_dim = named.nope;
  config.latent->rope_dim = named.rope;
  config.latent->value_dim = named.value;
  config.experts.emplace();
  config.experts->layers.assign(static_cast<size_t>(named.layers), true);
  config.experts->layers[0] = false;
  config.experts->count = named.experts;
  config.experts->per_token = named.per_token;
  config.experts->inner = named.expert_inner;
  config.experts->shared_inner = named.shared_inner;
  config.experts->score = named.score;
  config.experts->bias = config.experts->normalised = named.score == model::ExpertScore::kSigmoid;
  return config;
}

model::ModelConfig config_of(const NamedExperts& named) {
  model::ModelConfig config = config_of(named.attention);
  const bool minimax = named.score == model::ExpertScore::kSigmoid;
  config.architecture = minimax ? "MiniMaxM2ForCausalLM" : "Qwen3MoeForCausalLM";
  config.rotated = named.rotated;
  if (minimax) { config.qk_norm = model::QkNorm::kAllHeads; }
  config.experts.emplace();
  config.experts->layers.assign(static_cast<size_t>(config.num_layers), true);
  config.experts->count = named.experts;
  config.experts->per_token = named.per_token;
  config.experts->inner = named.expert_inner;
  config.experts->score = named.score;
  config.experts->bias = minimax;
  config.experts->normalised = true;
  return config;
}

// Takes away the layers beyond the first `layers`.
void shorten(model::ModelConfig& config, int layers) {
  if (layers <= 0 || layers >= config.num_layers) { return; }
  config.num_layers = layers;
  if (config.experts) { config.experts->layers.resize(static_cast<size_t>(layers)); }
}

Result<model::ModelConfig> whole_geometry(const std::string& name) {
  std::string names;
  for (const Named& named : kNamed) {
    if (name == named.name) { return config_of(named); }
    names += std::string(named.name) + ", ";
  }
  for (const NamedLatent& named : kNamedLatent) {
    if (name == named.name) { return config_of(named); }
    names += std::string(named.name) + ", ";
  }
  for (const NamedExperts& named : kNamedExperts) {
    if (name == named.attention.name) { return config_of(named); }
    names += std::string(named.attention.name) + ", ";
  }
  if (std::filesystem::is_directory(name)) { return model::read_model_config(name); }
  return candidate_error("no geometry \"" + name + "\"", "known: " + names + "or a model's folder");
}

}  // namespace

Result<model::ModelConfig> find_geometry(const Options& options) {
  VORTEX_ASSIGN(model::ModelConfig config, whole_geometry(options.geometry));
  shorten(config, options.layers);
  if (options.fp8_experts) { config.scale_block = {kScaleBlock, kScaleBlock}; }
  return config;
}

Result<vflow::Dtype> kv_dtype_of(const Options& options) {
  if (options.kv.empty() || options.kv == "bfloat16") { return vflow::Dtype::kBf16; }
  if (options.kv == "float32") { return vflow::Dtype::kFp32; }
  if (options.kv == "fp8_e4m3") { return vflow::Dtype::kFp8E4m3; }
  if (options.kv == "fp8_e5m2") { return vflow::Dtype::kFp8E5m2; }
  return candidate_error("--kv must be bfloat16, float32, fp8_e4m3 or fp8_e5m2, not " + options.kv);
}

Result<std::optional<vflow::Policy>> find_policy(const Options& options, const model::ModelConfig& model) {
  if (options.policy.empty()) { return std::optional<vflow::Policy>(); }
  VORTEX_ASSIGN(nlohmann::json config, read_config(options));
  if (options.pages > 0 || options.ratio >= 0) {
    const int reserved = config.value("vortex_block_reserved_bos", 1) + config.value("vortex_block_reserved_eos", 2);
    if (options.pages > 0) { config["vortex_topk_val"] = std::max(0, options.pages - reserved); }
    config["vortex_topk_ratio"] = std::max(0.0, options.ratio);
    config["vortex_layers_skip"] = options.dense_layers;
  }
  VORTEX_ASSIGN(const std::string module, read_file(options.policy));
  const vflow::PolicySource source{module, config.dump(), options.policy, options.config};
  vflow::CheckReport report = vflow::check_policy(source, model::geometry_of(model, options.max_context, 0));
  if (!report.policy) { return candidate_error(vflow::render(report.diagnostics)); }
  if (!options.kv.empty()) { VORTEX_ASSIGN(report.policy->config.kv_dtype, kv_dtype_of(options)); }
  return std::move(report.policy);
}

std::string policy_name(const Options& options, const std::optional<vflow::Policy>& policy) {
  std::string name = policy ? policy->program.name : "dense";
  if (policy && options.pages > 0) { name += " " + std::to_string(options.pages); }
  const vflow::Dtype kv = policy ? policy->config.kv_dtype : kv_dtype_of(options).value();
  return name + " " + std::string(vflow::dtype_name(kv));
}

engine::EngineOptions engine_options(const Options& options) {
  engine::EngineOptions made;
  made.threads = options.threads;
  made.max_batch = options.max_batch;
  made.max_context = options.max_context;
  made.kv_memory_bytes = static_cast<int64_t>(options.kv_gigabytes * 1e9);
  return made;
}

namespace {
Result<engine::EngineOptions> cpu_options(const Options& options) {
  engine::EngineOptions made = engine_options(options);
  VORTEX_ASSIGN(made.unit, engine::find_unit(options.cpu_math));
  return made;
}

Result<std::unique_ptr<engine::Engine>> make_cpu(const Options& options, const model::ModelConfig& model) {
  VORTEX_ASSIGN(engine::EngineOptions made, cpu_options(options));
  const model::Model random = engine::random_model(model, 1);
  if (options.ranks > 1) {
    made.threads = 1;  // of each rank
    return engine::make_tensor_parallel_cpu_engine(random, made, options.ranks);
  }
  return engine::make_cpu_engine(random, made);
}
}  // namespace

namespace {
// What /proc/cpuinfo calls the processor.
std::string processor_name() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) {
    const size_t colon = line.find(": ");
    if (line.starts_with("model name") && colon != std::string::npos) { return line.substr(colon + 2); }
  }
  return "CPU";
}
}  // namespace

Result<std::string> device_name(const Options& options) {
#ifdef VORTEX_WITH_CUDA
  VORTEX_ASSIGN(const bool on_device, wants_cuda(options));
  if (on_device) {
    VORTEX_ASSIGN(const engine::CudaDevice device, engine::find_cuda_device());
    return device.name;
  }
#endif
  return processor_name() + ", " + std::to_string(options.threads) +
         (options.threads == 1 ? " thread, " : " threads, ") + cpu::isa_name(cpu::best_isa());
}

#ifdef VORTEX_WITH_CUDA
Result<bool> wants_cuda(const Options& options) {
  if (options.device == "cpu") { return false; }
  const auto device = engine::find_cuda_device();
  if (device.ok()) { return true; }
  if (options.device == "cuda") { return device.error(); }
  return false;
}

namespace {
Result<engine::CudaOptions> cuda_options(const Options& options) {
  engine::CudaOptions cuda;
  VORTEX_ASSIGN(cuda.kv_dtype, kv_dtype_of(options));
  cuda.batch_invariant = options.batch_invariant;
  cuda.row_pieces = options.row_pieces;
  cuda.own_products = !options.cublas_only;
  cuda.prompt_chunk = options.prompt_chunk;
  cuda.plain_prompts = options.plain_attention;
  return cuda;
}
}  // namespace

Result<std::unique_ptr<engine::Engine>> make_engine(const Options& options, const model::ModelConfig& model) {
  VORTEX_ASSIGN(const bool on_device, wants_cuda(options));
  if (!on_device) { return make_cpu(options, model); }
  VORTEX_ASSIGN(const engine::CudaOptions cuda, cuda_options(options));
  model::Model shape;
  shape.config = model;
  if (options.ranks > 1) {
    VORTEX_ASSIGN(const std::vector<int> devices, engine::devices_of_ranks(options.ranks));
    return engine::make_cuda_tensor_parallel_engine(shape, engine_options(options), cuda, devices);
  }
  return engine::make_cuda_engine(std::move(shape), engine_options(options), cuda);
}

Result<std::unique_ptr<engine::Engine>> make_engine_of(const Options& options, const model::Model& model) {
  VORTEX_ASSIGN(const bool on_device, wants_cuda(options));
  if (on_device) {
    VORTEX_ASSIGN(const engine::CudaOptions cuda, cuda_options(options));
    return engine::make_cuda_engine(model, engine_options(options), cuda);
  }
  VORTEX_ASSIGN(const engine::EngineOptions made, cpu_options(options));
  return engine::make_cpu_engine(model, made);
}

Result<engine::RankEngines> make_ranks_of(const Options& options, const model::Model& model) {
  VORTEX_ASSIGN(const bool on_device, wants_cuda(options));
  if (on_device) {
    VORTEX_ASSIGN(const engine::CudaOptions cuda, cuda_options(options));
    VORTEX_ASSIGN(const std::vector<int> devices, engine::devices_of_ranks(options.ranks));
    return engine::make_cuda_ranks(model, engine_options(options), cuda, devices);
  }
  VORTEX_ASSIGN(engine::EngineOptions made, cpu_options(options));
  made.threads = 1;  // of each rank
  return engine::make_cpu_ranks(model, made, options.ranks);
}
#else
Result<bool> wants_cuda(const Options& options) {
  if (options.device == "cuda") { return environment_error("this program was built without CUDA"); }
  return false;
}

Result<std::unique_ptr<engine::Engine>> make_engine(const Options& options, const model::ModelConfig& model) {
  VORTEX_TRY(wants_cuda(options));
  return make_cpu(options, model);
}

Result<std::unique_ptr<engine::Engine>> make_engine_of(const Options& options, const model::Model& model) {
  VORTEX_ASSIGN(const engine::EngineOptions made, cpu_options(options));
  return engine::make_cpu_engine(model, made);
}

Result<engine::RankEngines> make_ranks_of(const Options& options, const model::Model& model) {
  VORTEX_ASSIGN(engine::EngineOptions made, cpu_options(options));
  made.threads = 1;  // of each rank
  return engine::make_cpu_ranks(model, made, options.ranks);
}
#endif

void say(const Options& options, const std::string& done) {
  static const double start = monotonic_seconds();
  if (!options.progress) { return; }
  std::fprintf(stderr, "%8.2f s: %s\n", monotonic_seconds() - start, done.c_str());
  std::fflush(stderr);
}

Result<Rig> make_rig(const Options& options, const model::ModelConfig& model,
                     const std::optional<vflow::Policy>& policy) {
  Rig rig;
  say(options, "geometry and policy are read");
  VORTEX_ASSIGN(rig.engine, make_engine(options, model));
  say(options, "the engine has its weights and a pool");
  VORTEX_TRY(rig.engine->set_policy(policy));
  say(options, "the policy is compiled");
  rig.stepper = rig.engine->stepper();
  VORTEX_ASSIGN(rig.copy, rig.stepper->copy_bandwidth());
  say(options, "copies are timed");
  return rig;
}

}  // namespace vortex::bench
