# Shared build rules: compiler cache, fast linker, warnings, sanitizers, and one way to declare a library.

find_program(VORTEX_CCACHE ccache)
if(VORTEX_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  # ccache takes precompiled headers only when it is told to trust their macros and times.
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env CCACHE_SLOPPINESS=pch_defines,time_macros ${VORTEX_CCACHE})
  set(CMAKE_CUDA_COMPILER_LAUNCHER ${VORTEX_CCACHE})
endif()

find_program(VORTEX_MOLD mold)
if(VORTEX_MOLD AND EXISTS /usr/libexec/mold/ld)
  add_link_options(-B/usr/libexec/mold)
endif()

# Interface target that every target of ours links: include root, warnings as errors, sanitizers.
add_library(vortex_options INTERFACE)
target_include_directories(vortex_options INTERFACE ${PROJECT_SOURCE_DIR})
set(VORTEX_WARNINGS -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Werror)
target_compile_options(vortex_options INTERFACE $<$<COMPILE_LANGUAGE:CXX>:${VORTEX_WARNINGS}>)
# Floating point is part of the contract: no contraction behind our back, so every build computes the same bits.
target_compile_options(vortex_options INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-ffp-contract=off>)
if(VORTEX_SANITIZE)
  # Of code under these two the compiler makes so much that optimising it takes twice as long as -O1 does.
  if(VORTEX_SANITIZE MATCHES address)
    target_compile_options(vortex_options INTERFACE -O1)
  endif()
  target_compile_options(vortex_options INTERFACE -fsanitize=${VORTEX_SANITIZE} -fno-omit-frame-pointer)
  target_link_options(vortex_options INTERFACE -fsanitize=${VORTEX_SANITIZE})
endif()

# The headers that cost most and change least, compiled once for all targets that share our options.
add_library(vortex_precompiled OBJECT ${PROJECT_SOURCE_DIR}/cmake/precompiled.cpp)
# For ccache; and GCC 12 warns of the inside of std::string once that comes from a precompiled header (its bug 105651).
set(VORTEX_PCH_OPTIONS
  "$<$<AND:$<COMPILE_LANGUAGE:CXX>,$<CXX_COMPILER_ID:GNU>>:-fpch-preprocess;-Wno-array-bounds;-Wno-restrict;-Wno-stringop-overflow;-Wno-stringop-overread>")
target_compile_options(vortex_precompiled PRIVATE ${VORTEX_PCH_OPTIONS})
target_link_libraries(vortex_precompiled PRIVATE vortex_options nlohmann_json::nlohmann_json)
target_precompile_headers(vortex_precompiled PRIVATE
  <algorithm> <cstdint> <filesystem> <functional> <map> <memory> <optional> <set> <sstream> <string> <string_view>
  <unordered_map> <variant> <vector> <nlohmann/json.hpp>)
function(vortex_precompile target)
  target_precompile_headers(${target} REUSE_FROM vortex_precompiled)
  target_compile_options(${target} PRIVATE ${VORTEX_PCH_OPTIONS})
endfunction()

# Every switch over an enumeration names all of its members, default or not: a new operation, or a new kind of anything,
# shows every place that has to know it. For the language and the policy compiler.
function(vortex_exhaustive_switches target)
  target_compile_options(${target} PRIVATE $<$<COMPILE_LANGUAGE:CXX>:-Wswitch-enum>)
endfunction()

# vortex_unite(TARGET DIRS dir... [APART path...]): with VORTEX_UNITY the sources of a folder are compiled some at a time,
# so that what they share is read, instantiated and optimised once. Names that only one file sees must then differ within
# a folder. APART: files and folders that keep to themselves, since they are alike on purpose.
option(VORTEX_UNITY "compile sources together: quick from scratch, slow after a change" OFF)
function(vortex_unite target)
  cmake_parse_arguments(ARG "" "" "DIRS;APART" ${ARGN})
  if(NOT VORTEX_UNITY)
    return()
  endif()
  set(most 8)  # files compiled together: with more, one would be waited for at the end
  set_target_properties(${target} PROPERTIES UNITY_BUILD ON UNITY_BUILD_MODE GROUP)
  # A type whose members only one file can name is right in that file, and looks like a header's where files are joined.
  target_compile_options(${target} PRIVATE "$<$<AND:$<COMPILE_LANGUAGE:CXX>,$<CXX_COMPILER_ID:GNU>>:-Wno-subobject-linkage>")
  foreach(dir ${ARG_DIRS})
    file(GLOB sources RELATIVE ${CMAKE_CURRENT_SOURCE_DIR} ${CMAKE_CURRENT_SOURCE_DIR}/${dir}/*.cpp)
    list(REMOVE_ITEM sources "" ${ARG_APART})
    if(dir IN_LIST ARG_APART)
      continue()
    endif()
    string(MAKE_C_IDENTIFIER "${dir}" group)
    set(count 0)
    foreach(source ${sources})
      math(EXPR part "${count} / ${most}")
      set_source_files_properties(${source} PROPERTIES UNITY_GROUP ${group}_${part})
      math(EXPR count "${count} + 1")
    endforeach()
  endforeach()
endfunction()

# vortex_library(NAME [NO_PCH] [NO_UNITY] DIRS dir... [LIBS lib...] [APART path...]): a static library of all .cpp files
# directly in the given folders. NO_PCH: for options of its own, or those of LibTorch, with which the precompiled headers
# do not fit. NO_UNITY: for files that have options of their own, or alike names. APART: as above.
function(vortex_library name)
  cmake_parse_arguments(ARG "NO_PCH;NO_UNITY" "" "DIRS;LIBS;APART" ${ARGN})
  set(sources "")
  foreach(dir ${ARG_DIRS})
    file(GLOB found CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${dir}/*.cpp)
    list(APPEND sources ${found})
  endforeach()
  if(sources)
    add_library(${name} STATIC ${sources})
    target_link_libraries(${name} PUBLIC vortex_options ${ARG_LIBS})
    if(NOT ARG_NO_PCH)
      vortex_precompile(${name})
    endif()
    if(NOT ARG_NO_UNITY)
      vortex_unite(${name} DIRS ${ARG_DIRS} APART ${ARG_APART})
    endif()
  else()
    add_library(${name} INTERFACE)  # headers only
    target_link_libraries(${name} INTERFACE vortex_options ${ARG_LIBS})
  endif()
endfunction()

# vortex_embed(OUTPUT HEADER FUNCTION file...): writes a source file that defines FUNCTION, declared in HEADER as
# `const std::vector<std::pair<std::string, std::string>>& name()` and given with its namespace: the files' names, from
# the root of the repository, and texts.
function(vortex_embed output header function)
  string(REGEX MATCH "^(.*)::([a-z_]+)$" matched ${function})
  set(text "#include \"${header}\"\n\nnamespace ${CMAKE_MATCH_1} {\n
const std::vector<std::pair<std::string, std::string>>& ${CMAKE_MATCH_2}() {
  static const std::vector<std::pair<std::string, std::string>> files = {\n")
  set(namespace ${CMAKE_MATCH_1})
  foreach(file ${ARGN})
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/${file})
    file(READ ${PROJECT_SOURCE_DIR}/${file} content)
    string(APPEND text "{\"${file}\", R\"vortex(${content})vortex\"},\n")
  endforeach()
  string(APPEND text "};\n  return files;\n}\n\n}  // namespace ${namespace}\n")
  file(CONFIGURE OUTPUT ${output} CONTENT "${text}" @ONLY)
endfunction()
