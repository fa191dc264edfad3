#pragma once

#include <CLI/CLI.hpp>

#include "cli/context.h"

namespace vortex::cli {

// Each adds one verb; one file a verb.
void add_search(CLI::App& app, Context& context);
void add_status(CLI::App& app, Context& context);
void add_stop(CLI::App& app, Context& context);
void add_report(CLI::App& app, Context& context);
void add_front(CLI::App& app, Context& context);
void add_show(CLI::App& app, Context& context);
void add_diff(CLI::App& app, Context& context);
void add_lineage(CLI::App& app, Context& context);
void add_check(CLI::App& app, Context& context);
void add_generate(CLI::App& app, Context& context);
void add_serve(CLI::App& app, Context& context);
void add_eval(CLI::App& app, Context& context);
void add_replay(CLI::App& app, Context& context);
void add_layers(CLI::App& app, Context& context);
void add_export(CLI::App& app, Context& context);
void add_fetch(CLI::App& app, Context& context);
void add_doctor(CLI::App& app, Context& context);
void add_tokenize(CLI::App& app, Context& context);
void add_vflow(CLI::App& app, Context& context);
void add_database(CLI::App& app, Context& context);
void add_diversity(CLI::App& app, Context& context);
void add_bench(CLI::App& app, Context& context);
void add_dashboard(CLI::App& app, Context& context);
void add_completions(CLI::App& app, Context& context);
void add_list(CLI::App& app, Context& context);
void add_compare(CLI::App& app, Context& context);
void add_remove(CLI::App& app, Context& context);
void add_config(CLI::App& app, Context& context);
void add_help(CLI::App& app, Context& context);
void add_man(CLI::App& app, Context& context);
void add_worker(CLI::App& app, Context& context);

}  // namespace vortex::cli
