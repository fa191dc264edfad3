#include <algorithm>
#include <filesystem>
#include <memory>
#include <thread>

#include "cli/become.h"
#include "cli/policy_files.h"
#include "cli/verbs/verbs.h"
#include "core/model/model.h"
#include "job/serving.h"
#include "study/loaded_run.h"

namespace vortex::cli {
namespace {

struct ServeArguments {
  std::vector<std::string> policies;
  std::vector<int64_t> candidates;
  double kv_gigabytes = 0;
  job::ServingJob job;
};

// A policy with the model folder that it names itself; empty: none.
struct NamedPolicy {
  std::string name;
  vflow::PolicySource source;
  std::string model;
};

Result<NamedPolicy> policy_of_file(const std::string& file) {
  NamedPolicy policy;
  policy.name = std::filesystem::path(file).stem().string();
  VORTEX_ASSIGN(policy.source, read_policy(file, ""));
  return policy;
}

Result<NamedPolicy> policy_of_candidate(const Context& context, int64_t number) {
  VORTEX_ASSIGN(const study::LoadedRun run, study::load_run_of(context.workspace, number));
  VORTEX_ASSIGN(const db::Candidate row, study::find_candidate(*run.store, number));
  VORTEX_ASSIGN(study::CandidateFiles files, study::files_of(*run.store, row));
  if (files.module_text.empty()) {
    return candidate_error("candidate " + std::to_string(number) + " is dense attention, which is served as \"dense\"");
  }
  NamedPolicy policy;
  policy.name = "candidate-" + std::to_string(number);
  policy.source = {std::move(files.module_text), std::move(files.config_text), policy.name + ".py",
                   policy.name + ".json"};
  policy.model = run.options.job.model_path;
  return policy;
}

Result<std::vector<NamedPolicy>> find_policies(const Context& context, const ServeArguments& arguments) {
  std::vector<NamedPolicy> policies;
  for (const std::string& file : arguments.policies) { VORTEX_ASSIGN(policies.emplace_back(), policy_of_file(file)); }
  for (const int64_t number : arguments.candidates) {
    VORTEX_ASSIGN(policies.emplace_back(), policy_of_candidate(context, number));
  }
  for (auto one = policies.begin(); one != policies.end(); ++one) {
    const auto same = [&](const NamedPolicy& other) { return other.name == one->name; };
    if (one->name == "dense" || std::any_of(policies.begin(), one, same)) {
      return candidate_error("two policies would be called " + one->name, "rename one of the files");
    }
  }
  return policies;
}

Result<std::string> chosen_model(const std::string& named, const std::vector<NamedPolicy>& policies) {
  if (!named.empty()) { return named; }
  if (policies.empty()) { return candidate_error("which model?", "vortex serve MODEL names its folder"); }
  if (!policies[0].model.empty()) { return policies[0].model; }
  return model_of(policies[0].source, "");
}

// What clients call a model where nobody says: the last part of its folder's path.
std::string name_of_folder(const std::string& folder) {
  std::error_code ec;
  const std::filesystem::path path = std::filesystem::weakly_canonical(folder, ec);
  return path.filename().empty() ? path.parent_path().filename().string() : path.filename().string();
}

// Comes back only where there is nothing to serve: the server is a program of its own.
Result<int> serve(const Context& context, const ServeArguments& arguments) {
  job::ServingJob job = arguments.job;
  VORTEX_ASSIGN(const std::vector<NamedPolicy> policies, find_policies(context, arguments));
  VORTEX_ASSIGN(job.model_path, chosen_model(job.model_path, policies));
  VORTEX_ASSIGN(const model::ModelConfig config, model::read_model_config(job.model_path));
  if (job.max_context > config.max_position_embeddings) {
    return candidate_error("the model has " + std::to_string(config.max_position_embeddings) + " positions, not " +
                           std::to_string(job.max_context));
  }
  if (job.model_name.empty()) { job.model_name = name_of_folder(job.model_path); }
  job.kv_memory_bytes = static_cast<int64_t>(arguments.kv_gigabytes * 1e9);
  const int longest = job.max_context == 0 ? config.max_position_embeddings : job.max_context;
  vflow::ModelGeometry geometry = model::geometry_of(config, longest, 0);
  geometry.backend = limits_of_device(job.device);
  for (const NamedPolicy& policy : policies) {
    VORTEX_TRY(checked_policy(policy.source, geometry));
    job.policies.push_back({policy.name, policy.source.module_text, policy.source.config_text});
  }
  return become_with_input("vortex-serve", to_json(job).dump());
}

}  // namespace

void add_serve(CLI::App& app, Context& context) {
  const auto arguments = std::make_shared<ServeArguments>();
  job::ServingJob& job = arguments->job;
  job.threads = static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
  CLI::App* verb = add_verb(app, context, "serve", "serves a model with its policies to clients of OpenAI's API",
                            [&context, arguments] { return serve(context, *arguments); });
  const auto many = CLI::MultiOptionPolicy::TakeAll;
  verb->add_option("model", job.model_path, "folder of the model (else the one of the first policy)");
  verb->add_option("--policy", arguments->policies, "a policy to serve it with, a .py file; may be said several times")
      ->allow_extra_args(false)
      ->multi_option_policy(many);
  verb->add_option("--candidate", arguments->candidates, "a candidate of the workspace; may be said several times")
      ->allow_extra_args(false)
      ->multi_option_policy(many);
  verb->add_option("--name", job.model_name, "what clients call the model (the name of its folder)");
  begin_group(verb, "Clients");
  verb->add_option("--address", job.address, "to listen on; beyond this machine clients need the key in VORTEX_API_KEY")
      ->capture_default_str();
  verb->add_option("--port", job.port, "to listen on; 0: any that is free")
      ->capture_default_str()
      ->check(CLI::Range(0, 65535));
  verb->add_option("--allow-origin", job.allowed_origins,
                   "a web page's origin, e.g. https://chat.example, that may ask; *: any; may be said several times")
      ->allow_extra_args(false)
      ->multi_option_policy(many);
  verb->add_option("--queue", job.queue, "requests of a policy that may wait; more are told to try again (429)")
      ->capture_default_str()
      ->check(CLI::Range(0, 1 << 20));
  verb->add_option("--request-seconds", job.request_seconds, "after which a request is given up; 0: never")
      ->capture_default_str()
      ->check(CLI::Range(0.0, 1e6));
  verb->add_option("--drain-seconds", job.drain_seconds,
                   "that running requests have to end, once the server is told to")
      ->capture_default_str()
      ->check(CLI::Range(0.0, 1e6));
  begin_group(verb, "Engine");
  add_device_option(verb, job.device);
  verb->add_option("--batch", job.batch, "requests of a policy that decode together")
      ->capture_default_str()
      ->check(CLI::Range(1, 1024));
  verb->add_option("--context", job.max_context, "tokens of a request with its answer; 0: all that the model has")
      ->capture_default_str()
      ->check(CLI::Range(0, 1 << 20));
  verb->add_option("--kv-gb", arguments->kv_gigabytes,
                   "memory for KV, of all policies; 0: up to half of the machine's, or what a GPU has")
      ->capture_default_str()
      ->check(CLI::Range(0.0, 1e6));
  verb->add_option("--chunk-tokens", job.chunk_tokens,
                   "of prompts, read between two decode rounds of a policy; 0: no limit")
      ->capture_default_str()
      ->check(CLI::Range(0, 1 << 20));
  verb->add_option("--chunk-ms", job.chunk_ms,
                   "milliseconds that reading them may take, about; 0: no limit [100, on a GPU 20]")
      ->check(CLI::Range(-1.0, 1e9));
  verb->add_option(
          "--decode-share", job.decode_share,
          "of the time while requests decode, what decoding has at least, on a GPU; 0: a chunk between any two")
      ->check(CLI::Range(0.0, 0.95));
  verb->add_option("--share-patience", job.share_patience,
                   "seconds after which a prompt is read all the same; 0: never")
      ->capture_default_str()
      ->check(CLI::Range(0.0, 1e6));
  verb->add_flag("!--no-prefix-cache", job.prefix_cache, "keep no pages of prompts for those that begin alike");
  verb->add_flag("!--no-packing", job.pack_prompts, "read short prompts that wait one after the other, on a GPU too");
  verb->add_option("--threads", job.threads, "threads of the engine")->check(CLI::Range(1, 1024));
  add_cpu_math_option(verb, job.cpu_math);
  add_workspace_option(verb, context);
}

}  // namespace vortex::cli
