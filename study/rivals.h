#pragma once

#include <optional>
#include <vector>

#include "db/store.h"
#include "job/job.h"

namespace vortex::study {

// What later candidates are held against (job::Rival), from the stage rows of one that passed; nothing where its recall
// stage forced no right answers.
std::optional<job::Rival> rival_of(const std::vector<db::StageRow>& stages);

// Adds it to those that no other of them leaves without a purpose: one that reads no more and is as near to dense
// attention (by mean KL) beats whoever it would beat.
void add_rival(job::Rival rival, std::vector<job::Rival>& rivals);

}  // namespace vortex::study
