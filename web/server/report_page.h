#pragma once

#include <string>

#include "base/result.h"
#include "web/server/api.h"

namespace vortex::web {

// The dashboard's page with what it shows of one run inside: one file that opens from disk, asks nobody for anything
// and draws the same pictures. It holds the front with all ancestors, an example of every failure, starred candidates
// and a row of every other one. `brief` is for readers without JavaScript.
Result<std::string> report_page(Api& api, const std::string& run, const std::string& brief);

}  // namespace vortex::web
