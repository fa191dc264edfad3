// Does a CUDA device write what the CPU writes, up to near ties? Greedy tokens of both on a model.
//   compare_devices MODEL_FOLDER TEXT_FILE [POLICY.py]...
// Prompts are pieces of the text. A line an attention (dense first) and prompt: tokens until the two part, and there by
// how much, in nats, the CPU held its own token more probable than the device's. Exit code 1 where dense attention
// parts at anything but a near tie.
#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/files.h"
#include "core/engine/cuda/cuda_engine.h"
#include "core/engine/engine.h"
#include "core/model/model.h"
#include "core/model/tokenizer.h"
#include "core/vflow/policy.h"

namespace vortex::engine {
namespace {

constexpr int kPrompts = 8;
constexpr int kNewTokens = 64;
constexpr int kContext = 2048;
constexpr double kNearTie = 0.25;  // nats; bfloat16 products move log-probabilities by about a tenth of that

struct Engines {
  std::unique_ptr<Engine> cpu;
  std::unique_ptr<Engine> cuda;
};

Result<Engines> open_engines(const std::string& folder) {
  EngineOptions options;
  options.threads = static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
  options.max_batch = kPrompts;
  options.max_context = kContext;
  Engines engines;
  VORTEX_ASSIGN(model::Model on_cpu, model::load_model(folder));
  VORTEX_ASSIGN(engines.cpu, make_cpu_engine(std::move(on_cpu), options));
  VORTEX_ASSIGN(model::Model on_cuda, model::load_model(folder));
  VORTEX_ASSIGN(engines.cuda, make_cuda_engine(std::move(on_cuda), options));
  return engines;
}

// Pieces of the text of about 100, 200, ... tokens.
Result<std::vector<Request>> prompts_of(const std::string& folder, const std::string& file) {
  VORTEX_ASSIGN(const std::string text, read_file(file));
  VORTEX_ASSIGN(const auto tokenizer, model::load_tokenizer(folder));
  VORTEX_ASSIGN(const std::vector<int32_t> all, tokenizer->encode(text));
  std::vector<Request> requests;
  size_t first = 0;
  for (size_t i = 1; i <= kPrompts; ++i) {
    const size_t count = 100 * i + i;  // ends at all places of a page
    if (first + count > all.size()) { return candidate_error(file + " is too short: 4,000 tokens are needed"); }
    Request request;
    request.prompt.assign(all.begin() + static_cast<std::ptrdiff_t>(first),
                          all.begin() + static_cast<std::ptrdiff_t>(first + count));
    request.max_new_tokens = kNewTokens;
    request.ignore_eos = true;
    requests.push_back(std::move(request));
    first += count;
  }
  return requests;
}

// The policy with 8 pages to choose.
Result<vflow::Policy> load_policy(const std::string& file, const model::ModelConfig& config) {
  vflow::PolicySource source;
  source.module_file = file;
  VORTEX_ASSIGN(source.module_text, read_file(file));
  VORTEX_ASSIGN(const std::string text, read_file(file.substr(0, file.rfind('.')) + ".json"));
  nlohmann::json changed = nlohmann::json::parse(text);
  changed["vortex_topk_val"] = 8;
  changed["vortex_topk_ratio"] = 0.0;
  changed["vortex_layers_skip"] = nlohmann::json::array();
  source.config_text = changed.dump();
  vflow::CheckReport report = vflow::check_policy(source, model::geometry_of(config, kContext, 0));
  if (!report.policy) { return candidate_error(vflow::render(report.diagnostics)); }
  return std::move(*report.policy);
}

// By how much the CPU held its own token of a place more probable than the device's.
Result<double> gap_at(Engine& cpu, const Request& request, const std::vector<int32_t>& own, size_t at, int32_t other) {
  ForcedRequest forced;
  forced.request = request;
  forced.continuation.assign(own.begin(), own.begin() + static_cast<std::ptrdiff_t>(at) + 1);
  forced.wanted.assign(at + 1, {other});
  VORTEX_ASSIGN(const std::vector<Forced> told, cpu.force_decode({&forced, 1}, {}, nullptr));
  return static_cast<double>(told[0].log_probs[at] - told[0].wanted[at][0]);
}

// Gives the largest gap.
Result<double> compare(Engines& engines, const std::string& name, const std::optional<vflow::Policy>& policy,
                       const std::vector<Request>& requests) {
  VORTEX_TRY(engines.cpu->set_policy(policy));
  VORTEX_TRY(engines.cuda->set_policy(policy));
  VORTEX_ASSIGN(const std::vector<Output> own, engines.cpu->generate(requests, nullptr));
  VORTEX_ASSIGN(const std::vector<Output> others, engines.cuda->generate(requests, nullptr));
  double worst = 0;
  for (size_t i = 0; i < requests.size(); ++i) {
    const std::vector<int32_t>& a = own[i].tokens;
    const std::vector<int32_t>& b = others[i].tokens;
    const auto at = static_cast<size_t>(std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first - a.begin());
    double gap = 0;
    if (at < a.size() && at < b.size()) { VORTEX_ASSIGN(gap, gap_at(*engines.cpu, requests[i], a, at, b[at])); }
    worst = std::max(worst, gap);
    std::printf("%-24s %8zu %10zu of %-4zu %10.4f\n", name.c_str(), requests[i].prompt.size(), at, a.size(), gap);
  }
  return worst;
}

Result<int> run(const std::string& folder, const std::string& text, const std::vector<std::string>& policies) {
  VORTEX_ASSIGN(Engines engines, open_engines(folder));
  VORTEX_ASSIGN(const std::vector<Request> requests, prompts_of(folder, text));
  const model::ModelConfig& c = engines.cpu->model().config;
  std::printf("%s: %d query heads a kv head\n", folder.c_str(), c.num_q_heads / c.num_kv_heads);
  std::printf("%-24s %8s %18s %10s\n", "attention", "prompt", "equal tokens", "gap, nat");
  VORTEX_ASSIGN(const double worst, compare(engines, "dense", std::nullopt, requests));
  for (const std::string& file : policies) {
    VORTEX_ASSIGN(const vflow::Policy policy, load_policy(file, c));
    VORTEX_TRY(compare(engines, policy.program.name, policy, requests));
  }
  return worst < kNearTie ? 0 : 1;
}

}  // namespace
}  // namespace vortex::engine

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fprintf(stderr, "usage: compare_devices MODEL_FOLDER TEXT_FILE [POLICY.py]...\n");
    return 1;
  }
  const auto result = vortex::engine::run(argv[1], argv[2], std::vector<std::string>(argv + 3, argv + argc));
  if (result.ok()) { return *result; }
  std::fprintf(stderr, "%s\n", result.error().message.c_str());
  return vortex::exit_code(result.error().blame);
}
