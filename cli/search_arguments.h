#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "agent/session/notify.h"
#include "cli/context.h"
#include "cli/fleet_arguments.h"
#include "cli/task_files.h"
#include "study/options.h"

namespace vortex::cli {

// What a user says about a search.
struct SearchArguments {
  std::string model;
  std::string resume;
  std::string duration = "5m";
  std::string rank_speed = "measured";
  int confirm_problems = 0;
  bool no_confirm = false;
  bool no_keeper = false;
  bool dry_run = false;
  std::vector<std::string> given;  // options that the command line or a file names
  std::string config;              // read by complete_arguments
  std::string models_file;
  std::string gpu_time;  // as a duration
  agent::NotifyOptions notify;
  FleetArguments fleet;
  TaskArguments tasks;
  study::SearchOptions options;

  bool has(const std::string& option) const;
};

// Sets the defaults of a search and adds its options.
void add_search_options(CLI::App* verb, SearchArguments& arguments, Context& context);
// Which options were given; an environment that names a model names none for a search that goes on.
void note_given(const CLI::App& verb, const Context& context, SearchArguments& arguments);

// What the arguments ask for, complete and checked: everything that can be wrong with them is found here, before there
// is a search. May look for a task, which runs workers; the store is only read.
Result<study::SearchOptions> search_options(db::Store& store, const SearchArguments& arguments, const Context& context);

// The options of a search that goes on: budgets may be given anew. One that cannot change is refused (candidate).
Status change_budgets(const SearchArguments& arguments, study::SearchOptions& options);

}  // namespace vortex::cli
