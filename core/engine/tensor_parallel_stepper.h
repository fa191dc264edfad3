// The steppers of a model's ranks as one (tensor_parallel.h).
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "core/engine/stepper.h"

namespace vortex::engine {

// Calls work(rank) for every rank at once.
using OnAllRanks = std::function<Status(const std::function<Status(int rank)>& work)>;

// What a rank has of a donor.
using PartOfDonor = std::function<PrefixPtr(const PrefixPtr& donor, int rank)>;

std::unique_ptr<Stepper> make_tensor_parallel_stepper(std::vector<std::unique_ptr<Stepper>> ranks, OnAllRanks on_all,
                                                      PartOfDonor part);

// Counters of one run of all ranks: of pages and bytes, of which each rank has a part, the sum, of all else rank 0's.
RunStats stats_of_ranks(std::span<const RunStats> ranks);

}  // namespace vortex::engine
