#include "sandbox/devices.h"

#include <gtest/gtest.h>

#include <fstream>
#include <numeric>
#include <tuple>

#include "tests/core/model/checkpoint.h"

namespace vortex::sandbox {
namespace {

namespace fs = std::filesystem;

// A made-up machine: what the driver and the kernel tell of GPUs, below a folder.
class Machine {
 public:
  void add_gpu(const std::string& address, int minor, const std::string& uuid, int numa_node,
               const std::string& name = "NVIDIA H100 80GB HBM3") {
    write("proc/driver/nvidia/gpus/" + address + "/information",
          "Model: \t\t " + name + "\nIRQ:   \t\t 18\nGPU UUID: \t " + uuid + "\nBus Location: \t " + address +
              "\nDevice Minor: \t " + std::to_string(minor) + "\n");
    write("sys/bus/pci/devices/" + address + "/numa_node", std::to_string(numa_node) + "\n");
    add_node(minor);
  }
  void add_node(int minor) { write("dev/nvidia" + std::to_string(minor), ""); }
  void add_cores(int numa_node, const std::string& list) {
    write("sys/devices/system/node/node" + std::to_string(numa_node) + "/cpulist", list + "\n");
  }
  void write(const std::string& path, const std::string& text) {
    fs::create_directories((root() / path).parent_path());
    testing::write_text(root() / path, text);
  }
  const fs::path& root() const { return folder_.path(); }

 private:
  testing::TempFolder folder_;
};

std::vector<int> range(int first, int end) {
  std::vector<int> numbers(static_cast<size_t>(end - first));
  std::iota(numbers.begin(), numbers.end(), first);
  return numbers;
}

std::vector<std::string> names_of(const std::vector<Gpu>& gpus) {
  std::vector<std::string> names;
  for (const Gpu& gpu : gpus) { names.push_back(gpu.visible_as); }
  return names;
}

using Names = std::vector<std::string>;

TEST(FindGpus, AMachineWithoutHasNone) {
  const Machine machine;
  EXPECT_TRUE(find_gpus(machine.root(), nullptr).empty());
}

TEST(FindGpus, TellsNodeNameAndCores) {
  Machine machine;
  machine.add_gpu("0000:c1:00.0", 0, "GPU-b", 1);
  machine.add_gpu("0000:17:00.0", 1, "GPU-a", 0);
  machine.add_cores(0, "0-3,16-19");
  machine.add_cores(1, "4-7");
  const std::vector<Gpu> gpus = find_gpus(machine.root(), nullptr);
  ASSERT_EQ(names_of(gpus), (Names{"GPU-a", "GPU-b"})) << "in the order of their addresses";
  EXPECT_EQ(gpus[0].minor, 1);
  EXPECT_EQ(gpus[0].name, "NVIDIA H100 80GB HBM3");
  EXPECT_EQ(gpus[0].cores, (std::vector<int>{0, 1, 2, 3, 16, 17, 18, 19}));
  EXPECT_EQ(gpus[1].cores, (std::vector<int>{4, 5, 6, 7}));
}

TEST(FindGpus, AMachineOfOneNodeTellsNoCores) {
  Machine machine;
  machine.add_gpu("0000:17:00.0", 0, "GPU-a", -1);
  EXPECT_TRUE(find_gpus(machine.root(), nullptr)[0].cores.empty());
}

TEST(FindGpus, LeavesOutThoseWhoseNodesAreNotThere) {
  Machine machine;
  for (int i = 0; i < 8; ++i) {
    machine.add_gpu("0000:" + std::to_string(10 + i) + ":00.0", i, "GPU-" + std::to_string(i), -1);
  }
  for (const int hidden : {0, 3, 7}) { fs::remove(machine.root() / "dev" / ("nvidia" + std::to_string(hidden))); }
  EXPECT_EQ(names_of(find_gpus(machine.root(), nullptr)), (Names{"GPU-1", "GPU-2", "GPU-4", "GPU-5", "GPU-6"}));
}

TEST(FindGpus, NumbersThemWhereTheDriverIsSilent) {
  Machine machine;
  for (const int minor : {10, 2, 0}) { machine.add_node(minor); }
  machine.write("dev/nvidiactl", "");
  machine.write("dev/nvidia-uvm", "");
  const std::vector<Gpu> gpus = find_gpus(machine.root(), nullptr);
  ASSERT_EQ(names_of(gpus), (Names{"0", "1", "2"}));
  EXPECT_EQ(gpus[2].minor, 10);
  Machine early;
  early.add_gpu("0000:17:00.0", 0, "GPU-" + std::string(8, '?'), -1);
  EXPECT_EQ(names_of(find_gpus(early.root(), nullptr)), Names{"0"});
}

TEST(FindGpus, KeepsToWhatIsVisible) {
  Machine machine;
  for (int i = 0; i < 4; ++i) {
    machine.add_gpu("0000:0" + std::to_string(i) + ":00.0", i, "GPU-" + std::string(1, static_cast<char>('a' + i)), -1);
  }
  const auto visible = [&](const char* list) { return names_of(find_gpus(machine.root(), list)); };
  EXPECT_EQ(visible("2,0"), (Names{"GPU-c", "GPU-a"}));
  EXPECT_EQ(visible("GPU-d"), Names{"GPU-d"});
  EXPECT_EQ(visible("1,9,2"), Names{"GPU-b"}) << "what names nothing ends the list";
  EXPECT_EQ(visible("-1"), Names{});
  EXPECT_EQ(visible(""), Names{});
}

TEST(ParseCores, ReadsRanges) {
  EXPECT_EQ(parse_cores("0-2,8,10-11"), (std::vector<int>{0, 1, 2, 8, 10, 11}));
  EXPECT_EQ(parse_cores(""), std::vector<int>{});
  EXPECT_EQ(parse_cores("x,3,5-"), std::vector<int>{3});
  EXPECT_EQ(parse_cores("0-99999999999"), std::vector<int>{});
}

// `count` GPUs on nodes of eight cores, four GPUs a node.
std::vector<Gpu> some_gpus(int count) {
  std::vector<Gpu> gpus;
  for (int i = 0; i < count; ++i) {
    gpus.push_back({i, "card", "GPU-" + std::to_string(i), range(i / 4 * 8, i / 4 * 8 + 8)});
  }
  return gpus;
}

TEST(ShareOut, GivesEveryWorkerAGpuAndItsOwnCores) {
  for (const int count : {1, 2, 3, 4, 7, 8, 16}) {
    SCOPED_TRACE(count);
    const std::vector<Share> shares = share_out(some_gpus(count), range(0, 64), count);
    std::vector<bool> used(64, false);
    for (int i = 0; i < count; ++i) {
      const Share& share = shares[static_cast<size_t>(i)];
      EXPECT_EQ(share.gpu, i);
      EXPECT_EQ(share.visible_as, "GPU-" + std::to_string(i));
      EXPECT_FALSE(share.cores.empty());
      for (const int core : share.cores) {
        EXPECT_EQ(core / 8, i / 4) << "of its own node";
        EXPECT_FALSE(used[static_cast<size_t>(core)]) << "no core twice";
        used[static_cast<size_t>(core)] = true;
      }
    }
  }
}

TEST(ShareOut, GpusGoRoundWhereWorkersAreMore) {
  const std::vector<Share> shares = share_out(some_gpus(2), range(0, 8), 5);
  std::vector<int> gpus;
  std::vector<int> sharers;
  for (const Share& share : shares) {
    gpus.push_back(share.gpu);
    sharers.push_back(share.sharers);
  }
  EXPECT_EQ(gpus, (std::vector<int>{0, 1, 0, 1, 0}));
  EXPECT_EQ(sharers, (std::vector<int>{3, 2, 3, 2, 3}));
}

TEST(ShareOut, FewerWorkersThanGpusTakeTheFirst) {
  const std::vector<Share> shares = share_out(some_gpus(8), range(0, 64), 2);
  EXPECT_EQ(shares[1].visible_as, "GPU-1");
  EXPECT_EQ(shares[0].cores, range(0, 4));
  EXPECT_EQ(shares[1].cores, range(4, 8));
}

TEST(ShareOut, KeepsToTheCoresThatTheProcessHas) {
  for (const Share& share : share_out(some_gpus(2), {6, 7, 20}, 2)) { EXPECT_EQ(share.cores.size(), 1U); }
  for (const Share& share : share_out(some_gpus(4), {6}, 4)) { EXPECT_EQ(share.cores, std::vector<int>{6}); }
  EXPECT_TRUE(share_out(some_gpus(1), {40}, 1)[0].cores.empty()) << "none of its node: any";
}

TEST(ShareOut, WithoutGpusAnyCoreWillDo) {
  for (const Share& share : share_out({}, range(0, 8), 3)) {
    EXPECT_EQ(share.gpu, -1);
    EXPECT_TRUE(share.visible_as.empty() && share.cores.empty());
  }
}

TEST(Groups, AreSharedOutAsOneGpu) {
  const std::vector<Gpu> gpus = some_gpus(5);
  EXPECT_EQ(in_groups(gpus, 1).size(), 5U);
  EXPECT_TRUE(in_groups(gpus, 8).empty());
  const std::vector<Gpu> pairs = in_groups(gpus, 2);
  ASSERT_EQ(pairs.size(), 2U);
  EXPECT_EQ(pairs[1].visible_as, "GPU-2,GPU-3");
  const std::vector<Share> shares = share_out(pairs, range(0, 64), 2);
  EXPECT_EQ(shares[0].visible_as, "GPU-0,GPU-1");
  EXPECT_EQ(shares[1].gpu, 1);
  EXPECT_EQ(shares[1].sharers, 1);
}

TEST(Groups, AreRefusedWhereTheyDoNotDivide) {
  for (const auto& [gpus, size, workers] :
       std::vector<std::tuple<size_t, int, int>>{{4, 2, 2}, {4, 2, 1}, {4, 4, 1}, {3, 1, 9}, {0, 2, 3}, {8, 2, 4}}) {
    EXPECT_TRUE(check_groups(gpus, size, workers).ok()) << gpus << " in groups of " << size;
  }
  struct Refusal {
    size_t gpus;
    int size;
    int workers;
    std::string says;
    std::string hint;
  };
  for (const Refusal& refusal :
       {Refusal{1, 2, 1, "--tensor-parallel 2 wants as many GPUs, and here is 1 GPU", "--device cpu"},
        Refusal{5, 2, 2, "5 GPUs of one kind cannot be shared out in groups of 2", "4 or fewer"},
        Refusal{4, 2, 3, "3 workers with 2 GPUs each want 6", "--workers 2"}}) {
    const Status checked = check_groups(refusal.gpus, refusal.size, refusal.workers);
    ASSERT_FALSE(checked.ok()) << refusal.says;
    EXPECT_EQ(checked.error().blame, Blame::kCandidate);
    EXPECT_NE(checked.error().message.find(refusal.says), std::string::npos) << checked.error().message;
    EXPECT_NE(checked.error().hint.find(refusal.hint), std::string::npos) << checked.error().hint;
  }
}

TEST(OwnCores, AreThere) { EXPECT_FALSE(own_cores().empty()); }

}  // namespace
}  // namespace vortex::sandbox
