# What `cmake --install` puts where, and the packages that `cpack` makes of it. Programs find each other beside
# themselves, and what ships with them in ../share/vortex.

install(TARGETS vortex vortex-worker vortex-keeper vortex-bench vortex-serve vortex-bench-load RUNTIME DESTINATION bin)
if(VORTEX_ORACLE)
  install(TARGETS vortex_oracle_module LIBRARY DESTINATION bin)
endif()
install(DIRECTORY models/chain-4m models/chain-16k DESTINATION share/vortex/models)
install(DIRECTORY examples/policies examples/tasks DESTINATION share/vortex/examples)
install(FILES README.md LICENSE DESTINATION share/doc/vortex)
install(DIRECTORY docs/ DESTINATION share/doc/vortex/docs FILES_MATCHING PATTERN "*.md")

# The program writes its own manual page and completions.
set(VORTEX_WRITES
  "man|share/man/man1/vortex.1"
  "completions bash|share/bash-completion/completions/vortex"
  "completions zsh|share/zsh/vendor-completions/_vortex"
  "completions fish|share/fish/vendor_completions.d/vortex.fish")
foreach(entry ${VORTEX_WRITES})
  string(REPLACE "|" ";" entry "${entry}")
  list(GET entry 0 verb)
  list(GET entry 1 file)
  get_filename_component(folder ${file} DIRECTORY)
  install(CODE "
    set(root \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}\")
    separate_arguments(words UNIX_COMMAND \"${verb}\")
    file(MAKE_DIRECTORY \"\${root}/${folder}\")
    execute_process(COMMAND \"\${root}/bin/vortex\" \${words} OUTPUT_FILE \"\${root}/${file}\" COMMAND_ERROR_IS_FATAL ANY)
    message(STATUS \"Installing: \${root}/${file}\")")
endforeach()

set(CPACK_PACKAGE_NAME vortex)
set(CPACK_PACKAGE_VENDOR "vortex.cpp")
set(CPACK_PACKAGE_CONTACT "the authors of vortex.cpp")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "autonomous search for sparse-attention policies")
set(CPACK_PACKAGE_DESCRIPTION
  "Searches for policies that make a language model decode faster by attending fewer pages of its\n KV cache, checks them on a ladder of stages, and keeps a Pareto front of speed and accuracy.")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_GENERATOR DEB TGZ)
set(CPACK_STRIP_FILES ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION science)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)  # what the programs link is what the package depends on
set(CPACK_DEBIAN_PACKAGE_RECOMMENDS bubblewrap)
include(CPack)
