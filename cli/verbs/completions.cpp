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

void add_man(CLI::App& app, Context& context) {
  add_verb(app, context, "man", "the manual page, as roff: vortex man | man -l -", [&app]() -> Result<int> {
    std::cout << manual_page(option_table(app), app.get_description(), app.version());
    return 0;
  });
}

}  // namespace vortex::cli
