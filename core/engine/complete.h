#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "core/engine/engine.h"
#include "core/model/tokenizer.h"

namespace vortex::engine {

// Continues `text` under the engine's current policy: `request` says how (its prompt and prefix are replaced). Gives
// the text of the new tokens, stop token included.
Result<std::string> complete(Engine& engine, const model::Tokenizer& tokenizer, std::string_view text, Request request,
                             RunStats* stats);

}  // namespace vortex::engine
