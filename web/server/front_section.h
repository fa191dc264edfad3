#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "base/result.h"
#include "db/store.h"
#include "study/digest.h"

namespace vortex::web {

// The members of a front with everything that is shown of them, the winner, and the hypervolume.
struct FrontSection {
  nlohmann::json members = nlohmann::json::array();
  nlohmann::json best;                                           // null where none keeps dense attention's accuracy
  nlohmann::json doubts = {{"no_claim", ""}, {"baseline", ""}};  // why nothing is claimed; what is wrong with dense's
  nlohmann::json hypervolume;                                    // null without a front
};

// From the rows of the front's members and of dense attention alone. Every member was better than each earlier one in
// some way, so these few give the same front as all candidates do.
Result<FrontSection> read_front(const study::RunView& view);

nlohmann::json run_json(const db::Run& run, const study::SearchOptions& options, bool lock_held);
nlohmann::json request_json(const db::Request& request);
nlohmann::json spent_json(const db::Run& run, const study::SearchOptions& options, int evaluated, double tokens,
                          double dollars);
// The stage that follows `stage` for a candidate that is being evaluated.
std::string next_stage(const std::optional<db::StageRound>& stage, const study::SearchOptions& options);

}  // namespace vortex::web
