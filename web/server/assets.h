#pragma once

#include <string_view>

namespace vortex::web {

// The built page (web/dist), compiled into the program.
struct Asset {
  std::string_view path;  // "/app.js"
  std::string_view type;  // Content-Type
  std::string_view bytes;
};

// The file at a path; index.html for every other path, since the page itself knows its views. Never null.
const Asset& asset_at(std::string_view path);

}  // namespace vortex::web
