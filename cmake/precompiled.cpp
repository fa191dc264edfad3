// Compiles the precompiled headers; see vortex.cmake.
