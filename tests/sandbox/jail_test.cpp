// Hostile workers (cases/sandbox/hostile.json) behind all layers, behind each layer alone, behind all but one and
// behind none: a deed is stopped exactly where one of the layers that are to stop it is there.
#include "sandbox/jail.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstddef>
#include <cstring>
#include <filesystem>
#include <map>

#include "base/clock.h"
#include "base/files.h"
#include "sandbox/executor.h"
#include "sandbox/folders.h"

namespace vortex::sandbox {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

const json& cases() {
  static const json data =
      json::parse(*read_file(std::string(VORTEX_SOURCE_DIR) + "/tests/cases/sandbox/hostile.json")).at("cases");
  return data;
}

std::vector<Layer> layers_of(const json& names) {
  std::vector<Layer> layers;
  for (const json& name : names) { layers.push_back(layer_from_name(name.get<std::string>()).value()); }
  return layers;
}

bool contains(const std::vector<Layer>& layers, Layer layer) {
  return std::find(layers.begin(), layers.end(), layer) != layers.end();
}

// All but these.
std::vector<Layer> others(const std::vector<Layer>& layers) {
  std::vector<Layer> rest;
  for (const Layer layer : kLayers) {
    if (!contains(layers, layer)) { rest.push_back(layer); }
  }
  return rest;
}

std::string names_of(const std::vector<Layer>& layers) {
  std::string names;
  for (const Layer layer : layers) { names += " " + std::string(layer_name(layer)); }
  return names.empty() ? " none" : names;
}

// A socket that somebody may try to reach; closed with the test.
int listening(int family, int type, const sockaddr* address, socklen_t size) {
  const int fd = ::socket(family, type | SOCK_CLOEXEC, 0);
  EXPECT_EQ(::bind(fd, address, size), 0) << std::strerror(errno);
  if (type == SOCK_STREAM) { EXPECT_EQ(::listen(fd, 64), 0); }
  return fd;
}

class JailTest : public testing::Test {
 protected:
  void SetUp() override {
    ::signal(SIGURG, SIG_IGN);
    std::string path = (fs::temp_directory_path() / "vortex-jail-XXXXXX").string();
    ASSERT_NE(::mkdtemp(path.data()), nullptr);
    folder_ = path;
    ::chmod(path.c_str(), 0755);
    for (const char* name : {"outside", "model", "shared"}) { fs::create_directories(folder_ / name); }
    fs::permissions(folder_ / "outside", fs::perms::all);
    write("outside/secret", 0666);
    write("model/weights", 0644);
    write("shared/kept", 0644);
    listen_for_deeds();
    options_.worker_path = std::string(VORTEX_BINARY_DIR) + "/bin/hostile-worker";
    options_.scratch_root = folder_ / "scratch";
    options_.start_seconds = 20;
    job_.model_path = folder_ / "model";
    job_.prefix_folder = folder_ / "shared";
    job_.stages = {job::Stage::kCompile};
    job_.device = "cpu";
  }
  void TearDown() override {
    for (const int fd : sockets_) { ::close(fd); }
    if (!folder_.empty()) { fs::remove_all(folder_); }
  }

  void write(const std::string& name, mode_t mode) {
    ASSERT_TRUE(write_file_atomic(folder_ / name, "secret").ok());
    ASSERT_EQ(::chmod((folder_ / name).c_str(), mode), 0);
  }

  std::string port(int type) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const int fd = listening(AF_INET, type, reinterpret_cast<sockaddr*>(&address), sizeof address);
    sockets_.push_back(fd);
    socklen_t size = sizeof address;
    ::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size);
    return std::to_string(ntohs(address.sin_port));
  }

  void listen_local(const std::string& name, bool abstract) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path + (abstract ? 1 : 0), name.c_str(), name.size());
    const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size() + 1);
    sockets_.push_back(listening(AF_UNIX, SOCK_STREAM, reinterpret_cast<sockaddr*>(&address), size));
    if (!abstract) { ::chmod(name.c_str(), 0777); }
  }

  void listen_for_deeds() {
    places_ = {{"$outside", folder_ / "outside"},
               {"$model", folder_ / "model"},
               {"$shared", folder_ / "shared"},
               {"$pid", std::to_string(::getpid())},
               {"$environ", "/proc/" + std::to_string(::getpid()) + "/environ"},
               {"$udp", port(SOCK_DGRAM)},
               {"$tcp", port(SOCK_STREAM)},
               {"$abstract", "vortex-test-" + std::to_string(::getpid())}};
    listen_local(places_["$abstract"], true);
    listen_local((folder_ / "shared" / "socket").string(), false);
  }

  std::string filled_in(std::string text) const {
    for (const auto& [name, place] : places_) {
      if (text.starts_with(name)) { text.replace(0, name.size(), place); }
    }
    return text;
  }

  void ask_for(const json& item) {
    job_.id = item.at("do").get<std::string>();
    job_.module_text = filled_in(item.value("on", "nothing"));
    options_.deadlines[job::Stage::kCompile] = item.value("deadline", 20.0);
    options_.memory_bytes = item.value("memory_mib", int64_t{0}) << 20;
    options_.cpu_seconds = item.value("cpu_seconds", 60.0);
    options_.jail.processes = item.value("processes", 1024);
    options_.jail.scratch_bytes = item.value("scratch_mib", int64_t{1024}) << 20;
  }

  Result<std::vector<job::StageResult>> run_behind(const std::vector<Layer>& layers) {
    options_.jail.off = others(layers);
    return run_job(job_, options_, {}, {});
  }

  // Those of the layers that this machine makes active for this user.
  static std::vector<Layer> active(const std::vector<Layer>& layers) {
    JailOptions options;
    options.off = others(layers);
    std::vector<Layer> found;
    for (const LayerReport& report : jail_support(options).layers) {
      if (report.state == LayerState::kActive) { found.push_back(report.layer); }
    }
    return found;
  }
  static bool held(const std::vector<Layer>& layers) { return active(layers).size() == layers.size(); }

  fs::path folder_;
  std::map<std::string, std::string> places_;
  std::vector<int> sockets_;
  ExecutorOptions options_;
  job::Job job_;
};

class HostileCase : public JailTest, public testing::WithParamInterface<size_t> {
 protected:
  // Behind these layers the deed is (or is not) stopped; either way nothing is left behind.
  void expect(const std::vector<Layer>& layers, bool stopped) {
    SCOPED_TRACE("behind" + names_of(layers));
    if (!held(layers)) {
      return;  // not on this machine: `vortex doctor` tells
    }
    const double begin = monotonic_seconds();
    const auto results = run_behind(layers);
    ASSERT_TRUE(results.ok()) << results.error().message;
    ASSERT_EQ(results->size(), 1U);
    const job::StageResult& result = results->front();
    EXPECT_EQ(result.verdict != job::Verdict::kPass, stopped) << result.message << result.log_tail;
    if (result.evidence.contains("exit")) { EXPECT_TRUE(result.evidence.at("exit").at("tree_gone")); }
    EXPECT_LT(monotonic_seconds() - begin, options_.deadlines[job::Stage::kCompile] + 8);
    EXPECT_TRUE(fs::is_empty(options_.scratch_root));
    last_ = result;
  }

  job::StageResult last_;
};

TEST_P(HostileCase, IsStoppedByItsLayers) {
  const json& item = cases().at(GetParam());
  SCOPED_TRACE(item.at("name").get<std::string>());
  if (item.value("needs_root", false) && ::geteuid() != 0) { GTEST_SKIP() << "only root can be left"; }
  ask_for(item);
  const std::vector<Layer> stopped_by = layers_of(item.value("stopped_by", json::array()));
  const bool always = stopped_by.empty();  // no layer does it: the supervisor
  // All that there are: an ordinary user's are often all but the control groups.
  const std::vector<Layer> all = active({kLayers.begin(), kLayers.end()});
  const bool one_is_there =
      std::any_of(stopped_by.begin(), stopped_by.end(), [&](Layer layer) { return contains(all, layer); });
  if (!always && !one_is_there) { GTEST_SKIP() << "the layers that stop it are not there"; }

  expect(all, true);
  EXPECT_EQ(job::verdict_name(last_.verdict), item.value("verdict", "fail")) << last_.message;
  EXPECT_EQ(std::string(blame_name(last_.blame.value_or(Blame::kInternal))), item.value("blame", "candidate"));
  EXPECT_NE(last_.message.find(item.value("says", "held: ")), std::string::npos) << last_.message;
  EXPECT_EQ(last_.evidence.at("sandbox").at("held").size(), all.size()) << last_.evidence.dump();

  for (const Layer layer : stopped_by) {
    std::vector<Layer> alone = layers_of(item.value("with", json::array()));
    alone.push_back(layer);
    expect(alone, true);
  }
  const bool one = stopped_by.size() == 1;
  if (one && item.value("free", true)) { expect(others(stopped_by), false); }
  if (!always && item.value("free", true)) { expect({}, false); }
}

INSTANTIATE_TEST_SUITE_P(All, HostileCase, testing::Range(size_t{0}, cases().size()));

TEST_F(JailTest, EveryLayerIsTestedByWhatItAloneStops) {
  std::vector<Layer> tested;
  for (const json& item : cases()) {
    const std::vector<Layer> layers = layers_of(item.value("stopped_by", json::array()));
    if (layers.size() == 1 && item.value("free", true)) { tested.push_back(layers.front()); }
  }
  for (const Layer layer : kLayers) { EXPECT_TRUE(contains(tested, layer)) << layer_name(layer); }
}

TEST_F(JailTest, NoKeysAndNoDescriptorsGetIn) {
  ASSERT_EQ(::setenv("VORTEX_TEST_API_KEY", "secret", 1), 0);
  const int leaked = ::open((folder_ / "outside/secret").c_str(), O_RDONLY);  // not closed at exec
  ASSERT_GE(leaked, 0);
  for (const char* deed : {"variable", "descriptors"}) {
    ask_for({{"do", deed}, {"on", "VORTEX_TEST_API_KEY"}});
    for (const std::vector<Layer>& layers :
         {std::vector<Layer>(kLayers.begin(), kLayers.end()), std::vector<Layer>{}}) {
      const auto results = run_behind(layers);
      ASSERT_TRUE(results.ok()) << results.error().message;
      EXPECT_EQ(results->front().verdict, job::Verdict::kFail) << deed << names_of(layers);
    }
  }
  ::close(leaked);
  ::unsetenv("VORTEX_TEST_API_KEY");
}

TEST_F(JailTest, RefusesToRunWithLessThanIsRequired) {
  ask_for({{"do", "nothing"}});
  for (const Layer layer : active({kLayers.begin(), kLayers.end()})) {
    options_.jail.required = {layer};
    options_.jail.off = {layer};
    const auto results = run_job(job_, options_, {}, {});
    ASSERT_FALSE(results.ok()) << layer_name(layer);
    EXPECT_EQ(results.error().blame, Blame::kEnvironment);
    EXPECT_NE(results.error().message.find(std::string(layer_name(layer)) + " is "), std::string::npos)
        << results.error().message;
  }
}

TEST_F(JailTest, RunsWithoutBubblewrapAndSaysSo) {
  ask_for({{"do", "look for"}, {"on", "$outside/secret"}});
  options_.jail.bubblewrap = "/nowhere/bwrap";
  const auto results = run_job(job_, options_, {}, {});
  ASSERT_TRUE(results.ok()) << results.error().message;
  EXPECT_EQ(results->front().verdict, job::Verdict::kPass) << "a stat is not for Landlock to stop";
  const json& evidence = results->front().evidence.at("sandbox");
  EXPECT_NE(evidence.at("missing").at("namespaces").get<std::string>().find("/nowhere/bwrap"), std::string::npos)
      << evidence.dump();
  ask_for({{"do", "read"}, {"on", "$outside/secret"}});
  const auto held_back = run_job(job_, options_, {}, {});
  ASSERT_TRUE(held_back.ok());
  EXPECT_EQ(held_back->front().verdict, job::Verdict::kFail) << "but opening a file is";
}

TEST_F(JailTest, LayersAreReadAsUsersWriteThem) {
  EXPECT_TRUE(layers_from_text("", "x")->empty());
  EXPECT_TRUE(layers_from_text("none", "x")->empty());
  EXPECT_EQ(layers_from_text("full", "x")->size(), kLayers.size());
  EXPECT_EQ(*layers_from_text("seccomp,landlock", "x"), (std::vector<Layer>{Layer::kSeccomp, Layer::kLandlock}));
  const auto wrong = layers_from_text("secomp", "--require-sandbox");
  ASSERT_FALSE(wrong.ok());
  EXPECT_EQ(wrong.error().blame, Blame::kCandidate);
  EXPECT_EQ(wrong.error().hint, "did you mean seccomp?");
  EXPECT_FALSE(layers_from_text("seccomp,", "x").ok());
}

TEST_F(JailTest, SweepsWhatTheDeadLeft) {
  const fs::path root = folder_ / "dead";
  fs::create_directories(root / "worker-abc" / "deep");
  fs::create_directories(root / "other");
  const auto living = ScratchFolder::make(root);
  ASSERT_TRUE(living.ok());
  EXPECT_FALSE(fs::exists(root / "worker-abc")) << "swept when the first folder is made";
  EXPECT_TRUE(fs::exists(root / "other")) << "not ours";
  fs::create_directories(root / "worker-def");
  EXPECT_EQ(sweep_scratch(root), 1);
  EXPECT_TRUE(fs::exists((*living)->path())) << "the living keep theirs";
}

}  // namespace
}  // namespace vortex::sandbox
