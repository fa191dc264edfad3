#pragma once

#include <optional>
#include <vector>

#include "db/store.h"
#include "job/job.h"

namespace vortex::study {

// What later candidates are held against (job::Rival), from the stage rows of one that passed; nothing where its recall
// stage forced no right answers.
std::optional<job::Rival> rival_of(const std::vector<db::StageRow>& stages);

}  // namespace vortex::study
