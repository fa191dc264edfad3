#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "base/result.h"

namespace vortex::study {

// What the proposers that ask somebody to write policies (llm, command, recorded) were started with.
struct WriterOptions {
  std::string mode = "iterate";   // iterate: variants that beat the front. innovate: new mechanisms, compiled only
  int repairs = 2;                // how often a refused policy goes back with its diagnostics
  int notebook_tokens = 1500;     // of a prompt that the notebook may take, about
  std::string prompts_folder;     // template files that replace the built-in ones of the same name
  std::string models;             // llm: the models file (models.h) as text; holds names of keys, never keys
  std::string command;            // command: program and arguments, as the shell reads them
  double command_seconds = 3600;  // until a reply must be there
  std::string replies_folder;     // recorded: where the replies are
  std::string record_folder;      // every prompt and reply is also written here; empty: nowhere
  std::string fallback = "none";  // evolve: the evolver fills in while nobody answers or the money is spent
};

nlohmann::json to_json(const WriterOptions& options);
// Strict: unknown keys and wrong types are refused by name.
Result<WriterOptions> writer_options_from_json(const nlohmann::json& json);

}  // namespace vortex::study
