// Who may ask, and which pages may read what is said.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "serve/connection.h"
#include "serve/options.h"
#include "serve/refusal.h"

namespace vortex::serve {

// May a page of this origin read replies? One that the options name; where the server listens at this machine alone,
// one of this machine.
bool may_read(const ServerOptions& options, std::string_view origin);

// Why who asks gets no answer, whatever it asks: without a key its Host header must name this server, which listens at
// `port`; with one it must have that, but for /health.
std::optional<Refusal> check_access(const ServerOptions& options, uint16_t port, const Question& question,
                                    std::string_view path);

}  // namespace vortex::serve
