// Prints what scripts/compare_transformers.py compares: log-probabilities and greedy tokens of our engine.
//   model_logits DEVICE [RANKS] < jobs > results     DEVICE is cpu or cuda; a JSON object a line both ways
// RANKS (1): that the model is spread over (core/engine/tensor_parallel.h).
// A job: {"model": folder, "prompt": [ids], "continuation": [ids], "greedy": n, "out": file}. `out` gets float32
// log-probabilities [continuation][vocab], teacher-forced: the first row is prefill's, the others are decode steps'.
// The result: {"tokens": [the greedy continuation of n tokens]}.
#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>
#include <thread>

#include "core/engine/engine.h"
#include "core/engine/tensor_parallel.h"
#include "core/model/model.h"
#ifdef VORTEX_WITH_CUDA
#include "core/engine/cuda/cuda_engine.h"
#include "core/engine/cuda/tensor_parallel.h"
#endif

namespace vortex::engine {
namespace {

using nlohmann::json;

Result<std::unique_ptr<Engine>> open_engine(const std::string& device, int ranks, const std::string& folder,
                                            int max_context) {
  VORTEX_ASSIGN(model::Model model, model::load_model(folder));
  EngineOptions options;
  options.threads = ranks > 1 ? 1 : static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
  options.max_batch = 1;
  options.max_context = max_context;
  if (device == "cpu" && ranks > 1) { return make_tensor_parallel_cpu_engine(model, options, ranks); }
  if (device == "cpu") { return make_cpu_engine(std::move(model), options); }
#ifdef VORTEX_WITH_CUDA
  if (device == "cuda" && ranks > 1) {
    VORTEX_ASSIGN(const std::vector<int> devices, devices_of_ranks(ranks));
    return make_cuda_tensor_parallel_engine(model, options, {}, devices);
  }
  if (device == "cuda") { return make_cuda_engine(std::move(model), options); }
#endif
  return candidate_error("no device " + device + " in this build");
}

Result<json> run(const std::string& device, int ranks, const json& job) {
  Request request;
  request.prompt = job.at("prompt").get<std::vector<int32_t>>();
  request.max_new_tokens = job.at("greedy").get<int>();
  request.ignore_eos = true;
  const auto continuation = job.at("continuation").get<std::vector<int32_t>>();
  const auto longest = request.prompt.size() + std::max(continuation.size(), job.at("greedy").get<size_t>());
  VORTEX_ASSIGN(const auto engine, open_engine(device, ranks, job.at("model"), static_cast<int>(longest) + 1));
  VORTEX_ASSIGN(const std::vector<float> log_probs, engine->teacher_force(request, continuation, {}, nullptr));
  std::ofstream(job.at("out").get<std::string>(), std::ios::binary)
      .write(reinterpret_cast<const char*>(log_probs.data()),
             static_cast<std::streamsize>(log_probs.size() * sizeof(float)));
  VORTEX_ASSIGN(const std::vector<Output> outputs, engine->generate({request}, nullptr));
  return json({{"tokens", outputs[0].tokens}});
}

}  // namespace
}  // namespace vortex::engine

int main(int argc, char** argv) {
  const std::string device = argc > 1 ? argv[1] : "cpu";
  const int ranks = argc > 2 ? std::max(1, std::atoi(argv[2])) : 1;
  for (std::string line; std::getline(std::cin, line);) {
    const auto result = vortex::engine::run(device, ranks, nlohmann::json::parse(line));
    if (!result.ok()) {
      std::cerr << result.error().message << '\n';
      return vortex::exit_code(result.error().blame);
    }
    std::cout << result->dump() << std::endl;
  }
}
