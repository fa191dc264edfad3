# LibTorch for the oracle: the one that is named (Torch_DIR), apt's, or the one inside PyTorch's own Python package.

set(VORTEX_LEAST_TORCH 1.13)

# Where the PyTorch of python3 keeps its CMake files; empty where there is none.
function(vortex_python_torch result)
  find_program(VORTEX_PYTHON python3)
  set(folder "")
  if(VORTEX_PYTHON)
    execute_process(COMMAND ${VORTEX_PYTHON} -c "import torch.utils; print(torch.utils.cmake_prefix_path)"
                    OUTPUT_VARIABLE folder ERROR_QUIET OUTPUT_STRIP_TRAILING_WHITESPACE RESULT_VARIABLE code)
    if(NOT code EQUAL 0 OR NOT IS_DIRECTORY "${folder}")
      set(folder "")
    endif()
  endif()
  set(${result} "${folder}" PARENT_SCOPE)
endfunction()

# A macro, since find_package speaks to the scope that it is called from.
macro(vortex_find_torch)
  find_package(Torch QUIET)
  if(NOT Torch_FOUND OR (Torch_VERSION AND Torch_VERSION VERSION_LESS VORTEX_LEAST_TORCH))
    vortex_python_torch(VORTEX_TORCH_PREFIX)
    if(VORTEX_TORCH_PREFIX)
      message(STATUS "Using the LibTorch of python3's PyTorch: ${VORTEX_TORCH_PREFIX}")
      unset(Torch_DIR CACHE)
      find_package(Torch REQUIRED PATHS ${VORTEX_TORCH_PREFIX} NO_DEFAULT_PATH)
    endif()
  endif()
  if(NOT Torch_FOUND)
    message(FATAL_ERROR "There is no LibTorch ${VORTEX_LEAST_TORCH} or later, which the oracle is written in. Install "
      "libtorch-dev, or PyTorch for python3 (its CPU build will do), or name another one with -DTorch_DIR=...; "
      "-DVORTEX_ORACLE=OFF builds workers that cannot validate.")
  endif()
  if("${TORCH_CXX_FLAGS}" MATCHES "_GLIBCXX_USE_CXX11_ABI=0")
    message(FATAL_ERROR "The LibTorch in ${TORCH_INSTALL_PREFIX} was built for the old ABI of libstdc++: use PyTorch 2.6 "
      "or later, or apt's libtorch-dev.")
  endif()
endmacro()
