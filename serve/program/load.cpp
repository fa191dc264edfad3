// `vortex bench load URL`: sends a made-up or a recorded load to a server of OpenAI's API, and says what its clients
// saw.

#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstdlib>
#include <map>

#include "base/files.h"
#include "serve/load/plan.h"
#include "serve/load/run.h"
#include "serve/load/summary.h"

namespace vortex::load {
namespace {

struct Arguments {
  std::string url;
  std::string model;
  std::string trace;
  std::string format = "text";
  MadeUp made_up;
  Replay replay;
  Bounds bounds;
  RunOptions run;
};

Result<int> measure(const Arguments& arguments) {
  VORTEX_ASSIGN(Target target, parse_target(arguments.url));
  target.model = arguments.model;
  if (const char* key = std::getenv("VORTEX_API_KEY")) { target.api_key = key; }
  std::vector<LoadRequest> requests;
  if (arguments.trace.empty()) {
    requests = make_up(arguments.made_up);
  } else {
    VORTEX_ASSIGN(const std::string text, read_file(arguments.trace));
    VORTEX_ASSIGN(requests, parse_trace(text, arguments.trace));
    apply(arguments.replay, requests);
  }
  const Summary summary = summarise(run(target, requests, arguments.run), arguments.bounds);
  if (arguments.format == "json") {
    nlohmann::json record = to_json(summary);
    record["schema"] = 1;
    record["kind"] = "load";
    std::printf("%s\n", record.dump().c_str());
  } else {
    std::printf("%s", to_text(summary, arguments.bounds).c_str());
  }
  return summary.ended == 0 ? exit_code(Blame::kEnvironment) : 0;
}

void add_options(CLI::App& app, Arguments& arguments) {
  app.option_defaults()->always_capture_default();
  app.add_option("url", arguments.url, "of the server, e.g. http://127.0.0.1:8000/v1; its key is in VORTEX_API_KEY")
      ->required();
  app.add_option("--model", arguments.model, "as the server calls it")->required();
  app.add_option("--vocab", arguments.run.vocab, "made-up prompts have token ids below this")->required();
  app.add_option("--lowest-token", arguments.run.lowest_token, "and not below this, to leave special ones out");
  app.add_option("--requests", arguments.made_up.requests, "of a made-up load")->check(CLI::Range(1, 1'000'000));
  app.add_option("--rate", arguments.made_up.rate, "requests a second; 0: all at once")->check(CLI::Range(0.0, 1e6));
  const std::map<std::string, Arrivals> names = {
      {"poisson", Arrivals::kPoisson}, {"gamma", Arrivals::kGamma}, {"constant", Arrivals::kConstant}};
  app.add_option("--arrivals", arguments.made_up.arrivals, "poisson, gamma or constant")
      ->default_str("poisson")
      ->transform(CLI::CheckedTransformer(names));
  app.add_option("--smoothness", arguments.made_up.smoothness, "of gamma arrivals: below 1 they come in bursts")
      ->check(CLI::Range(0.01, 1e3));
  app.add_option("--prompt", arguments.made_up.prompt_tokens, "tokens of a prompt")->check(CLI::Range(1, 1 << 24));
  app.add_option("--shared", arguments.made_up.shared_tokens, "of these, that all begin with (multiples of 512)");
  app.add_option("--output", arguments.made_up.output_tokens, "tokens of an answer")->check(CLI::Range(1, 1 << 24));
  app.add_option("--seed", arguments.made_up.seed, "of the load");
  app.add_option("--trace", arguments.trace, "a recorded load instead, in the format of Mooncake's traces (.jsonl)");
  app.add_option("--speed", arguments.replay.speed, "how much faster it comes than it was recorded")
      ->check(CLI::Range(1e-6, 1e6));
  app.add_flag("--spread", arguments.replay.spread, "requests of one time stamp come evenly until the next one");
  app.add_option("--most", arguments.replay.most, "the first so many requests of it; 0: all");
  app.add_option("--ttft", arguments.bounds.first, "goodput: seconds to the first token");
  app.add_option("--tpot", arguments.bounds.between, "goodput: seconds a token after it");
  app.add_option("--patience", arguments.run.patience, "seconds that a request may take");
  app.add_option("--format", arguments.format, "text or json")->check(CLI::IsMember({"text", "json"}));
}

int main_function(int argc, char** argv) {
  Arguments arguments;
  CLI::App app("Sends a load to a server of OpenAI's API and says what its clients saw.", "vortex bench load");
  add_options(app, arguments);
  CLI11_PARSE(app, argc, argv);
  arguments.run.seed = arguments.made_up.seed;
  const Result<int> result = measure(arguments);
  if (result.ok()) { return *result; }
  std::fprintf(stderr, "error: %s\n", result.error().message.c_str());
  if (!result.error().hint.empty()) { std::fprintf(stderr, "hint: %s\n", result.error().hint.c_str()); }
  return exit_code(result.error().blame);
}

}  // namespace
}  // namespace vortex::load

int main(int argc, char** argv) {
  try {
    return vortex::load::main_function(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "error: unexpected: %s\n", error.what());
    return vortex::exit_code(vortex::Blame::kInternal);
  }
}
