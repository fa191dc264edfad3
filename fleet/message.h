// What a search and its workers on other machines say to each other, over one TCP connection a worker.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.h"

namespace vortex::fleet {

// A message is a frame (job/frame.h): a JSON object on one line, and behind its line feed, where the message carries
// any, bytes that the line does not describe further. The search greets, the worker says hello with a proof that it
// holds the token, the search welcomes it with a proof of its own and with what the workers of this search share. Then
// the worker asks for the bytes of the model that it lacks, says that it is ready, and gets one task at a time: its
// lease is a number that no other task ever has, and what is said of another lease than the present one does not count.
// Both sides beat while they have nothing else to say. No time of any clock is in a message.
inline constexpr int kProtocolVersion = 2;
inline constexpr size_t kPieceBytes = size_t{4} << 20;         // of a file, in one message
inline constexpr size_t kHeadBytes = size_t{1} << 14;          // that a message may take beside its body
inline constexpr size_t kMostStrangerBytes = size_t{1} << 16;  // that is read of somebody without a proof

// What a worker's machine is.
struct Machine {
  std::string node;
  std::string device;        // "NVIDIA H100 80GB HBM3", or the processor's name
  bool gpu = false;          // `device` is one
  std::string uuid;          // of a GPU
  std::string driver;        // likewise
  std::string units;         // of the processor that change bits: "avx512_bf16 amx_bf16"
  int threads = 1;           // that a task may use
  int64_t memory_bytes = 0;  // of the GPU, or of the machine
};
nlohmann::json to_json(const Machine& machine);
Result<Machine> machine_from_json(const nlohmann::json& json);

// --- from the search
struct Greeting {
  int protocol = kProtocolVersion;
  std::string nonce;
};
struct Refusal {  // of a hello: the connection ends
  std::string message;
  std::string hint;
};
struct Welcome {
  std::string proof;
  std::string setup;  // body: JSON (fleet/setup.h)
};
struct Task {
  uint64_t lease = 0;
  std::string request;  // body: a request of job/protocol.h, without its frame
};
struct Stop {  // the task is to be ended now
  uint64_t lease = 0;
};
struct Piece {
  int file = 0;
  int64_t offset = 0;
  std::string bytes;  // body: empty at the end of the file
};

// --- from the worker
struct Hello {
  int protocol = kProtocolVersion;
  std::string nonce;
  std::string proof;
  std::string build;     // of its vortex-worker program
  std::string identity;  // of this process: drawn at its start
  std::string name;      // for people
  Machine machine;
};
struct Want {
  int file = 0;  // place in the manifest
  int64_t offset = 0;
};
struct Ready {};
struct Event {
  uint64_t lease = 0;
  std::string event;  // body: an event of job/protocol.h, without its frame
};
struct Done {  // the task has ended: all its events were sent
  uint64_t lease = 0;
  bool failed = false;  // no worker process could be started: `error`
  Error error;
};
struct Drain {};  // no further task, please: the machine is wanted back soon

// --- from both
struct Beat {};
struct Bye {  // from the search: no more work. From the worker: it ends, as it was told to or for this reason
  std::string reason;
};

using Message =
    std::variant<Greeting, Refusal, Welcome, Task, Stop, Piece, Hello, Want, Ready, Event, Done, Drain, Beat, Bye>;

// The whole frame. Text that is no UTF-8 is repaired with U+FFFD, bodies excepted.
std::string message_frame(const Message& message);
// A frame of ours without its length and its last line feed.
std::string unframed(const std::string& frame);
// Reads the payload of a frame. Errors say what is wrong: no JSON, unknown kinds and keys, wrong types, a body where
// there is none. Whatever the bytes, it does not crash.
Result<Message> parse_message(std::string payload);

}  // namespace vortex::fleet
