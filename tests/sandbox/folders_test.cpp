// Where a worker's files are loaded from, so that the jail lets it read them.

#include "sandbox/folders.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

namespace vortex::sandbox {
namespace {

namespace fs = std::filesystem;

const fs::path kPlaced = VORTEX_PLACED_DIR;

TEST(LoadedFrom, WhatALibraryBesideTheProgramNeedsLiesAnywhere) {
  const LoadedFrom loaded = loaded_from(kPlaced / "beside/program");
  const auto has = [&](const fs::path& place) {
    return std::find(loaded.places.begin(), loaded.places.end(), place.string()) != loaded.places.end();
  };
  EXPECT_TRUE(has(kPlaced / "beside/beside.so"));
  EXPECT_TRUE(has(kPlaced / "outside")) << "found by RUNPATH alone";
  EXPECT_NE(loaded.loader.find("ld-linux"), std::string::npos) << loaded.loader;
  for (const std::string& place : loaded.places) { EXPECT_FALSE(place.starts_with("/usr/")) << place; }
}

}  // namespace
}  // namespace vortex::sandbox
