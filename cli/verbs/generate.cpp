#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <iostream>
#include <memory>
#include <optional>
#include <thread>

#include "base/date.h"
#include "base/text.h"
#include "cli/continuation.h"
#include "cli/interrupt.h"
#include "cli/not_negative.h"
#include "cli/policy_files.h"
#include "cli/prompts.h"
#include "cli/show/generation_output.h"
#include "cli/verbs/verbs.h"
#include "core/model/chat.h"
#include "core/model/model.h"
#include "sandbox/folders.h"

namespace vortex::cli {
namespace {

struct GenerateArguments {
  std::string prompt;
  std::string prompts_file;
  std::string policy;
  std::string policy_config;
  std::string model;
  bool compare = false;
  bool chat = false;
  bool no_think = false;
  model::ChatOptions chat_options;
  job::GenerationJob job;
};

// What the user asked for, read and checked.
struct Prepared {
  std::vector<std::string> prompts;
  std::unique_ptr<model::Tokenizer> tokenizer;
  std::string policy_name;
  job::GenerationJob job;
};

// The ids of a prompt, and whether they depend on the date.
struct Encoded {
  std::vector<int32_t> ids;
  bool used_date = false;
};

Result<Encoded> encode(const model::Tokenizer& tokenizer, const std::optional<model::ChatTemplate>& chat,
                       const std::string& prompt, const model::ChatOptions& options) {
  if (chat) {
    VORTEX_ASSIGN(const model::ChatPrompt asked, chat->render({{"user", prompt}}, options));
    VORTEX_ASSIGN(std::vector<int32_t> ids, tokenizer.encode(asked.text));
    return Encoded{std::move(ids), asked.used_date};
  }
  VORTEX_ASSIGN(std::vector<int32_t> ids, tokenizer.encode(prompt));
  return Encoded{tokenizer.add_special_tokens(std::move(ids)), false};
}

Status encode_prompts(const GenerateArguments& arguments, Prepared& prepared) {
  std::optional<model::ChatTemplate> chat;
  if (arguments.chat) { VORTEX_ASSIGN(chat, model::ChatTemplate::read(prepared.job.model_path)); }
  model::ChatOptions options = arguments.chat_options;
  if (arguments.no_think) { options.thinking = false; }
  bool used_date = false;
  for (size_t i = 0; i < prepared.prompts.size(); ++i) {
    const Result<Encoded> encoded = encode(*prepared.tokenizer, chat, prepared.prompts[i], options);
    const std::string which = prepared.prompts.size() == 1 ? "the prompt" : "prompt " + std::to_string(i + 1);
    if (!encoded.ok()) {
      return Error{encoded.error().blame, which + ": " + encoded.error().message, encoded.error().hint};
    }
    if (encoded->ids.empty()) { return candidate_error(which + " has no tokens"); }
    prepared.job.prompts.push_back(encoded->ids);
    used_date = used_date || encoded->used_date;
  }
  if (used_date) { log_line("the chat template writes the day into the prompt: " + options.date + " (--date)"); }
  return ok_status();
}

// Tokens of the longest prompt and its answer, if the model has that many positions.
Result<int> longest_context(const Prepared& prepared, const model::ModelConfig& config) {
  size_t longest = 0;
  for (const auto& ids : prepared.job.prompts) { longest = std::max(longest, ids.size()); }
  const size_t context = longest + static_cast<size_t>(prepared.job.max_new_tokens);
  if (context <= static_cast<size_t>(config.max_position_embeddings)) { return static_cast<int>(context); }
  return candidate_error("a prompt of " + std::to_string(longest) + " tokens and " +
                             std::to_string(prepared.job.max_new_tokens) + " new ones exceed the model's " +
                             std::to_string(config.max_position_embeddings) + " positions",
                         "shorten the prompt or ask for less with --max-tokens");
}

Result<std::string> chosen_model(const GenerateArguments& arguments, const vflow::PolicySource& source) {
  if (!arguments.policy.empty()) { return model_of(source, arguments.model); }
  if (arguments.model.empty()) { return candidate_error("which model?", "name its folder with --model"); }
  return arguments.model;
}

Result<Prepared> prepare(const GenerateArguments& arguments) {
  if (arguments.compare && arguments.policy.empty()) {
    return candidate_error("compare dense attention with what?", "name a policy with --policy FILE.py");
  }
  if (arguments.no_think && !arguments.chat) { return candidate_error("--no-think is for --chat"); }
  const std::string& date = arguments.chat_options.date;
  if (!is_date(date)) { return candidate_error("--date " + date + " is no day", "write it as 2024-07-26"); }
  Prepared prepared;
  prepared.job = arguments.job;
  vflow::PolicySource source;
  if (!arguments.policy.empty()) { VORTEX_ASSIGN(source, read_policy(arguments.policy, arguments.policy_config)); }
  VORTEX_ASSIGN(prepared.job.model_path, chosen_model(arguments, source));
  VORTEX_ASSIGN(const model::ModelConfig config, model::read_model_config(prepared.job.model_path));
  VORTEX_ASSIGN(prepared.tokenizer, model::load_tokenizer(prepared.job.model_path));
  VORTEX_ASSIGN(prepared.prompts, read_prompts(arguments.prompt, arguments.prompts_file));
  VORTEX_TRY(encode_prompts(arguments, prepared));
  VORTEX_ASSIGN(const int context, longest_context(prepared, config));
  prepared.job.dense = arguments.policy.empty() || arguments.compare;
  if (arguments.policy.empty()) { return prepared; }
  VORTEX_ASSIGN(const vflow::Policy policy, checked_policy(source, model::geometry_of(config, context, 0)));
  prepared.policy_name = policy.program.name;
  prepared.job.module_text = source.module_text;
  prepared.job.config_text = source.config_text;
  return prepared;
}

// What a run came to, for the user.
void log_run(const job::GenerationRun& run, const std::string& policy_name) {
  const double seconds = std::max(run.decode_seconds, 1e-9);
  std::string line = (run.dense ? "dense" : policy_name) + ": " + std::to_string(run.prompt_tokens) +
                     " tokens read in " + fixed(run.prefill_seconds, 2) + " s, " + std::to_string(run.new_tokens) +
                     " written, " + fixed(static_cast<double>(run.new_tokens) / seconds, 1) + " a second";
  if (!run.dense && run.pages_visible > 0) {
    const double share = static_cast<double>(run.pages_attended) / static_cast<double>(run.pages_visible);
    line += "; attended " + fixed(100 * share, 1) + " % of the pages";
  }
  log_line(line);
}

Result<int> generate(const Context& context, const GenerateArguments& arguments) {
  VORTEX_ASSIGN(const Prepared prepared, prepare(arguments));
  VORTEX_ASSIGN(sandbox::ExecutorOptions options, executor_options(context, 0, 0));
  options.scratch_root = sandbox::temporary_scratch_root();  // nothing is kept: no workspace is needed
  const auto output = make_generation_output(context.format(), prepared.prompts, prepared.policy_name,
                                             arguments.compare, *prepared.tokenizer);
  job::GenerationEvents events;
  events.on_token = [&](const job::NewToken& token) { output->take(token); };
  events.on_run = [&](const job::GenerationRun& run) {
    output->end_run();
    log_run(run, prepared.policy_name);
  };
  catch_interrupts();
  const Status status = sandbox::run_generation(prepared.job, options, events, [] { return interrupts() > 0; });
  output->close();
  if (interrupts() > 0) {
    log_line("interrupted");
    return kInterrupted;
  }
  VORTEX_TRY(status);
  return 0;
}

}  // namespace

void add_generate(CLI::App& app, Context& context) {
  const auto arguments = std::make_shared<GenerateArguments>();
  job::GenerationJob& job = arguments->job;
  job.threads = static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
  CLI::App* verb = add_verb(app, context, "generate", "continues prompts, with dense attention, a policy, or both",
                            [&context, arguments] { return generate(context, *arguments); });
  verb->add_option("prompt", arguments->prompt, "the prompt; - reads it from standard input");
  verb->add_option("--prompts", arguments->prompts_file,
                   "file of prompts: one a line, or JSON lines with \"prompt\" or \"problem\"; - is standard input");
  verb->add_option("--model", arguments->model, "folder of the model (the configuration's model_path)");
  verb->add_option("--policy", arguments->policy, "a policy, a .py file (none: dense attention)");
  verb->add_option("--policy-config", arguments->policy_config, "its configuration (the .json beside it)");
  verb->add_flag("--compare", arguments->compare, "dense attention and the policy side by side");
  verb->add_flag("--chat", arguments->chat, "the prompt is a user's message in the model's chat template");
  verb->add_flag("--no-think", arguments->no_think, "with --chat: answer at once, where the template knows thinking");
  verb->add_option("--date", arguments->chat_options.date, "with --chat: today, for templates that tell the model")
      ->capture_default_str();
  verb->add_option("--max-new-tokens,--max-tokens", job.max_new_tokens, "tokens of an answer at most")
      ->capture_default_str()
      ->check(CLI::Range(1, 1 << 20));
  verb->add_option("--temperature", job.temperature, "0 is greedy")->capture_default_str()->check(CLI::Range(0.0, 1e3));
  verb->add_option("--top-p", job.top_p, "share of the probability to sample from")
      ->capture_default_str()
      ->check(CLI::Range(1e-9, 1.0));
  verb->add_option("--top-k", job.top_k, "tokens to sample from; 0: all")
      ->capture_default_str()
      ->check(CLI::Range(0, 1 << 24));
  verb->add_option("--seed", job.seed, "of sampling")->capture_default_str()->check(kNotNegative);
  verb->add_option("--batch", job.batch, "prompts continued together")
      ->capture_default_str()
      ->check(CLI::Range(1, 1024));
  verb->add_option("--threads", job.threads, "threads of the worker")->check(CLI::Range(1, 1024));
  add_device_option(verb, job.device);
  add_cpu_math_option(verb, job.cpu_math);
  add_ranks_option(verb, job.tensor_parallel);
  add_worker_option(verb, context);
  add_format_option(verb, context);
}

}  // namespace vortex::cli
