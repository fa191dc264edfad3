#include "serve/engines.h"

#include <unistd.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "base/shared_memory.h"
#include "core/compile/limits.h"
#include "core/engine/cpu_math.h"
#include "core/engine/kept_model.h"
#include "core/engine/packed_model.h"

namespace vortex::serve {
namespace {

// Of the machine's memory, for the KV of all policies together where nothing is said.
constexpr int64_t kMemoryShare = 2;

int64_t machine_bytes() { return int64_t{::sysconf(_SC_PHYS_PAGES)} * ::sysconf(_SC_PAGESIZE); }

// The weights as the engines want them, once for all.
Result<std::shared_ptr<const engine::KeptModel>> share_weights(const model::Model& model) {
  VORTEX_ASSIGN(const engine::HostImage image, engine::pack_image(model));
  auto kept = std::make_shared<engine::KeptModel>();
  VORTEX_ASSIGN(kept->weights, map_descriptor(image.memory.get(), static_cast<size_t>(image.bytes)));
  kept->weight_bytes = image.bytes;
  kept->embedding = image.embedding;
  return std::shared_ptr<const engine::KeptModel>(std::move(kept));
}

Result<std::optional<vflow::Policy>> checked(const job::ServedPolicy& policy, const model::ModelConfig& config,
                                             const engine::EngineOptions& options) {
  vflow::PolicySource source;
  source.module_text = policy.module_text;
  source.config_text = policy.config_text;
  source.module_file = policy.name + ".py";
  source.config_file = policy.name + ".json";
  vflow::ModelGeometry geometry = model::geometry_of(config, options.max_context, options.kv_memory_bytes);
  geometry.backend = compile::cpu_limits();
  vflow::CheckReport report = vflow::check_policy(source, geometry);
  if (!report.policy) { return candidate_error(policy.name + " does not check\n" + vflow::render(report.diagnostics)); }
  return std::optional<vflow::Policy>(std::move(*report.policy));
}

Result<engine::EngineOptions> options_of(const job::ServingJob& job, const model::ModelConfig& config) {
  engine::EngineOptions options;
  options.threads = job.threads;
  options.max_batch = job.batch;
  options.max_context = job.max_context == 0 ? config.max_position_embeddings : job.max_context;
  const int64_t all = job.kv_memory_bytes > 0 ? job.kv_memory_bytes : machine_bytes() / kMemoryShare;
  options.kv_memory_bytes = all / static_cast<int64_t>(job.policies.size() + 1);
  VORTEX_ASSIGN(options.unit, engine::find_unit(job.cpu_math));
  return options;
}

Result<Served> describe(const job::ServingJob& job, const model::ModelConfig& config, int max_context) {
  Served served;
  served.name = job.model_name;
  for (const job::ServedPolicy& policy : job.policies) { served.lanes.push_back(policy.name); }
  served.lanes.emplace_back("dense");
  VORTEX_ASSIGN(served.tokenizer, model::load_tokenizer(job.model_path));
  Result<model::ChatTemplate> chat = model::ChatTemplate::read(job.model_path);
  if (chat.ok()) {
    served.chat = std::move(*chat);
  } else {
    served.no_chat = chat.error().message;
  }
  served.vocab_size = config.vocab_size;
  served.max_context = max_context;
  return served;
}

}  // namespace

Result<Opened> open_engines(const job::ServingJob& job) {
  VORTEX_ASSIGN(const model::ModelConfig config, model::read_model_config(job.model_path));
  VORTEX_ASSIGN(engine::EngineOptions options, options_of(job, config));
  Opened opened;
  VORTEX_ASSIGN(opened.served, describe(job, config, options.max_context));
  std::vector<std::optional<vflow::Policy>> policies;
  for (const job::ServedPolicy& policy : job.policies) {
    VORTEX_ASSIGN(policies.emplace_back(), checked(policy, config, options));
  }
  policies.emplace_back();
  VORTEX_ASSIGN(const model::Model loaded, model::load_model(job.model_path));
  VORTEX_ASSIGN(options.kept, share_weights(loaded));
  engine::SessionOptions session;
  session.chunk_tokens = job.chunk_tokens;
  session.chunk_seconds = job.chunk_ms / 1000;
  session.keep_prefixes = job.prefix_cache;
  for (size_t lane = 0; lane < policies.size(); ++lane) {
    model::Model shape;
    shape.config = config;
    shape.hash = loaded.hash;
    VORTEX_ASSIGN(std::shared_ptr<engine::CpuEngine> engine, engine::CpuEngine::make(std::move(shape), options));
    VORTEX_TRY(engine->set_policy(policies[lane]));
    opened.lanes.push_back({opened.served.lanes[lane], [engine, session] { return engine->session(session); }});
    opened.engines.push_back(std::move(engine));
  }
  return opened;
}

}  // namespace vortex::serve
