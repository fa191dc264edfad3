#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/rng.h"
#include "core/engine/decode.h"
#include "core/engine/kv_pool.h"
#include "core/engine/packed_model.h"
#include "core/engine/prefill.h"
#include "core/engine/requests.h"
#include "core/engine/stepper.h"
#include "core/model/weights.h"

namespace vortex::engine {
namespace {

constexpr int kDenseBlockSize = 16;
constexpr size_t kCopyBytes = size_t{128} << 20;
constexpr int kCopies = 5;

// Weights that own their values.
struct RandomWeights : model::Weights {
  std::vector<std::vector<cpu::Bf16>> storage;

  model::Tensor tensor(std::vector<int64_t> shape, Rng& rng, double centre, double deviation) {
    size_t size = 1;
    for (const int64_t extent : shape) size *= static_cast<size_t>(extent);
    std::vector<cpu::Bf16> values(size);
    constexpr double kWidth = 3.4641016;  // of a uniform distribution of deviation 1
    for (cpu::Bf16& value : values) {
      value = cpu::float_to_bf16(static_cast<float>(centre + deviation * kWidth * (rng.uniform() - 0.5)));
    }
    storage.push_back(std::move(values));
    return {reinterpret_cast<const char*>(storage.back().data()), vflow::Dtype::kBf16, std::move(shape)};
  }
};

class CpuStepper final : public Stepper {
 public:
  CpuStepper(PackedModel model, const EngineOptions& options)
      : model_(std::move(model)), options_(options), threads_(options.threads) {}

  Status set_policy(const std::optional<vflow::Policy>& policy) override {
    residents_.clear();
    const model::ModelConfig& config = model_.source.config;
    ActivePolicy next;
    if (policy) {
      VORTEX_ASSIGN(next.executable, compile::compile_cpu(*policy));
      next.policy = *policy;
      next.scored_bytes = scored_bytes(*policy);
    }
    const int block = policy ? policy->config.block_size : kDenseBlockSize;
    const vflow::Policy* set = policy ? &*policy : nullptr;
    int64_t pages = int64_t{(options_.max_context + block - 1) / block} * options_.max_batch;
    if (options_.kv_memory_bytes > 0)
      pages = std::min(pages, options_.kv_memory_bytes / page_bytes(config, block, set));
    VORTEX_TRY(pool_.configure(config, block, set, static_cast<int>(pages)));
    policy_ = std::move(next);
    fill_random();
    return ok_status();
  }

  Status place(std::span<const int> lengths) override {
    residents_.clear();
    pool_.free_all();
    if (static_cast<int>(lengths.size()) > options_.max_batch) return candidate_error("the batch is too small");
    Decoder decoder(model_, pool_, policy_, &threads_);
    for (const int length : lengths) {
      Sequence sequence;
      VORTEX_TRY(grow(sequence, length));
      decoder.update_completed(sequence);
      residents_.push_back(std::move(sequence));
    }
    return ok_status();
  }

  Result<double> admit(int prompt_tokens) override {
    if (static_cast<int>(residents_.size()) >= options_.max_batch) return candidate_error("the batch is full");
    std::vector<int32_t> prompt(static_cast<size_t>(prompt_tokens));
    const auto vocab = static_cast<uint64_t>(model_.source.config.vocab_size);
    for (int32_t& token : prompt) token = static_cast<int32_t>(rng_.below(vocab));
    const double start = monotonic_seconds();
    Sequence sequence;
    VORTEX_TRY(grow(sequence, prompt_tokens));
    pool_.fill(prefill(model_, prompt, &threads_), sequence.pages, &threads_);
    Decoder(model_, pool_, policy_, &threads_).update_completed(sequence);
    residents_.push_back(std::move(sequence));
    return monotonic_seconds() - start;
  }

  Status retire(int index) override {
    if (index < 0 || index >= static_cast<int>(residents_.size())) {
      return candidate_error("there is no such resident request");
    }
    Sequence& gone = residents_[static_cast<size_t>(index)];
    pool_.give_back(gone.pages);
    gone = std::move(residents_.back());
    residents_.pop_back();
    return ok_status();
  }

  Result<double> run(int steps) override {
    if (residents_.empty()) return 0.0;
    RunStats stats = fresh_stats(model_.source.config.num_layers);
    Decoder decoder(model_, pool_, policy_, &threads_);
    const double start = monotonic_seconds();
    for (int step = 0; step < steps; ++step) {
      std::vector<Sequence*> batch;
      for (Sequence& sequence : residents_) {
        const int length = sequence.length;
        VORTEX_TRY(grow(sequence, length + 1));
        sequence.length = length;  // the decoder counts the token it appends
        batch.push_back(&sequence);
      }
      decoder.step(batch, nullptr, stats);
    }
    return monotonic_seconds() - start;
  }

  int block_size() const override { return pool_.block_size(); }
  int64_t pages() const override { return pool_.pages(); }

  Result<double> copy_bandwidth() override {
    const std::vector<char> from(kCopyBytes, 1);
    std::vector<char> to(kCopyBytes, 0);
    double best = 1e30;
    for (int i = 0; i < kCopies; ++i) {
      const double start = monotonic_seconds();
      cpu::parallel_for(&threads_, static_cast<int64_t>(kCopyBytes >> 20), [&](int64_t begin, int64_t end, int) {
        std::memcpy(&to[static_cast<size_t>(begin) << 20], &from[static_cast<size_t>(begin) << 20],
                    static_cast<size_t>(end - begin) << 20);
      });
      best = std::min(best, monotonic_seconds() - start);
    }
    return 2.0 * static_cast<double>(kCopyBytes) / best;
  }

  std::string device() const override { return "CPU, " + std::to_string(options_.threads) + " threads"; }
  std::string notes() const override { return {}; }

 private:
  // Takes pages until `sequence` has room for `length` tokens, and sets its length.
  Status grow(Sequence& sequence, int length) {
    if (length < 1 || length > options_.max_context) {
      return candidate_error("a request of " + std::to_string(length) + " tokens does not fit the context of " +
                             std::to_string(options_.max_context));
    }
    while (static_cast<int>(sequence.pages.size()) < pool_.blocks_for(length)) {
      if (pool_.free_pages() == 0) return candidate_error("the pool has no pages for these requests");
      sequence.pages.push_back(pool_.take());
    }
    sequence.length = length;
    return ok_status();
  }

  void fill_random() {
    for (int layer = 0; layer < model_.source.config.num_layers; ++layer) {
      for (const compile::PagedTensor& tensor : {pool_.layer(layer).k, pool_.layer(layer).v}) {
        auto* values = static_cast<cpu::Bf16*>(tensor.data);
        const int64_t count = int64_t{pool_.pages()} * tensor.kv_heads * tensor.rows * tensor.cols;
        for (int64_t i = 0; i < count; ++i) {
          values[i] = cpu::float_to_bf16(static_cast<float>(3.46 * (rng_.uniform() - 0.5)));
        }
      }
    }
  }

  PackedModel model_;
  EngineOptions options_;
  cpu::ThreadPool threads_;
  KvPool pool_;
  ActivePolicy policy_;
  std::vector<Sequence> residents_;
  Rng rng_{1};
};

}  // namespace

model::Model random_model(const model::ModelConfig& config, uint64_t seed) {
  auto weights = std::make_shared<RandomWeights>();
  Rng rng(stream_key(seed));
  const auto matrix = [&](int64_t rows, int64_t cols) {
    return weights->tensor({rows, cols}, rng, 0.0, 1.0 / std::sqrt(static_cast<double>(cols)));
  };
  const auto norm = [&](int64_t size) { return weights->tensor({size}, rng, 1.0, 0.0); };
  const int64_t hidden = config.hidden_size;
  const int64_t q = int64_t{config.num_q_heads} * config.head_dim;
  const int64_t kv = int64_t{config.num_kv_heads} * config.head_dim;
  weights->embedding = matrix(config.vocab_size, hidden);
  weights->head = config.tie_word_embeddings ? weights->embedding : matrix(config.vocab_size, hidden);
  weights->final_norm = norm(hidden);
  for (int layer = 0; layer < config.num_layers; ++layer) {
    model::LayerWeights w;
    w.attention_norm = norm(hidden);
    w.q = matrix(q, hidden);
    w.k = matrix(kv, hidden);
    w.v = matrix(kv, hidden);
    if (config.qkv_bias) {
      w.q_bias = weights->tensor({q}, rng, 0.0, 0.1);
      w.k_bias = weights->tensor({kv}, rng, 0.0, 0.1);
      w.v_bias = weights->tensor({kv}, rng, 0.0, 0.1);
    }
    if (config.qk_norm) {
      w.q_norm = norm(config.head_dim);
      w.k_norm = norm(config.head_dim);
    }
    w.o = matrix(hidden, q);
    w.mlp_norm = norm(hidden);
    w.gate = matrix(config.intermediate_size, hidden);
    w.up = matrix(config.intermediate_size, hidden);
    w.down = matrix(hidden, config.intermediate_size);
    weights->layers.push_back(std::move(w));
  }
  model::Model model;
  model.config = config;
  model.weights = weights;
  model.hash = "random";
  return model;
}

Result<std::unique_ptr<Stepper>> make_cpu_stepper(const model::ModelConfig& config, const EngineOptions& options) {
  VORTEX_ASSIGN(PackedModel packed, pack_model(random_model(config, 1), options.max_context));
  auto stepper = std::make_unique<CpuStepper>(std::move(packed), options);
  VORTEX_TRY(stepper->set_policy(std::nullopt));
  return std::unique_ptr<Stepper>(std::move(stepper));
}

}  // namespace vortex::engine
