#include "serve/engines.h"

#include <unistd.h>

#include <algorithm>
#include <functional>
#include <optional>
#include <utility>

#include "base/shared_memory.h"
#include "core/compile/limits.h"
#include "core/engine/cpu_math.h"
#include "core/engine/device_choice.h"
#include "core/engine/kept_model.h"
#include "core/engine/packed_model.h"
#include "core/engine/session.h"
#ifdef VORTEX_WITH_CUDA
#include "core/engine/cuda/cuda_engine.h"
#include "core/engine/cuda/weights_keep.h"
#endif

namespace vortex::serve {
namespace {

// Of the machine's memory, for the KV of all policies together where nothing is said.
constexpr int64_t kMemoryShare = 2;

// For a piece of a prompt, where nobody says.
constexpr double kChunkMsOfCpu = 100;
[[maybe_unused]] constexpr double kChunkMsOfCuda = 20;

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
                                             const engine::EngineOptions& options, bool on_gpu) {
  vflow::PolicySource source;
  source.module_text = policy.module_text;
  source.config_text = policy.config_text;
  source.module_file = policy.name + ".py";
  source.config_file = policy.name + ".json";
  vflow::ModelGeometry geometry = model::geometry_of(config, options.max_context, options.kv_memory_bytes);
  geometry.backend = on_gpu ? compile::cuda_limits() : compile::cpu_limits();
  vflow::CheckReport report = vflow::check_policy(source, geometry);
  if (!report.policy) { return candidate_error(policy.name + " does not check\n" + vflow::render(report.diagnostics)); }
  return std::optional<vflow::Policy>(std::move(*report.policy));
}

using Policies = std::vector<std::optional<vflow::Policy>>;  // [lane]

// A model for engines that have its weights of somebody else.
model::Model shape_of(const model::Model& loaded) {
  model::Model shape;
  shape.config = loaded.config;
  shape.hash = loaded.hash;
  return shape;
}

// Where the engines run, and an engine for a lane.
struct Place {
  std::string name;
  double chunk_ms = 0;  // where nobody says
  std::function<Result<std::unique_ptr<engine::Engine>>()> make;
};

Result<Place> on_cpu(const job::ServingJob& job, const model::Model& loaded, engine::EngineOptions options) {
  const int64_t all = job.kv_memory_bytes > 0 ? job.kv_memory_bytes : machine_bytes() / kMemoryShare;
  options.kv_memory_bytes = all / static_cast<int64_t>(job.policies.size() + 1);
  VORTEX_ASSIGN(options.unit, engine::find_unit(job.cpu_math));
  VORTEX_ASSIGN(options.kept, share_weights(loaded));
  return Place{"CPU", kChunkMsOfCpu,
               [shape = shape_of(loaded), options] { return engine::make_cpu_engine(shape, options); }};
}

#ifdef VORTEX_WITH_CUDA
// Every lane has an equal part of what the weights leave of the device, or of what the job says.
Result<Place> on_cuda(const job::ServingJob& job, const model::Model& loaded, engine::EngineOptions options) {
  VORTEX_ASSIGN(const engine::CudaDevice device, engine::find_cuda_device());
  const auto lanes = static_cast<int>(job.policies.size() + 1);
  options.kv_memory_bytes = job.kv_memory_bytes / lanes;
  options.device_sharers = lanes;
  VORTEX_ASSIGN(const engine::ExportedMemory weights, engine::keep_weights(loaded));
  auto kept = std::make_shared<engine::KeptModel>();
  kept->weights = weights.view();
  kept->weight_bytes = static_cast<int64_t>(weights.bytes());
  options.kept = std::move(kept);
  return Place{device.name, kChunkMsOfCuda,
               [shape = shape_of(loaded), options] { return engine::make_cuda_engine(shape, options); }};
}

Status cuda_covers(const model::ModelConfig& config, const engine::EngineOptions& options, const Policies& policies) {
  for (const auto& policy : policies) {
    VORTEX_TRY(engine::cuda_supports(config, options, policy ? &*policy : nullptr));
  }
  return ok_status();
}
#endif

Result<Place> find_place(const job::ServingJob& job, const model::Model& loaded, const engine::EngineOptions& options,
                         [[maybe_unused]] const Policies& policies) {
#ifdef VORTEX_WITH_CUDA
  engine::DeviceChoice choice;
  if (job.device != "cpu") {
    const Result<engine::CudaDevice> device = engine::find_cuda_device();
    const Status found = device.ok() ? ok_status() : Status(device.error());
    VORTEX_ASSIGN(choice, engine::choose_device(job.device, found, cuda_covers(loaded.config, options, policies)));
  }
  if (choice.cuda) { return on_cuda(job, loaded, options); }
#else
  VORTEX_ASSIGN(
      const engine::DeviceChoice choice,
      engine::choose_device(job.device, environment_error("this program was built without CUDA"), ok_status()));
#endif
  VORTEX_ASSIGN(Place place, on_cpu(job, loaded, options));
  if (!choice.why_not.empty()) { place.name += " (" + choice.why_not + ")"; }
  return place;
}

engine::EngineOptions options_of(const job::ServingJob& job, const model::ModelConfig& config) {
  engine::EngineOptions options;
  options.threads = job.threads;
  options.max_batch = job.batch;
  options.max_context = job.max_context == 0 ? config.max_position_embeddings : job.max_context;
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
  const engine::EngineOptions options = options_of(job, config);
  Opened opened;
  VORTEX_ASSIGN(opened.served, describe(job, config, options.max_context));
  Policies policies;
  for (const job::ServedPolicy& policy : job.policies) {
    VORTEX_ASSIGN(policies.emplace_back(), checked(policy, config, options, job.device == "cuda"));
  }
  policies.emplace_back();
  VORTEX_ASSIGN(const model::Model loaded, model::load_model(job.model_path));
  VORTEX_ASSIGN(const Place place, find_place(job, loaded, options, policies));
  opened.device = place.name;
  engine::SessionOptions session;
  session.chunk_tokens = job.chunk_tokens;
  session.chunk_seconds = (job.chunk_ms < 0 ? place.chunk_ms : job.chunk_ms) / 1000;
  session.decode_share = job.decode_share;
  session.share_patience = job.share_patience;
  session.keep_prefixes = job.prefix_cache;
  session.pack_prompts = job.pack_prompts;
  for (size_t lane = 0; lane < policies.size(); ++lane) {
    VORTEX_ASSIGN(std::shared_ptr<engine::Engine> engine, place.make());
    VORTEX_TRY(engine->set_policy(policies[lane]));
    opened.lanes.push_back({opened.served.lanes[lane], [engine, session] { return engine->session(session); }});
    opened.engines.push_back(std::move(engine));
  }
  return opened;
}

}  // namespace vortex::serve
