#include <iostream>
#include <memory>

#include "cli/show/option_table.h"
#include "cli/verbs/verbs.h"

namespace vortex::cli {

void add_completions(CLI::App& app, Context& context) {
  const auto shell = std::make_shared<std::string>();
  CLI::App* verb = add_verb(app, context, "completions", "a script that completes commands of vortex in a shell",
                            [&app, shell]() -> Result<int> {
                              const std::vector<VerbRow> verbs = option_table(app);
                              std::cout << (*shell == "bash"  ? bash_completion(verbs)
                                            : *shell == "zsh" ? zsh_completion(verbs)
                                                              : fish_completion(verbs));
                              return 0;
                            });
  verb->add_option("shell", *shell, "bash, zsh or fish")->required()->check(CLI::IsMember({"bash", "zsh", "fish"}));
}

// `main` answers `vortex help VERB` and `vortex config show`; what is left are calls that name neither.
void add_help(CLI::App& app, Context& context) {
  const auto word = std::make_shared<std::string>();
  CLI::App* verb = add_verb(app, context, "help", "explains a verb", [word]() -> Result<int> {
    return candidate_error("unknown verb: " + *word, "`vortex help` lists the verbs");
  });
  verb->add_option("verb", *word, "the one to explain (all)");
}

void add_config(CLI::App& app, Context& context) {
  const auto words = std::make_shared<std::vector<std::string>>();
  CLI::App* verb = add_verb(app, context, "config", "the options of a verb as they count, and where each comes from",
                            [words]() -> Result<int> {
                              return candidate_error(words->empty() ? "what about the configuration?"
                                                                    : "config does not know " + words->front(),
                                                     "vortex config show VERB [its options]");
                            });
  verb->add_option("what", *words, "show, the verb (search), and its options");
}

void add_man(CLI::App& app, Context& context) {
  add_verb(app, context, "man", "the manual page, as roff: vortex man | man -l -", [&app]() -> Result<int> {
    std::cout << manual_page(option_table(app), app.get_description(), app.version());
    return 0;
  });
}

}  // namespace vortex::cli
