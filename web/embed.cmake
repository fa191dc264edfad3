# Writes the files of the page as a C++ source: cmake -D FILES=... -D OUT=... -P embed.cmake
set(types "html" "text/html" "js" "text/javascript" "css" "text/css"
  "svg" "image/svg+xml" "json" "application/json")
set(arrays "")
set(entries "")
set(number 0)
foreach(file ${FILES})
  file(READ ${file} hex HEX)
  string(REGEX REPLACE "(..)" "0x\\1," bytes "${hex}")
  get_filename_component(name ${file} NAME)
  get_filename_component(ext ${file} LAST_EXT)
  string(SUBSTRING ${ext} 1 -1 ext)
  list(FIND types ${ext} at)
  math(EXPR at "${at} + 1")
  list(GET types ${at} type)
  string(LENGTH "${hex}" size)
  math(EXPR size "${size} / 2")
  string(APPEND arrays "constexpr unsigned char kFile${number}[] = {${bytes}};\n")
  string(APPEND entries "    Asset{\"/${name}\", \"${type}\", text(kFile${number}, ${size})},\n")
  math(EXPR number "${number} + 1")
endforeach()
file(WRITE ${OUT} "#include \"web/server/assets.h\"

#include <array>
#include <cstddef>

namespace vortex::web {
namespace {

${arrays}
std::string_view text(const unsigned char* bytes, size_t size) { return {reinterpret_cast<const char*>(bytes), size}; }

}  // namespace

const Asset& asset_at(std::string_view path) {
  static const std::array kAssets = {
${entries}  };
  for (const Asset& asset : kAssets) {
    if (asset.path == path) return asset;
  }
  return kAssets.front();
}

}  // namespace vortex::web
")
