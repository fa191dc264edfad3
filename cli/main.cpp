#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <string>
#include <vector>

#include "base/text.h"
#include "cli/arguments.h"
#include "cli/verbs/verbs.h"

namespace vortex::cli {
namespace {

std::vector<std::string> verb_names(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::App* verb : app.get_subcommands([](const CLI::App*) { return true; })) {
    names.push_back(verb->get_name());
  }
  return names;
}

Result<int> unknown_verb(const CLI::App& app, const std::string& word) {
  const auto nearest = nearest_word(word, verb_names(app));
  return candidate_error("unknown verb: " + word,
                         nearest ? "did you mean " + *nearest + "?" : "`vortex --help` lists the verbs");
}

Result<int> run(CLI::App& app, Context& context, const std::vector<std::string>& arguments) {
  if (arguments.empty()) {
    std::cout << app.help();
    return exit_code(Blame::kCandidate);
  }
  const std::vector<std::string> names = verb_names(app);
  const bool is_verb = std::find(names.begin(), names.end(), arguments[0]) != names.end();
  if (!is_verb && !arguments[0].starts_with("-")) { return unknown_verb(app, arguments[0]); }
  CLI::App& verb = is_verb ? *app.get_subcommand(arguments[0]) : app;
  std::vector<std::string> complete = arguments;
  if (is_verb) { VORTEX_ASSIGN(complete, complete_arguments(verb, arguments)); }
  std::reverse(complete.begin(), complete.end());  // CLI11 takes them from the back
  try {
    app.parse(complete);
  } catch (const CLI::Success& success) {
    return app.exit(success, std::cout, std::cerr);  // --help, --version
  } catch (const CLI::ParseError& error) { return describe_parse_error(verb, error); }
  return context.action();
}

void add_verbs(CLI::App& app, Context& context) {
  add_search(app, context);
  add_status(app, context);
  add_stop(app, context);
  add_report(app, context);
  add_dashboard(app, context);
  add_front(app, context);
  add_show(app, context);
  add_diff(app, context);
  add_lineage(app, context);
  add_check(app, context);
  add_generate(app, context);
  add_eval(app, context);
  add_replay(app, context);
  add_layers(app, context);
  add_export(app, context);
  add_fetch(app, context);
  add_doctor(app, context);
  add_tokenize(app, context);
  add_vflow(app, context);
  add_database(app, context);
  add_diversity(app, context);
  add_bench(app, context);
  add_completions(app, context);
  add_man(app, context);
}

int main_function(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);  // a reader that goes away is an error of a write, not the end of a search
  CLI::App app("Searches for sparse-attention policies that make a model decode faster without making it wrong.",
               "vortex");
  app.option_defaults()->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  app.set_version_flag("--version", "vortex 0.1");
  app.require_subcommand(1);
  app.footer(
      "Exit codes: 0 done, 1 your input is wrong, 2 a fault of vortex, 3 the machine is at fault,\n"
      "130 interrupted and resumable. `vortex VERB --help` explains a verb.");
  Context context;
  add_verbs(app, context);
  const Result<int> result = run(app, context, std::vector<std::string>(argv + 1, argv + argc));
  std::cout.flush();
  if (!result.ok()) { return print_error(result.error()); }
  if (!std::cout) { return print_error(environment_error("cannot write to stdout")); }
  return *result;
}

}  // namespace
}  // namespace vortex::cli

int main(int argc, char** argv) {
  try {
    return vortex::cli::main_function(argc, argv);
  } catch (const std::exception& error) {
    return vortex::cli::print_error(vortex::internal_error(std::string("unexpected: ") + error.what()));
  }
}
