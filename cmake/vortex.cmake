# Shared build rules: compiler cache, fast linker, warnings, sanitizers, and one way to declare a library.

find_program(VORTEX_CCACHE ccache)
if(VORTEX_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${VORTEX_CCACHE})
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
  target_compile_options(vortex_options INTERFACE -fsanitize=${VORTEX_SANITIZE} -fno-omit-frame-pointer)
  target_link_options(vortex_options INTERFACE -fsanitize=${VORTEX_SANITIZE})
endif()

# vortex_library(NAME DIR... [LIBS lib...]): a static library of all .cpp files directly in the given folders.
function(vortex_library name)
  cmake_parse_arguments(ARG "" "" "DIRS;LIBS" ${ARGN})
  set(sources "")
  foreach(dir ${ARG_DIRS})
    file(GLOB found CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${dir}/*.cpp)
    list(APPEND sources ${found})
  endforeach()
  if(sources)
    add_library(${name} STATIC ${sources})
    target_link_libraries(${name} PUBLIC vortex_options ${ARG_LIBS})
  else()
    add_library(${name} INTERFACE)  # headers only
    target_link_libraries(${name} INTERFACE vortex_options ${ARG_LIBS})
  endif()
endfunction()
