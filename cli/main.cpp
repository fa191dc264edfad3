#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <optional>
#include <string>
#include <vector>

#include "base/text.h"
#include "cli/arguments.h"
#include "cli/show/help.h"
#include "cli/show/option_table.h"
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

// Help is asked for before anything else is looked at: `vortex help VERB`, `vortex VERB --help`.
std::optional<std::string> asked_help(const CLI::App& app, const std::vector<std::string>& arguments) {
  const bool asks = arguments.empty() || arguments[0] == "help" || arguments[0] == "--help" || arguments[0] == "-h";
  std::string named = asks ? (arguments.size() > 1 ? arguments[1] : "") : arguments[0];
  if (asks && named.starts_with("-")) { named = "help"; }
  const CLI::App* verb = named.empty() ? nullptr : find_verb(app, named);
  if (asks && named.empty()) { return program_help(app); }
  if (verb == nullptr) { return std::nullopt; }
  const bool takes_help = verb->get_help_ptr() != nullptr;
  const auto last = std::find(arguments.begin(), arguments.end(), "--");
  const bool flag = takes_help && std::any_of(arguments.begin(), last,
                                              [](const std::string& word) { return word == "--help" || word == "-h"; });
  return asks || flag ? std::optional(verb_help(*verb)) : std::nullopt;
}

// The options of a verb as they would count, and where each comes from.
Result<int> show_config(const CLI::App& verb, const Context& context, Format format) {
  Table table({"option", "value", "from"});
  std::vector<nlohmann::json> items;
  for (const CLI::Option* option : verb.get_options()) {
    if (option->get_lnames().empty() || option == verb.get_help_ptr()) { continue; }
    const std::string& name = option->get_lnames().front();
    const auto origin = context.origins.find(name);
    const std::string from = origin != context.origins.end() ? origin->second
                             : option->count() > 0           ? "command line"
                                                             : "default";
    const bool last_counts = option->get_multi_option_policy() == CLI::MultiOptionPolicy::TakeLast;
    std::string value = option->get_default_str();
    if (option->count() > 0) { value = last_counts ? option->results().back() : join(option->results(), ", "); }
    items.push_back({{"option", name}, {"value", value}, {"from", from}});
    table.add({name, value, from});
  }
  if (format == Format::kText) {
    print_table(table);
  } else {
    print_records(format, "option", items);
  }
  return 0;
}

Status parse(CLI::App& app, CLI::App& verb, Context& context, const std::vector<std::string>& arguments) {
  VORTEX_ASSIGN(CompleteArguments complete, complete_arguments(verb, arguments));
  context.origins = std::move(complete.origins);
  std::reverse(complete.words.begin(), complete.words.end());  // CLI11 takes them from the back
  try {
    app.parse(complete.words);
  } catch (const CLI::ParseError& error) { return describe_parse_error(verb, error); }
  return ok_status();
}

Result<int> run(CLI::App& app, Context& context, std::vector<std::string> arguments) {
  if (const auto help = asked_help(app, arguments)) {
    std::cout << *help;
    return arguments.empty() ? exit_code(Blame::kCandidate) : 0;
  }
  if (arguments[0] == "--version") {
    std::cout << app.version() << "\n";
    return 0;
  }
  const bool shows_config = arguments[0] == "config" && arguments.size() > 1 && arguments[1] == "show";
  if (shows_config) {
    arguments.erase(arguments.begin(), arguments.begin() + 2);
    if (arguments.empty() || arguments[0].starts_with("-")) { arguments.insert(arguments.begin(), "search"); }
  }
  if (arguments[0] == "help") { arguments.erase(arguments.begin()); }  // of what is no verb
  const bool is_verb = find_verb(app, arguments[0]) != nullptr;
  CLI::App* verb = is_verb ? app.get_subcommand(arguments[0]) : nullptr;
  if (verb == nullptr && !arguments[0].starts_with("-")) { return unknown_verb(app, arguments[0]); }
  VORTEX_TRY(parse(app, verb == nullptr ? app : *verb, context, arguments));
  return shows_config ? show_config(*verb, context, context.format()) : context.action();
}

void add_verbs(CLI::App& app, Context& context) {
  add_search(app, context);
  add_status(app, context);
  add_stop(app, context);
  add_worker(app, context);
  add_remove(app, context);
  add_report(app, context);
  add_dashboard(app, context);
  add_front(app, context);
  add_list(app, context);
  add_show(app, context);
  add_compare(app, context);
  add_diff(app, context);
  add_lineage(app, context);
  add_check(app, context);
  add_generate(app, context);
  add_serve(app, context);
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
  add_config(app, context);
  add_man(app, context);
  add_help(app, context);
}

int main_function(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);  // a reader that goes away is an error of a write, not the end of a search
  CLI::App app("Searches for sparse-attention policies that make a model decode faster without making it wrong.",
               "vortex");
  app.option_defaults()->multi_option_policy(CLI::MultiOptionPolicy::TakeLast)->always_capture_default();
  app.set_version_flag("--version", "vortex 0.1");
  app.require_subcommand(1);
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
