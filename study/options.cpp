#include "study/options.h"

#include "base/json_reader.h"

namespace vortex::study {

std::string_view rank_speed_name(RankSpeed rank) { return rank == RankSpeed::kMeasured ? "measured" : "modelled"; }

nlohmann::json to_json(const SearchOptions& options) {
  return {{"job", job::to_json(options.job)},
          {"seed", options.seed},
          {"proposer", options.proposer},
          {"batch", options.batch},
          {"overlap", options.overlap},
          {"seconds", options.seconds},
          {"max_evals", options.max_evals},
          {"gpu_seconds", options.gpu_seconds},
          {"max_tokens", options.max_tokens},
          {"max_dollars", options.max_dollars},
          {"gpus", options.gpus},
          {"rank_speed", rank_speed_name(options.rank_speed)},
          {"novelty", options.novelty},
          {"draws", options.draws},
          {"seeds_folder", options.seeds_folder},
          {"workers", options.workers},
          {"stage_seconds", options.stage_seconds},
          {"memory_bytes", options.memory_bytes},
          {"confirm", options.confirm},
          {"held_out", options.held_out},
          {"margin", options.margin},
          {"token_budget", options.token_budget},
          {"speed_runs", options.speed_runs},
          {"accept_baseline", options.accept_baseline},
          {"retests", options.retests},
          {"retest_share", options.retest_share},
          {"control_share", options.control_share},
          {"writer", to_json(options.writer)}};
}

Result<SearchOptions> options_from_json(const nlohmann::json& json) {
  SearchOptions options;
  JsonReader reader(json, "search");
  if (const nlohmann::json* job = reader.find("job", true)) {
    Result<job::Job> read = job::job_from_json(*job);
    if (!read.ok()) { return read.error(); }
    options.job = std::move(read).value();
  }
  reader.required("seed", options.seed);
  reader.required("proposer", options.proposer);
  reader.required("batch", options.batch);
  reader.required("seconds", options.seconds);
  reader.required("max_evals", options.max_evals);
  // Absent in runs of older programs.
  reader.optional("overlap", options.overlap);
  reader.optional("gpu_seconds", options.gpu_seconds);
  reader.optional("max_tokens", options.max_tokens);
  reader.optional("max_dollars", options.max_dollars);
  reader.optional("gpus", options.gpus);
  options.retests = 0;
  options.speed_runs = 1;
  options.accept_baseline = true;
  reader.optional("held_out", options.held_out);
  reader.optional("margin", options.margin);
  reader.optional("token_budget", options.token_budget);
  reader.optional("speed_runs", options.speed_runs);
  reader.optional("accept_baseline", options.accept_baseline);
  reader.optional("retests", options.retests);
  reader.optional("retest_share", options.retest_share);
  reader.optional("control_share", options.control_share);
  std::string rank(rank_speed_name(options.rank_speed));
  reader.required("rank_speed", rank);
  if (rank != "measured" && rank != "modelled") { reader.refuse("rank_speed", "must be measured or modelled"); }
  options.rank_speed = rank == "modelled" ? RankSpeed::kModelled : RankSpeed::kMeasured;
  reader.required("novelty", options.novelty);
  reader.required("draws", options.draws);
  reader.required("seeds_folder", options.seeds_folder);
  reader.required("workers", options.workers);
  reader.required("stage_seconds", options.stage_seconds);
  reader.required("memory_bytes", options.memory_bytes);
  reader.required("confirm", options.confirm);
  if (const nlohmann::json* writer = reader.find("writer", false)) {
    Result<WriterOptions> read = writer_options_from_json(*writer);
    if (!read.ok()) { return read.error(); }
    options.writer = std::move(read).value();
  }
  VORTEX_TRY(reader.finish());
  return options;
}

}  // namespace vortex::study
