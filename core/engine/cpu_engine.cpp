#include "core/engine/cpu_engine.h"

#include <algorithm>

#include "base/rng.h"
#include "core/engine/kept_model.h"
#include "core/engine/page_shares.h"
#include "core/engine/prefill.h"
#include "core/engine/prefix.h"
#include "core/engine/requests.h"
#include "core/engine/schedule.h"
#include "kernels/cpu/sampler.h"

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

Result<std::unique_ptr<CpuEngine>> CpuEngine::make(model::Model model, const EngineOptions& options) {
  return guarded([&]() -> Result<std::unique_ptr<CpuEngine>> {
    if (options.max_context < 1 || options.max_context > model.config.max_position_embeddings) {
      return candidate_error("max_context must be from 1 to the model's " +
                             std::to_string(model.config.max_position_embeddings) + " positions, not " +
                             std::to_string(options.max_context));
    }
    if (options.threads < 1 || options.max_batch < 1) {
      return candidate_error("threads and max_batch must be positive");
    }
    VORTEX_ASSIGN(PackedModel packed,
                  pack_model(std::move(model), options.max_context, options.kept.get(), options.unit));
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

// A request that holds pages.
struct CpuEngine::Active {
  size_t index = 0;  // into the requests
  int longest = 0;   // pages at its greatest length
  Sequence sequence;
};

// One call of generate(): requests are admitted in order, decoded together, and retired as they end.
class CpuEngine::Run {
 public:
  Run(CpuEngine& engine, const std::vector<Request>& requests, RunStats& stats)
      : engine_(engine),
        requests_(requests),
        stats_(stats),
        decoder_(engine.model_, engine.pool_, engine.policy_, &engine.threads_),
        outputs_(requests.size()),
        order_(static_cast<size_t>(engine.model_.source.config.vocab_size)),
        weights_(order_.size()) {}

  std::vector<Output> finish() {
    while (next_ < requests_.size() || !active_.empty()) {
      admit();
      if (!active_.empty()) { timed_step(); }
    }
    return std::move(outputs_);
  }

 private:
  // Would every active request still be able to end, if `extra` (of which `taken` pages come from the free ones) were
  // one of them?
  bool safe_with(const Active* growing, int taken, const PageNeed* extra) const {
    std::vector<PageNeed> needs;
    for (const Active& active : active_) {
      needs.push_back(
          {static_cast<int>(active.sequence.pages.size()) + (&active == growing ? taken : 0), active.longest});
    }
    if (extra != nullptr) { needs.push_back(*extra); }
    return taken <= engine_.pool_.free_pages() && is_safe(std::move(needs), engine_.pool_.free_pages() - taken);
  }

  void admit() {
    const Stopwatch watch(stats_.prefill_seconds);
    while (next_ < requests_.size() && static_cast<int>(active_.size()) < engine_.options_.max_batch) {
      const Request& request = requests_[next_];
      const auto prompt = static_cast<int64_t>(request.prompt.size());
      const int held = engine_.pool_.blocks_for(prompt);
      // The last token that is sampled is never fed.
      const PageNeed need{held, engine_.pool_.blocks_for(prompt + request.max_new_tokens - 1)};
      if (!safe_with(nullptr, held, &need)) { return; }
      const PrefixPtr prefix = engine_.prompt_kv(request, stats_);
      Active active{next_++, need.longest, engine_.start(*prefix, decoder_)};
      accept(active, prefix->logits());
      if (ended(active)) {
        engine_.pool_.give_back(active.sequence.pages);
      } else {
        active_.push_back(std::move(active));
      }
    }
  }

  // Gives every active request whose pages are full another one, if that is safe; the others wait, pages kept.
  std::vector<Sequence*> runnable(std::vector<size_t>& who) {
    std::vector<Sequence*> batch;
    for (size_t i = 0; i < active_.size(); ++i) {
      Active& active = active_[i];
      Sequence& sequence = active.sequence;
      const int needed = engine_.pool_.blocks_for(sequence.length + 1) - static_cast<int>(sequence.pages.size());
      if (needed > 0 && !safe_with(&active, needed, nullptr)) { continue; }
      if (needed > 0) { sequence.pages.push_back(engine_.pool_.take()); }
      batch.push_back(&sequence);
      who.push_back(i);
    }
    return batch;
  }

  void timed_step() {
    const double before = stats_.decode_seconds;
    step();
    stats_.step_seconds.push_back(stats_.decode_seconds - before);
  }

  void step() {
    const Stopwatch watch(stats_.decode_seconds);
    std::vector<size_t> who;
    const std::vector<Sequence*> batch = runnable(who);
    const float* logits = decoder_.step(batch, nullptr, stats_);
    for (size_t i = 0; i < batch.size(); ++i) { accept(active_[who[i]], logits + i * order_.size()); }
    for (const Active& active : active_) {
      if (ended(active)) { engine_.pool_.give_back(active.sequence.pages); }
    }
    std::erase_if(active_, [this](const Active& active) { return ended(active); });
  }

  // Samples the token that follows the sequence's last one.
  void accept(Active& active, const float* logits) {
    const Request& request = requests_[active.index];
    const auto vocab = static_cast<int>(order_.size());
    int32_t token = 0;
    if (request.sampling.temperature == 0) {
      token = cpu::argmax(logits, vocab);
    } else {
      const auto position = static_cast<uint64_t>(active.sequence.length);
      token = cpu::sample(logits, vocab, request.sampling.temperature, request.sampling.top_k, request.sampling.top_p,
                          Rng(stream_key(request.seed, position)).uniform(), order_.data(), weights_.data());
    }
    active.sequence.next_token = token;
    Output& output = outputs_[active.index];
    output.tokens.push_back(token);
    const std::vector<int>& eos = engine_.model_.source.config.eos_token_ids;
    output.stopped = !request.ignore_eos && std::find(eos.begin(), eos.end(), token) != eos.end();
    if (request.on_token) { request.on_token(token, ended(active)); }
  }

  bool ended(const Active& active) const {
    const Output& output = outputs_[active.index];
    return output.stopped || static_cast<int>(output.tokens.size()) >= requests_[active.index].max_new_tokens;
  }

  CpuEngine& engine_;
  const std::vector<Request>& requests_;
  RunStats& stats_;
  Decoder decoder_;
  std::vector<Output> outputs_;
  std::vector<Active> active_;
  size_t next_ = 0;
  std::vector<int32_t> order_;  // scratch of the sampler, [vocab]
  std::vector<float> weights_;
};

Result<std::vector<Output>> CpuEngine::generate(const std::vector<Request>& requests, RunStats* stats) {
  return guarded([&]() -> Result<std::vector<Output>> {
    for (const Request& request : requests) {
      VORTEX_TRY(check_request(model_.source, options_, request, request.max_new_tokens));
    }
    pool_.free_all();
    RunStats counted = fresh_stats(model_.source.config.num_layers);
    std::vector<Output> outputs = Run(*this, requests, counted).finish();
    if (stats != nullptr) { *stats = std::move(counted); }
    return outputs;
  });
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

}  // namespace vortex::engine
