#pragma once

#include <memory>
#include <string>

#include "base/clock.h"
#include "base/secret.h"
#include "fleet/fleet.h"
#include "fleet/token.h"

namespace vortex::fleet {

// Do two machines compute the same bits at the same speed, so that a climb may go on from one to the other?
inline bool are_alike(const Machine& one, const Machine& other) {
  return one.device == other.device && one.gpu == other.gpu && one.units == other.units;
}

// The bytes of the model's file that a worker asks for; empty at its end. Errors: what it asked for is not there.
Result<std::string> piece_of(const Setup& setup, const Want& want);

// What the fleet knows of one connection. Guarded by the fleet's lock.
struct Fleet::Line {
  enum class State {
    kStranger,   // has not shown that it holds the token
    kPreparing,  // gets the model
    kIdle,
    kRunning,  // lent
    kLeaving,  // was told goodbye
    kGone,     // to be removed
  };

  Line(Descriptor socket, double now) : channel(std::move(socket)), opened(now), heard(now), told(now), counted(now) {}

  void greet() {
    nonce = random_hex(kSecretBytes);
    channel.send(Greeting{kProtocolVersion, nonce});
  }
  void say_goodbye(const std::string& reason) {
    if (state == State::kStranger || state == State::kGone) {
      state = State::kGone;
      return;
    }
    channel.send(Bye{reason});
    state = State::kLeaving;
  }
  bool works() const { return state == State::kIdle || state == State::kRunning; }
  WorkerView view(double now) const;

  Channel channel;
  State state = State::kStranger;
  double opened;
  double heard;          // when something came last
  double told;           // when a beat was sent last
  double counted;        // until when its node was given its seconds
  uint32_t watched = 0;  // events of its socket that are waited for
  std::string nonce;
  Hello hello;
  bool draining = false;
  int faults_in_row = 0;
  double rest_until = 0;  // 0: it does not rest

  std::shared_ptr<Lease> lease;  // of the task that runs
  double since = 0;              // when it was lent
  std::string job;
  std::string stage;
  double stage_since = 0;
};

}  // namespace vortex::fleet
