#include "evals/ladder/kept.h"

#include <unistd.h>

#include <array>
#include <utility>

#include "base/json_reader.h"
#include "base/shared_memory.h"
#include "core/engine/cpu_math.h"
#include "core/engine/packed_model.h"
#include "evals/ladder/session.h"
#include "evals/ladder/setup.h"
#ifdef VORTEX_WITH_CUDA
#include "core/engine/cuda/cuda_engine.h"
#include "core/engine/cuda/weights_keep.h"
#endif

namespace vortex::evals {
namespace {

// Prompts' KV may take one part in so many of the host's memory, or of a device's free memory.
constexpr int64_t kHostShare = 8;
#ifdef VORTEX_WITH_CUDA
constexpr int64_t kDeviceShare = 10;
#endif

constexpr std::array<std::pair<const char*, vflow::Dtype>, 3> kEmbeddings = {
    {{"bf16", vflow::Dtype::kBf16}, {"fp16", vflow::Dtype::kFp16}, {"fp32", vflow::Dtype::kFp32}}};

const char* embedding_name(vflow::Dtype dtype) {
  for (const auto& [name, type] : kEmbeddings) {
    if (type == dtype) { return name; }
  }
  return "";
}

// What Job::kept says.
struct Label {
  std::string device;  // cpu or cuda
  std::string model_hash;
  int64_t weight_bytes = 0;
  vflow::Dtype embedding = vflow::Dtype::kBf16;
  int64_t prefix_bytes = 0;  // 0: no second descriptor
  std::map<std::string, int64_t> prefixes;
  int descriptor = -1;  // the first one, in the worker
};

nlohmann::json to_json(const Label& label) {
  return {{"device", label.device},
          {"model_hash", label.model_hash},
          {"weight_bytes", label.weight_bytes},
          {"embedding", embedding_name(label.embedding)},
          {"prefix_bytes", label.prefix_bytes},
          {"prefixes", label.prefixes}};
}

Result<Label> label_from_json(const nlohmann::json& json) {
  Label label;
  std::string embedding;
  JsonReader reader(json, "kept");
  reader.required("device", label.device);
  reader.required("model_hash", label.model_hash);
  reader.required("weight_bytes", label.weight_bytes);
  reader.required("embedding", embedding);
  reader.required("prefix_bytes", label.prefix_bytes);
  reader.required("descriptor", label.descriptor);
  const nlohmann::json* prefixes = reader.find("prefixes", true);
  VORTEX_TRY(reader.finish());
  for (const auto& [name, type] : kEmbeddings) {
    if (name == embedding) { label.embedding = type; }
  }
  for (const auto& [name, offset] : prefixes->items()) {
    const bool inside =
        offset.is_number_integer() && offset.get<int64_t>() >= 0 && offset.get<int64_t>() < label.prefix_bytes;
    if (!inside) { return internal_error("kept.prefixes: " + name + " lies outside of what is kept"); }
    label.prefixes[name] = offset.get<int64_t>();
  }
  return label;
}

std::vector<std::vector<int32_t>> prompts_of(const Session& session) {
  std::vector<std::vector<int32_t>> prompts;
  for (const auto* problems : {&session.problems, &session.gate, &session.held_out}) {
    for (const PreparedProblem& problem : *problems) { prompts.push_back(problem.prompt); }
  }
  return prompts;
}

// Of an engine that computes prompts, one at a time.
engine::EngineOptions prompt_options(const Session& session) {
  engine::EngineOptions options;
  options.threads = session.job.threads;
  options.max_batch = 1;
  options.max_context = longest_context(session);
  return options;
}

// The KV of the session's prompts, computed with the weights that are kept already.
Result<engine::PrefixBlock> prefill(const Session& session, model::Model model, bool cuda,
                                    std::shared_ptr<const engine::KeptModel> kept, int64_t most_bytes) {
  model.weights = nullptr;
  engine::EngineOptions options = prompt_options(session);
  options.kept = std::move(kept);
  if (!cuda) { VORTEX_ASSIGN(options.unit, engine::find_unit(session.job.cpu_math)); }
  const std::filesystem::path folder = session.job.prefix_folder;
  VORTEX_ASSIGN(const auto engine, make_engine(std::move(model), options, cuda, folder));
  return engine::prefill_all(*engine, prompts_of(session), folder, most_bytes);
}

void add_prefixes(const engine::PrefixBlock& block, Label& label) {
  for (const engine::NamedPrefix& named : block.prefixes) { label.prefixes[named.name] = named.offset; }
  label.prefix_bytes = block.bytes;
}

int64_t host_bytes() { return int64_t{::sysconf(_SC_PHYS_PAGES)} * ::sysconf(_SC_PAGESIZE); }

Result<KeptParts> keep_on_host(const Session& session, const model::Model& model) {
  KeptParts keeping;
  VORTEX_ASSIGN(engine::HostImage weights, engine::pack_image(model));
  Label label{"cpu", model.hash, weights.bytes, weights.embedding, 0, {}, -1};
  auto kept = std::make_shared<engine::KeptModel>();
  VORTEX_ASSIGN(kept->weights, map_descriptor(weights.memory.get(), static_cast<size_t>(weights.bytes)));
  kept->weight_bytes = weights.bytes;
  kept->embedding = weights.embedding;
  keeping.descriptors.push_back(std::move(weights.memory));
  if (!session.job.prefix_folder.empty()) {
    VORTEX_ASSIGN(const engine::PrefixBlock block, prefill(session, model, false, kept, host_bytes() / kHostShare));
    if (block.bytes > 0) {
      VORTEX_ASSIGN(engine::HostImage prefixes, engine::share_on_host(block));
      keeping.descriptors.push_back(std::move(prefixes.memory));
      add_prefixes(block, label);
    }
    keeping.reader = AheadReader{session.job, model, kept};
    keeping.reader->model.weights = nullptr;
  }
  keeping.label = to_json(label);
  return keeping;
}

#ifdef VORTEX_WITH_CUDA
Result<KeptParts> keep_on_device(const Session& session, const model::Model& model) {
  KeptParts keeping;
  auto held = std::make_shared<std::vector<engine::ExportedMemory>>();
  const auto share = [&](engine::ExportedMemory memory) -> Status {
    VORTEX_ASSIGN(Descriptor descriptor, memory.share());
    keeping.descriptors.push_back(std::move(descriptor));
    held->push_back(std::move(memory));
    return ok_status();
  };
  VORTEX_ASSIGN(engine::ExportedMemory weights, engine::keep_weights(model));
  auto kept = std::make_shared<engine::KeptModel>();
  kept->weight_bytes = static_cast<int64_t>(weights.bytes());
  Label label{"cuda", model.hash, kept->weight_bytes, vflow::Dtype::kBf16, 0, {}, -1};
  kept->weights = weights.view();
  VORTEX_TRY(share(std::move(weights)));
  if (!session.job.prefix_folder.empty()) {
    VORTEX_ASSIGN(const int64_t free, engine::free_device_bytes());
    VORTEX_ASSIGN(const engine::PrefixBlock block, prefill(session, model, true, kept, free / kDeviceShare));
    if (block.bytes > 0) {
      VORTEX_ASSIGN(engine::ExportedMemory prefixes, engine::keep_prefixes(block));
      VORTEX_TRY(share(std::move(prefixes)));
      add_prefixes(block, label);
    }
  }
  keeping.held = held;
  keeping.label = to_json(label);
  return keeping;
}
#endif

Result<std::shared_ptr<const char>> map_kept(const Descriptor& descriptor, int64_t bytes, [[maybe_unused]] bool cuda) {
#ifdef VORTEX_WITH_CUDA
  if (cuda) { return engine::map_exported(descriptor.get(), static_cast<size_t>(bytes)); }
#endif
  return map_descriptor(descriptor.get(), static_cast<size_t>(bytes));
}

}  // namespace

Result<KeptParts> keep(const job::Job& job) {
  VORTEX_ASSIGN(const std::unique_ptr<Session> session, prepare_session(job));
  VORTEX_ASSIGN(const model::Model model, model::load_model(job.model_path));
  VORTEX_ASSIGN(const engine::DeviceChoice choice,
                device_for(model.config, prompt_options(*session), job.device, nullptr));
#ifdef VORTEX_WITH_CUDA
  if (choice.cuda) { return keep_on_device(*session, model); }
#endif
  return keep_on_host(*session, model);
}

Result<RunnableModel> open_model(const std::filesystem::path& folder, const nlohmann::json& kept, bool cuda) {
  RunnableModel opened;
  if (!kept.is_null()) {
    VORTEX_ASSIGN(const Label label, label_from_json(kept));
    const Descriptor weights(label.descriptor);
    const Descriptor prefixes(label.prefix_bytes > 0 ? label.descriptor + 1 : -1);
    if ((label.device == "cuda") == cuda) {
      VORTEX_ASSIGN(opened.model.config, model::read_model_config(folder));
      opened.model.hash = label.model_hash;
      auto mapped = std::make_shared<engine::KeptModel>();
      VORTEX_ASSIGN(mapped->weights, map_kept(weights, label.weight_bytes, cuda));
      mapped->weight_bytes = label.weight_bytes;
      mapped->embedding = label.embedding;
      if (prefixes.get() >= 0) {
        VORTEX_ASSIGN(mapped->prefixes, map_kept(prefixes, label.prefix_bytes, cuda));
        mapped->prefix_offsets = label.prefixes;
      }
      opened.kept = std::move(mapped);
      return opened;
    }
  }
  VORTEX_ASSIGN(opened.model, model::load_model(folder));
  return opened;
}

}  // namespace vortex::evals
