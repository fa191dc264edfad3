// Fixed-work decode of a batch of long prompts: dense beside block top-k with fewer and fewer pages, or beside the
// policies that are named, with the bytes of the limit model beside a plain read of memory.
// usage: decode_bench MODEL_FOLDER [threads] [context] [batch] [MODULE.py CONFIG.json]...
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <numeric>
#include <optional>
#include <string>
#include <vector>

#include "base/files.h"
#include "base/rng.h"
#include "core/engine/engine.h"
#include "core/vflow/policy.h"
#include "kernels/cpu/parallel.h"

namespace {

using namespace vortex;

constexpr int kNewTokens = 33;  // 32 decode steps
constexpr int kRounds = 3;

[[noreturn]] void fail(const std::string& message) {
  std::fprintf(stderr, "decode_bench: %s\n", message.c_str());
  std::exit(1);
}

template <typename T>
T unwrap(Result<T> result) {
  if (!result.ok()) { fail(result.error().message); }
  return std::move(*result);
}

// Bytes a second of summing more memory than the caches hold.
double plain_read_rate(int threads) {
  cpu::ThreadPool pool(threads);
  const std::vector<uint64_t> words(size_t{32} << 20, 1);  // 256 MiB
  std::vector<uint64_t> sums(static_cast<size_t>(threads));
  double best = 0;
  for (int round = 0; round < 5; ++round) {
    const auto start = std::chrono::steady_clock::now();
    cpu::parallel_for(&pool, static_cast<int64_t>(words.size()), [&](int64_t begin, int64_t end, int worker) {
      sums[static_cast<size_t>(worker)] += std::accumulate(words.begin() + begin, words.begin() + end, uint64_t{0});
    });
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    best = std::max(best, static_cast<double>(words.size() * sizeof(uint64_t)) / seconds);
  }
  if (std::accumulate(sums.begin(), sums.end(), uint64_t{0}) == 0) { fail("the sums are wrong"); }
  return best;
}

std::optional<vflow::Policy> checked(const vflow::PolicySource& source, const model::ModelConfig& config,
                                     int max_context) {
  vflow::CheckReport report = vflow::check_policy(source, model::geometry_of(config, max_context, 0));
  if (!report.policy) { fail(vflow::render(report.diagnostics)); }
  return report.policy;
}

vflow::PolicySource block_topk(int pages) {
  vflow::PolicySource source;
  source.module_text = unwrap(read_file(std::string(VORTEX_SOURCE_DIR) + "/examples/policies/block_topk.py"));
  source.config_text = R"({"vortex_module_path": "policy.py", "vortex_module_name": "block_topk", "model_path": "model",
    "vortex_block_reserved_bos": 1, "vortex_block_reserved_eos": 2, "vortex_layers_skip": [], "vortex_topk_val": )" +
                       std::to_string(pages - 3) + "}";
  return source;
}

vflow::PolicySource policy_files(const std::string& module_path, const std::string& config_path) {
  vflow::PolicySource source;
  source.module_text = unwrap(read_file(module_path));
  source.config_text = unwrap(read_file(config_path));
  return source;
}

std::vector<engine::Request> make_requests(engine::Engine& engine, int context, int batch) {
  std::vector<engine::Request> requests;
  for (int i = 0; i < batch; ++i) {
    Rng rng(static_cast<uint64_t>(i));
    engine::Request request;
    for (int token = 0; token < context; ++token) {
      request.prompt.push_back(
          static_cast<int32_t>(rng.below(static_cast<uint64_t>(engine.model().config.vocab_size))));
    }
    request.prefix = unwrap(engine.prefix(request.prompt, "decode_bench.prefixes"));
    request.max_new_tokens = kNewTokens;
    request.ignore_eos = true;
    requests.push_back(std::move(request));
  }
  return requests;
}

engine::RunStats best_run(engine::Engine& engine, const std::vector<engine::Request>& requests) {
  engine::RunStats best;
  for (int round = 0; round < kRounds; ++round) {
    engine::RunStats stats;
    unwrap(engine.generate(requests, &stats));
    if (round == 0 || stats.decode_seconds < best.decode_seconds) { best = stats; }
  }
  return best;
}

void report(const char* name, const engine::RunStats& stats, double plain, double dense_seconds) {
  const double steps = static_cast<double>(stats.decode_steps);
  const double bytes = static_cast<double>(stats.kv_bytes_read + stats.weight_bytes_read);
  const double rate = bytes / stats.decode_seconds;
  std::printf("%-12s %8.2f ms/step %9.0f tokens/s %8.1f MB/step %6.2f GB/s (%3.0f %% of a plain read)  %.2fx dense\n",
              name, 1e3 * stats.decode_seconds / steps, static_cast<double>(stats.decode_tokens) / stats.decode_seconds,
              1e-6 * bytes / steps, 1e-9 * rate, 100 * rate / plain, dense_seconds / stats.decode_seconds);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) { fail("usage: decode_bench MODEL_FOLDER [threads] [context] [batch] [MODULE.py CONFIG.json]..."); }
  const auto argument = [&](int index, int fallback) { return argc > index ? std::atoi(argv[index]) : fallback; };
  engine::EngineOptions options;
  options.threads = argument(2, 1);
  const int context = argument(3, 4096);
  options.max_batch = argument(4, 16);
  options.max_context = context + kNewTokens;
  const auto engine = unwrap(engine::make_cpu_engine(unwrap(model::load_model(argv[1])), options));
  const double plain = plain_read_rate(options.threads);
  std::printf("%d tokens of context, batch %d, %d thread(s), plain read %.2f GB/s\n", context, options.max_batch,
              options.threads, 1e-9 * plain);

  const auto start = std::chrono::steady_clock::now();
  const std::vector<engine::Request> requests = make_requests(*engine, context, options.max_batch);
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  std::printf("prefill or its snapshot: %.2f s a prompt\n", seconds / options.max_batch);

  const engine::RunStats dense = best_run(*engine, requests);
  report("dense", dense, plain, dense.decode_seconds);
  const auto run_policy = [&](const std::string& name, const vflow::PolicySource& source) {
    const Status status = engine->set_policy(checked(source, engine->model().config, options.max_context));
    if (!status.ok()) { fail(status.error().message); }
    report(name.c_str(), best_run(*engine, requests), plain, dense.decode_seconds);
  };
  for (int i = 5; i + 1 < argc; i += 2) { run_policy(argv[i + 1], policy_files(argv[i], argv[i + 1])); }
  const int blocks = context / 16;
  for (int share : {2, 4, 8, 16}) {
    if (argc > 5 || blocks / share <= 3) { continue; }
    run_policy("1/" + std::to_string(share) + " of pages", block_topk(blocks / share));
  }
  return 0;
}
