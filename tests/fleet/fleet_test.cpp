#include "fleet/fleet.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>

#include <filesystem>

#include "base/clock.h"
#include "job/protocol.h"
#include "tests/fleet/made_up.h"

namespace vortex::fleet {
namespace {

namespace fs = std::filesystem;
using job::Stage;

std::string payload_of(const job::StageResult& result) { return unframed(job::event_frame(result)); }

// A worker whose every word the test chooses.
class RawWorker {
 public:
  explicit RawWorker(const Address& search) : channel_(connect_to(search, 5).value()) {}

  // The next message of this kind; others are passed over. Fails the test after some seconds.
  template <typename T>
  std::optional<T> await(double seconds = 10) {
    const double deadline = monotonic_seconds() + seconds;
    while (monotonic_seconds() < deadline) {
      auto message = channel_.next();
      if (message.ok() && *message) {
        if (auto* wanted = std::get_if<T>(&**message)) { return std::move(*wanted); }
        continue;
      }
      pollfd watched{channel_.socket(), POLLIN, 0};
      ::poll(&watched, 1, 50);
      if (!channel_.receive().ok() && !channel_.next().ok()) { return std::nullopt; }
    }
    return std::nullopt;
  }
  void say(const Message& message) {
    channel_.send(message);
    (void)channel_.flush();
  }
  bool join(const std::string& identity) {
    const auto greeting = await<Greeting>();
    if (!greeting) { return false; }
    Hello hello;
    hello.nonce = "mine";
    hello.build = kMadeUpBuild;
    hello.identity = identity;
    hello.name = "raw";
    hello.machine = made_up_pilot({}, "raw").machine;
    hello.proof = proof_of("a token for tests only", {"worker", greeting->nonce, "mine", identity, kMadeUpBuild});
    say(hello);
    if (!await<Welcome>()) { return false; }
    say(Ready{});
    return true;
  }
  // Has the search hung up?
  bool closed(double seconds = 10) {
    const double deadline = monotonic_seconds() + seconds;
    while (monotonic_seconds() < deadline) {
      if (!channel_.receive().ok()) { return true; }
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return false;
  }
  int socket() const { return channel_.socket(); }

 private:
  Channel channel_;
};

class FleetTest : public testing::Test {
 protected:
  void open() {
    options_.on_event = [this](const std::string& kind, const nlohmann::json& detail) {
      const MutexLock lock(mutex_);
      events_.push_back(kind + ": " + detail["message"].get<std::string>());
    };
    auto opened = Fleet::open(options_);
    ASSERT_TRUE(opened.ok()) << opened.error().message;
    fleet_ = std::move(opened).value();
  }
  static job::Job job_of(const std::string& policy) {
    job::Job job = agent::test_options().job;
    job.id = "candidate-7-1";
    job.module_text = policy;
    return job;
  }
  Result<std::vector<job::StageResult>> run(const job::Job& job) {
    reported_.clear();
    return fleet_->run_job(
        job, [this](const job::StageResult& result) { reported_.push_back(result.stage); }, [] { return false; });
  }
  bool was_told(const std::string& what) {
    for (double end = monotonic_seconds() + 10; monotonic_seconds() < end;) {
      {
        const MutexLock lock(mutex_);
        for (const std::string& event : events_) {
          if (event.find(what) != std::string::npos) { return true; }
        }
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return false;
  }
  void wait_for(int workers) {
    while (fleet_->ready() < workers) { std::this_thread::sleep_for(std::chrono::milliseconds(5)); }
  }

  // Good enough for every made-up stage.
  const std::string good_ = "a good policy";
  const std::vector<Stage> all_ = agent::test_options().job.stages;
  FleetOptions options_ = made_up_fleet(agent::test_options().job);
  std::vector<Stage> reported_;
  Mutex mutex_;
  std::vector<std::string> events_ VORTEX_GUARDED_BY(mutex_);
  std::unique_ptr<Fleet> fleet_;  // the last, so the first to go: its thread tells events to the end
};

TEST_F(FleetTest, ATaskIsDoneElsewhereAsItWouldBeHere) {
  open();
  MadeUpWorkshop workshop;
  Hand hand(made_up_pilot(fleet_->address(), "one"), workshop);
  const auto results = run(job_of(good_));
  ASSERT_TRUE(results.ok()) << results.error().message;
  EXPECT_EQ(reported_, all_);
  ASSERT_EQ(results->size(), all_.size());
  EXPECT_EQ(results->back().evidence["node"]["name"], "node-one");
  EXPECT_EQ(results->back().evidence["node"]["device"], "a made-up card");
  fleet_->close();
  ASSERT_TRUE(hand.end().ok());
  EXPECT_EQ(*hand.end(), PilotEnd::kDismissed);
  EXPECT_EQ(fleet_->roster().nodes.at("node-one").jobs, 1);
}

TEST_F(FleetTest, AWorkerOfAnotherBuildOrWithoutTheTokenIsToldWhy) {
  open();
  MadeUpWorkshop workshop;
  PilotOptions other = made_up_pilot(fleet_->address(), "other");
  other.build = "abcdef";
  Hand stranger(other, workshop);
  ASSERT_FALSE(stranger.end().ok());
  EXPECT_NE(stranger.end().error().message.find("of build abcdef, the search's of build made-up"), std::string::npos);
  EXPECT_TRUE(was_told("worker-refused: worker other on node-other: its vortex-worker is of build abcdef"));
  other = made_up_pilot(fleet_->address(), "thief");
  other.token = "guessed, and wrongly";
  Hand thief(other, workshop);
  ASSERT_FALSE(thief.end().ok());
  EXPECT_NE(thief.end().error().message.find("does not hold the token"), std::string::npos);
  EXPECT_EQ(fleet_->ready(), 0);
}

TEST_F(FleetTest, ASearchWithoutTheTokenIsNotWorkedFor) {
  Address address{"127.0.0.1", 0};
  const Descriptor listener = std::move(listen_at(address)).value();
  MadeUpWorkshop workshop;
  Hand hand(made_up_pilot(address, "one"), workshop);
  Descriptor socket;
  while (socket.get() < 0) { socket = accept_from(listener.get()); }
  Channel impostor(std::move(socket));
  impostor.send(Greeting{kProtocolVersion, "nonce"});
  impostor.send(Welcome{"no proof", to_json(options_.setup).dump()});
  ASSERT_TRUE(impostor.flush().ok());
  ASSERT_FALSE(hand.end().ok());
  EXPECT_NE(hand.end().error().message.find("does not hold the token"), std::string::npos);
}

TEST_F(FleetTest, StrangersWhoTalkNonsenseAreHungUpOnAndNobodyElseNotices) {
  options_.handshake_seconds = 0.5;
  open();
  const std::vector<std::string> nonsense = {"GET / HTTP/1.1\r\n\r\n",
                                             "99999999\n",
                                             "16777217\n{}",
                                             "3\nabcd",
                                             "-1\n",
                                             std::string(200'000, '0'),
                                             message_frame(Ready{}),
                                             message_frame(Beat{}),
                                             "4000000\n" + std::string(100'000, ' '),
                                             std::string("\0\0\0\x10", 4)};
  for (const std::string& bytes : nonsense) {
    RawWorker stranger(fleet_->address());
    (void)!::send(stranger.socket(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    EXPECT_TRUE(stranger.closed()) << bytes.substr(0, 20);
  }
  RawWorker silent(fleet_->address());
  EXPECT_TRUE(silent.closed()) << "one that says nothing";
  MadeUpWorkshop workshop;
  Hand hand(made_up_pilot(fleet_->address(), "one"), workshop);
  EXPECT_TRUE(run(job_of(good_)).ok());
}

TEST_F(FleetTest, ASilentWorkerCostsTheStageThatRanAndAnotherGoesOn) {
  options_.silence_seconds = 2;
  open();
  RawWorker raw(fleet_->address());
  ASSERT_TRUE(raw.join("raw"));
  wait_for(1);
  MadeUpWorkshop workshop;
  std::optional<Hand> second;
  std::thread silent([&] {
    const auto task = raw.await<Task>();
    ASSERT_TRUE(task);
    const job::Job asked = std::get<job::Job>(*job::parse_request(task->request));
    const job::StageResult first = with_evidence(asked, agent::SyntheticWorkers().stage_result(asked, Stage::kCompile));
    raw.say(Event{task->lease, payload_of(first)});
    second.emplace(made_up_pilot(fleet_->address(), "two"), workshop);
  });
  const auto results = run(job_of(good_));
  silent.join();
  ASSERT_TRUE(results.ok()) << results.error().message;
  EXPECT_EQ(reported_, all_) << "every stage once";
  EXPECT_EQ(results->front().evidence["node"]["name"], "node-raw");
  EXPECT_EQ(results->back().evidence["node"]["name"], "node-two");
  EXPECT_EQ(workshop.first_stages, std::vector<Stage>{Stage::kValidate});
  EXPECT_TRUE(was_told("worker-lost: worker raw on node-raw: nothing was heard of it"));
  EXPECT_EQ(fleet_->roster().nodes.at("node-raw").faults, 1);
}

TEST_F(FleetTest, AWorkerSpeaksAsOftenAsItsSearchWantsToHearOfIt) {
  options_.silence_seconds = 3;
  open();
  MadeUpWorkshop workshop;
  workshop.before = [](const auto&, const auto&) { std::this_thread::sleep_for(std::chrono::seconds(4)); };
  const Hand hand(made_up_pilot(fleet_->address(), "one"), workshop);  // which would do so every five seconds
  ASSERT_TRUE(run(job_of(good_)).ok());
  EXPECT_EQ(reported_, all_);
  EXPECT_EQ(fleet_->roster().nodes.at("node-one").faults, 0);
  EXPECT_EQ(workshop.tasks, 1);
}

// What a worker says twice, out of turn, of an older lease, or what is no result.
TEST_F(FleetTest, WhatDoesNotBelongToTheTaskDoesNotCount) {
  open();
  RawWorker raw(fleet_->address());
  ASSERT_TRUE(raw.join("raw"));
  wait_for(1);
  MadeUpWorkshop workshop;
  std::optional<Hand> second;
  std::thread liar([&] {
    const auto task = raw.await<Task>();
    ASSERT_TRUE(task);
    const job::Job asked = std::get<job::Job>(*job::parse_request(task->request));
    const std::string compiled =
        payload_of(with_evidence(asked, agent::SyntheticWorkers().stage_result(asked, Stage::kCompile)));
    raw.say(Event{task->lease - 1, compiled});  // of a task before: passed over
    raw.say(Done{task->lease - 1, false, {}});
    raw.say(Event{task->lease, compiled});
    raw.say(Event{task->lease, compiled});  // twice
    second.emplace(made_up_pilot(fleet_->address(), "two"), workshop);
  });
  const auto results = run(job_of(good_));
  liar.join();
  ASSERT_TRUE(results.ok()) << results.error().message;
  EXPECT_EQ(reported_, all_);
  EXPECT_EQ(workshop.first_stages, std::vector<Stage>{Stage::kValidate});
  EXPECT_TRUE(was_told("it reported what was not asked for"));
  EXPECT_TRUE(raw.closed());
}

TEST_F(FleetTest, AResultOfAnotherProgramIsNotBelieved) {
  open();
  RawWorker raw(fleet_->address());
  ASSERT_TRUE(raw.join("raw"));
  wait_for(1);
  MadeUpWorkshop workshop;
  std::optional<Hand> second;
  std::thread liar([&] {
    const auto task = raw.await<Task>();
    ASSERT_TRUE(task);
    const job::Job asked = std::get<job::Job>(*job::parse_request(task->request));
    job::StageResult result = with_evidence(asked, agent::SyntheticWorkers().stage_result(asked, Stage::kCompile));
    result.evidence["build_id"] = "another";
    raw.say(Event{task->lease, payload_of(result)});
    second.emplace(made_up_pilot(fleet_->address(), "two"), workshop);
  });
  const auto results = run(job_of(good_));
  liar.join();
  ASSERT_TRUE(results.ok()) << results.error().message;
  EXPECT_EQ(results->front().evidence["build_id"], kMadeUpBuild);
  EXPECT_TRUE(was_told("comes from another program than said hello"));
}

// Clocks may be apart and messages late: only durations travel, and none is compared with a clock of this machine.
TEST_F(FleetTest, AStageMayHaveTakenLongerThanItsTaskWasHere) {
  open();
  RawWorker raw(fleet_->address());
  ASSERT_TRUE(raw.join("raw"));
  wait_for(1);
  std::thread late([&] {
    const auto task = raw.await<Task>();
    ASSERT_TRUE(task);
    const job::Job asked = std::get<job::Job>(*job::parse_request(task->request));
    for (const Stage stage : asked.stages) {
      job::StageResult result = with_evidence(asked, agent::SyntheticWorkers().stage_result(asked, stage));
      result.seconds = 3600;
      raw.say(Event{task->lease, payload_of(result)});
    }
    raw.say(Done{task->lease, false, {}});
  });
  const auto results = run(job_of(good_));
  late.join();
  ASSERT_TRUE(results.ok()) << results.error().message;
  EXPECT_EQ(reported_, all_);
  EXPECT_EQ(results->back().seconds, 3600);
}

TEST_F(FleetTest, AWorkerThatMustGoSaysSoAndAnotherTakesOver) {
  open();
  MadeUpWorkshop first;
  MadeUpWorkshop second;
  std::optional<Hand> other;
  Hand preempted(made_up_pilot(fleet_->address(), "one"), first);
  wait_for(1);
  first.before = [&](const job::Job&, const std::function<bool()>& should_stop) {
    other.emplace(made_up_pilot(fleet_->address(), "two"), second);
    preempted.wish(Wish::kEnd);
    while (!should_stop()) { std::this_thread::sleep_for(std::chrono::milliseconds(5)); }
  };
  const auto results = run(job_of(good_));
  ASSERT_TRUE(results.ok()) << results.error().message;
  EXPECT_EQ(reported_, all_);
  EXPECT_EQ(results->front().evidence["node"]["name"], "node-two");
  EXPECT_EQ(*preempted.end(), PilotEnd::kWished);
  EXPECT_TRUE(was_told("it left: its machine is wanted back"));
}

TEST_F(FleetTest, AWorkerThatDrainsFinishesWhatItHas) {
  open();
  MadeUpWorkshop workshop;
  Hand hand(made_up_pilot(fleet_->address(), "one"), workshop);
  workshop.before = [&](const job::Job&, const auto&) {
    hand.wish(Wish::kDrain);
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
  };
  const auto results = run(job_of(good_));
  ASSERT_TRUE(results.ok()) << results.error().message;
  EXPECT_EQ(reported_, all_);
  ASSERT_TRUE(hand.end().ok());
  EXPECT_EQ(*hand.end(), PilotEnd::kWished);
  EXPECT_TRUE(was_told("worker-left"));
}

TEST_F(FleetTest, AMachinesFaultIsTriedElsewhereBeforeItIsARow) {
  open();
  MadeUpWorkshop broken;
  broken.workers.fault = [](const job::Job& job) -> std::optional<job::StageResult> {
    job::StageResult result;
    result.stage = job.stages.front();
    result.verdict = job::Verdict::kError;
    result.blame = Blame::kEnvironment;
    result.message = "planted: no memory";
    return result;
  };
  Hand one(made_up_pilot(fleet_->address(), "one"), broken);
  wait_for(1);
  MadeUpWorkshop workshop;
  Hand two(made_up_pilot(fleet_->address(), "two"), workshop);
  wait_for(2);
  const auto results = run(job_of(good_));
  ASSERT_TRUE(results.ok()) << results.error().message;
  EXPECT_EQ(reported_, all_);
  EXPECT_EQ(broken.tasks, 1) << "it rests after a fault";
  EXPECT_TRUE(was_told("worker-fault: worker one on node-one: planted: no memory"));
}

TEST_F(FleetTest, AStopReachesTheWorker) {
  open();
  MadeUpWorkshop workshop;
  std::atomic<bool> stop = false;
  workshop.before = [&](const job::Job&, const std::function<bool()>& should_stop) {
    stop = true;
    while (!should_stop()) { std::this_thread::sleep_for(std::chrono::milliseconds(5)); }
  };
  Hand hand(made_up_pilot(fleet_->address(), "one"), workshop);
  const auto results = fleet_->run_job(
      job_of(good_), [](const job::StageResult&) {}, [&] { return stop.load(); });
  ASSERT_TRUE(results.ok()) << results.error().message;
  ASSERT_EQ(results->size(), 1U);
  EXPECT_EQ(results->back().blame, Blame::kEnvironment);
  EXPECT_NE(results->back().message.find("stopped on request"), std::string::npos);
  workshop.before = nullptr;
  EXPECT_TRUE(run(job_of(good_)).ok()) << "it takes the next one";
}

TEST_F(FleetTest, AWorkerThatDialsAgainReplacesItsOldConnection) {
  open();
  RawWorker before(fleet_->address());
  ASSERT_TRUE(before.join("the same"));
  wait_for(1);
  RawWorker again(fleet_->address());
  ASSERT_TRUE(again.join("the same"));
  EXPECT_TRUE(before.closed());
  wait_for(1);
  EXPECT_TRUE(was_told("it dialled again"));
}

TEST_F(FleetTest, ATaskThatWaitsForAWorkerHoldsNone) {
  open();
  std::thread task([&] { (void)run(job_of("policy")); });
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  EXPECT_EQ(fleet_->lent_seconds(), 0);
  MadeUpWorkshop shop;
  std::atomic<double> lent_within = 0;
  shop.before = [&](const auto&, const auto&) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    lent_within = fleet_->lent_seconds();
  };
  const double came = monotonic_seconds();
  const Hand hand(made_up_pilot(fleet_->address(), "one"), shop);
  task.join();
  const double lent = fleet_->lent_seconds();
  EXPECT_GE(lent_within, 0.02);
  EXPECT_GE(lent, lent_within);
  EXPECT_LE(lent, monotonic_seconds() - came);
  EXPECT_EQ(fleet_->lent_seconds(), lent) << "nothing is lent";
}

TEST_F(FleetTest, WithoutAnyWorkerATaskDoesNotWaitForever) {
  options_.patience_seconds = 0.2;
  open();
  const auto results = run(job_of(good_));
  ASSERT_FALSE(results.ok());
  EXPECT_EQ(results.error().blame, Blame::kEnvironment);
}

// --- whole searches

// What a search decided and found, without what differs between any two.
std::vector<std::string> rows_of(db::Store& store, int64_t run) {
  std::vector<std::string> rows;
  const std::vector<db::Candidate> candidates = *store.candidates(run);
  for (const db::Candidate& candidate : candidates) {
    rows.push_back(candidate.key + " " + std::to_string(candidate.batch) + " " + std::to_string(candidate.slot) + " " +
                   std::string(candidate.verdict ? job::verdict_name(*candidate.verdict) : "-"));
    const std::vector<db::StageRow> stages = *store.stages(candidate.id);
    for (const db::StageRow& stage : stages) {
      rows.push_back(db::stage_round_name(stage.stage) + " " + std::string(job::verdict_name(stage.verdict)) + " " +
                     stage.message + " " + stage.metrics);
    }
  }
  return rows;
}

std::vector<std::string> search(const agent::RunJob& run_job, int workers) {
  std::string folder = (fs::temp_directory_path() / "vortex-fleet-XXXXXX").string();
  EXPECT_NE(::mkdtemp(folder.data()), nullptr);
  std::vector<std::string> rows;
  {
    const std::unique_ptr<db::Store> store = std::move(db::Store::open(folder)).value();
    study::SearchOptions options = agent::test_options();
    options.workers = workers;
    options.max_evals = 24;
    db::Run run;
    run.name = "test";
    run.config = study::to_json(options).dump();
    run.id = *store->add_run(run);
    agent::SyntheticWorkers unused;
    std::atomic<double> now = 0;
    agent::SearchHooks hooks = agent::test_hooks(unused, &now);
    hooks.run_job = run_job;
    const auto end = agent::run_search(*store, run, options, agent::test_model(), hooks);
    EXPECT_TRUE(end.ok()) << end.error().message;
    rows = rows_of(*store, run.id);
  }
  fs::remove_all(folder);
  return rows;
}

TEST_F(FleetTest, ASearchOnTwoWorkersHasTheRowsOfALocalOneWhileTheyComeAndGo) {
  agent::SyntheticWorkers here;
  const std::vector<std::string> local =
      search([&](const job::Job& job, const auto& on_result,
                 const auto& should_stop) { return run_made_up(here, job, on_result, should_stop); },
             1);
  ASSERT_GT(local.size(), 60U);
  open();
  MadeUpWorkshop shops[3];
  std::optional<Hand> third;
  Hand first(made_up_pilot(fleet_->address(), "one"), shops[0]);
  Hand second(made_up_pilot(fleet_->address(), "two"), shops[1]);
  shops[0].before = [&](const job::Job&, const std::function<bool()>& should_stop) {
    if (shops[0].tasks != 5) { return; }
    third.emplace(made_up_pilot(fleet_->address(), "three"), shops[2]);
    first.wish(Wish::kEnd);
    while (!should_stop()) { std::this_thread::sleep_for(std::chrono::milliseconds(5)); }
  };
  const std::vector<std::string> remote =
      search([&](const job::Job& job, const auto& on_result,
                 const auto& should_stop) { return fleet_->run_job(job, on_result, should_stop); },
             2);
  EXPECT_EQ(local, remote);
  EXPECT_GE(shops[0].tasks, 5);
  EXPECT_GT(shops[2].tasks, 0);
}

}  // namespace
}  // namespace vortex::fleet
