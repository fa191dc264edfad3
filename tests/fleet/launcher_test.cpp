#include "fleet/launcher.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>

#include "fleet/roster.h"

namespace vortex::fleet {
namespace {

namespace fs = std::filesystem;

WorkerCommand command() { return {"/opt/vortex/bin/vortex", {"login1", 7000}, "/home/me/my runs/token", {}}; }

TEST(Launcher, TheBatchScriptAsksForWhatWasWished) {
  SlurmWish wish;
  wish.nodes = 4;
  wish.workers_per_node = 8;
  wish.gpus_per_node = 8;
  wish.cpus_per_worker = 6;
  wish.partition = "gpu";
  wish.time = "08:00:00";
  wish.extra = {"--account=physics"};
  const std::string script = batch_script("brisk-otter", wish, command(), "/home/me/runs");
  for (const char* line :
       {"#!/bin/bash\n", "#SBATCH --array=0-3\n", "#SBATCH --nodes=1\n", "#SBATCH --ntasks=8\n",
        "#SBATCH --cpus-per-task=6\n", "#SBATCH --gres=gpu:8\n", "#SBATCH --partition=gpu\n",
        "#SBATCH --time=08:00:00\n", "#SBATCH --account=physics\n", "#SBATCH --job-name=vortex-brisk-otter\n",
        "--exact --cpus-per-task=6 --gres=gpu:1 --unbuffered", "$(seq 8)", "\nwait\n",
        "/opt/vortex/bin/vortex worker --connect login1:7000 --token-file '/home/me/my runs/token' < /dev/null &"}) {
    EXPECT_NE(script.find(line), std::string::npos) << line << " in\n" << script;
  }
  EXPECT_EQ(script.find("--mem"), std::string::npos);
  wish.gpus_per_worker = 2;
  wish.workers_per_node = 4;
  const std::string pairs = batch_script("brisk-otter", wish, command(), "/logs");
  EXPECT_NE(pairs.find("#SBATCH --gres=gpu:8\n"), std::string::npos) << pairs;
  EXPECT_NE(pairs.find("--gres=gpu:2 --unbuffered"), std::string::npos) << pairs;
  wish.gpus_per_node = 0;
  EXPECT_EQ(batch_script("brisk-otter", wish, command(), "/logs").find("gres"), std::string::npos);
}

TEST(Launcher, AddressesAreReadStrictly) {
  EXPECT_EQ(to_text(*parse_address("node7:7000")), "node7:7000");
  EXPECT_EQ(to_text(*parse_address("[::1]:7000")), "[::1]:7000");
  for (const char* text : {"node7", ":7000", "node7:", "node7:x", "node7:70000", "node7:-1", "node7:7000 ", ""}) {
    EXPECT_FALSE(parse_address(text).ok()) << text;
  }
}

TEST(Roster, IsReadAsItWasWrittenAndOnlyForItsSearch) {
  std::string folder = (fs::temp_directory_path() / "vortex-roster-XXXXXX").string();
  ASSERT_NE(::mkdtemp(folder.data()), nullptr);
  Roster roster;
  roster.run = "brisk-otter";
  roster.workers.push_back(
      {"n1-77", {"n1", "a card", true, "GPU-1", "580", "", 4, 80}, "running", "candidate-7-1", "race", 2.5});
  roster.nodes["n1"] = {2, 41, 100.5, 120, 1, "it left: its machine is wanted back"};
  const std::string path = folder + "/roster.json";
  write_roster(roster, path);
  const auto read = read_roster(path, "brisk-otter");
  ASSERT_TRUE(read.ok()) << read.error().message;
  EXPECT_EQ(to_json(*read), to_json(roster));
  EXPECT_FALSE(read_roster(path, "calm-heron").ok());
  EXPECT_FALSE(read_roster(folder + "/none", "brisk-otter").ok());
  fs::remove_all(folder);
}

}  // namespace
}  // namespace vortex::fleet
