#include "core/engine/complete.h"

namespace vortex::engine {

Result<std::string> complete(Engine& engine, const model::Tokenizer& tokenizer, std::string_view text, Request request,
                             RunStats* stats) {
  VORTEX_ASSIGN(request.prompt, tokenizer.encode(text));
  request.prefix = nullptr;
  VORTEX_ASSIGN(const std::vector<Output> outputs, engine.generate({std::move(request)}, stats));
  return tokenizer.decode(outputs[0].tokens);
}

}  // namespace vortex::engine
