#include "core/engine/cpu_engine.h"

#include <algorithm>

#include "core/engine/cpu_session.h"
#include "core/engine/kept_model.h"
#include "core/engine/page_shares.h"
#include "core/engine/prefill.h"
#include "core/engine/prefix.h"
#include "core/engine/requests.h"

namespace vortex::engine {
namespace {

constexpr int kDenseBlockSize = 16;  // of the pool while no policy says otherwise

Status check_policy_fits(const vflow::Policy& policy, const model::ModelConfig& model) {
  VORTEX_TRY(check_traced_for(policy, model));
  if (policy.config.kv_dtype != vflow::Dtype::kBf16) {
    return candidate_error("kv_cache_dtype " + std::string(vflow::dtype_name(policy.config.kv_dtype)) +
                               " is not supported by the CPU engine",
                           "run it on a CUDA device, or use \"auto\", which is bfloat16");
  }
  return ok_status();
}

}  // namespace

Result<std::unique_ptr<Engine>> make_cpu_engine(model::Model model, const EngineOptions& options) {
  VORTEX_ASSIGN(std::unique_ptr<CpuEngine> engine, CpuEngine::make(std::move(model), options));
  return std::unique_ptr<Engine>(std::move(engine));
}

Result<std::unique_ptr<CpuEngine>> CpuEngine::make(model::Model model, const EngineOptions& options,
                                                   std::shared_ptr<const CpuRank> rank) {
  return guarded([&]() -> Result<std::unique_ptr<CpuEngine>> {
    if (options.max_context < 1 || options.max_context > model.config.max_position_embeddings) {
      return candidate_error("max_context must be from 1 to the model's " +
                             std::to_string(model.config.max_position_embeddings) + " positions, not " +
                             std::to_string(options.max_context));
    }
    if (options.threads < 1 || options.max_batch < 1) {
      return candidate_error("threads and max_batch must be positive");
    }
    if (rank != nullptr && options.threads > 1) {
      return candidate_error("a rank of a model on the CPU is one thread, not " + std::to_string(options.threads));
    }
    VORTEX_ASSIGN(PackedModel packed,
                  pack_model(std::move(model), options.max_context, options.kept.get(), options.unit, std::move(rank)));
    std::unique_ptr<CpuEngine> engine(new CpuEngine(std::move(packed), options));
    VORTEX_TRY(engine->set_policy(std::nullopt));
    return engine;
  });
}

CpuEngine::CpuEngine(PackedModel model, const EngineOptions& options)
    : model_(std::move(model)), options_(options), threads_(options.threads) {}

Status CpuEngine::configure_pool(int block_size, const vflow::Policy* policy) {
  const model::ModelConfig& config = model_.source.config;
  const int64_t bytes = page_bytes(config, block_size, policy);
  const int64_t blocks = (options_.max_context + block_size - 1) / block_size;
  int64_t pages = blocks * options_.max_batch;
  if (options_.kv_memory_bytes > 0) { pages = std::min(pages, options_.kv_memory_bytes / bytes); }
  if (pages < blocks) {
    return candidate_error("one request of " + std::to_string(options_.max_context) + " tokens needs " +
                               std::to_string(blocks) + " pages of " + std::to_string(bytes) + " bytes, " +
                               std::to_string(blocks * bytes) + " in all, but the pool has " +
                               std::to_string(options_.kv_memory_bytes),
                           "use smaller or fewer cache fields, a shorter context or more KV memory");
  }
  return pool_.configure(config, block_size, policy, static_cast<int>(pages));
}

Status CpuEngine::set_policy(const std::optional<vflow::Policy>& policy) {
  return guarded([&]() -> Status {
    ActivePolicy next;
    int block_size = kDenseBlockSize;
    if (policy) {
      VORTEX_TRY(check_policy_fits(*policy, model_.source.config));
      VORTEX_ASSIGN(next.executable, compile::compile_cpu(*policy));
      next.policy = *policy;
      next.scored_bytes = scored_bytes(*policy);
      block_size = policy->config.block_size;
    }
    VORTEX_TRY(configure_pool(block_size, policy ? &*policy : nullptr));
    policy_ = std::move(next);
    return ok_status();
  });
}

Status CpuEngine::set_oracle(const vflow::EngineConfig& budget) {
  return guarded([&]() -> Status {
    const model::ModelConfig& config = model_.source.config;
    ActivePolicy next;
    next.executable = make_oracle(budget, config.num_q_heads / config.num_kv_heads, attention_scale(config));
    next.policy.config = budget;
    VORTEX_TRY(configure_pool(budget.block_size, nullptr));
    policy_ = std::move(next);
    return ok_status();
  });
}

PrefixPtr CpuEngine::prompt_kv(const Request& request, RunStats& stats) {
  if (request.prefix != nullptr) { return request.prefix; }
  stats.prefill_tokens += static_cast<int64_t>(request.prompt.size());
  return std::make_shared<const Prefix>(prefill(model_, request.prompt, &threads_));
}

Sequence CpuEngine::start(const Prefix& prefix, Decoder& decoder) {
  Sequence sequence;
  for (int block = pool_.blocks_for(prefix.tokens); block > 0; --block) { sequence.pages.push_back(pool_.take()); }
  sequence.length = prefix.tokens;
  pool_.fill(prefix, sequence.pages, &threads_);
  decoder.update_completed(sequence);
  return sequence;
}

Result<std::vector<Output>> CpuEngine::generate(const std::vector<Request>& requests, RunStats* stats) {
  return guarded([&]() -> Result<std::vector<Output>> {
    RunStats counted = fresh_stats(model_.source.config.num_layers);
    std::vector<Output> outputs(requests.size());
    CpuSession session(parts(), {}, counted);
    for (size_t i = 0; i < requests.size(); ++i) {
      LiveRequest live;
      live.id = static_cast<int64_t>(i);
      live.request = requests[i];
      live.on_token = [&requests, &output = outputs[i], i](const LiveToken& told) {
        output.tokens.push_back(told.token);
        output.stopped = told.stopped;
        if (requests[i].on_token) { requests[i].on_token(told.token, told.last); }
      };
      VORTEX_TRY(session.submit(std::move(live)));
    }
    for (bool more = true; more;) {
      const double before = counted.decode_seconds;
      const int64_t steps = counted.decode_steps;
      VORTEX_ASSIGN(more, session.round());
      if (counted.decode_steps > steps) { counted.step_seconds.push_back(counted.decode_seconds - before); }
    }
    if (stats != nullptr) { *stats = std::move(counted); }
    return outputs;
  });
}

std::unique_ptr<Session> CpuEngine::session(const SessionOptions& options) {
  served_ = fresh_stats(model_.source.config.num_layers);
  return std::make_unique<CpuSession>(parts(), options, served_);
}

Result<std::vector<float>> CpuEngine::teacher_force(const Request& request, std::span<const int32_t> continuation,
                                                    const AttentionObserver& observer, RunStats* stats) {
  return guarded([&]() -> Result<std::vector<float>> {
    VORTEX_TRY(check_request(model_.source, options_, request, static_cast<int64_t>(continuation.size())));
    VORTEX_TRY(check_tokens(model_.source, continuation));
    pool_.free_all();
    RunStats counted = fresh_stats(model_.source.config.num_layers);
    const int vocab = model_.source.config.vocab_size;
    std::vector<float> log_probs(continuation.size() * static_cast<size_t>(vocab));
    Decoder decoder(model_, pool_, policy_, &threads_);
    Sequence sequence;
    {
      const Stopwatch watch(counted.prefill_seconds);
      const PrefixPtr prefix = prompt_kv(request, counted);
      sequence = start(*prefix, decoder);
      log_softmax(prefix->logits(), vocab, log_probs.data());
    }
    Sequence* const batch[] = {&sequence};
    for (size_t i = 0; i + 1 < continuation.size(); ++i) {
      const Stopwatch watch(counted.decode_seconds);
      if (sequence.length % pool_.block_size() == 0) { sequence.pages.push_back(pool_.take()); }
      sequence.next_token = continuation[i];
      const float* logits = decoder.step(batch, &observer, counted);
      log_softmax(logits, vocab, &log_probs[(i + 1) * static_cast<size_t>(vocab)]);
    }
    if (stats != nullptr) { *stats = std::move(counted); }
    return log_probs;
  });
}

Result<PrefixPtr> CpuEngine::prefix(const std::vector<int32_t>& prompt, const std::filesystem::path& folder) {
  return guarded([&]() -> Result<PrefixPtr> {
    Request request;
    request.prompt = prompt;
    VORTEX_TRY(check_request(model_.source, options_, request, 1));
    if (PrefixPtr kept = find_kept_prefix(options_.kept.get(), false, model_.source, prompt)) { return kept; }
    const std::filesystem::path path = folder / prefix_file_name(model_.source, prompt);
    if (auto loaded = load_prefix(path, model_.source, prompt)) {
      return std::make_shared<const Prefix>(std::move(*loaded));
    }
    const auto computed = std::make_shared<const Prefix>(prefill(model_, prompt, &threads_));
    VORTEX_TRY(save_prefix(*computed, path));
    return PrefixPtr(computed);
  });
}

Result<Prefix> CpuEngine::compute_prefix(const std::vector<int32_t>& prompt) {
  return guarded([&]() -> Result<Prefix> {
    Request request;
    request.prompt = prompt;
    VORTEX_TRY(check_request(model_.source, options_, request, 1));
    return prefill(model_, prompt, &threads_);
  });
}

}  // namespace vortex::engine
