#pragma once

#include <filesystem>

#include "agent/llm/channel.h"

namespace vortex::agent {

// A recording is a folder with, for every question, BATCH.SLOT.DRAW.ROUND.prompt.md and .reply.md: batch and the rest
// as numbers, the batch with three digits ("007.0.1.1.reply.md" is the reply to the first repair of slot 0 in batch 7).
// The reply's file alone matters for a replay. A question that nobody answered has a file .none instead.
std::filesystem::path recording_file(const std::filesystem::path& folder, const Ask& ask, const char* what);

Status record(const std::filesystem::path& folder, const Ask& ask, const std::optional<Answer>& answer);

}  // namespace vortex::agent
