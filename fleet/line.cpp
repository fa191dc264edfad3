#include "fleet/line.h"

#include <algorithm>
#include <filesystem>
#include <fstream>

namespace vortex::fleet {

WorkerView Fleet::Line::view(double now) const {
  WorkerView view;
  view.name = hello.name;
  view.machine = hello.machine;
  view.job = job;
  view.stage = stage;
  view.since = lease != nullptr ? now - stage_since : 0;
  switch (state) {
    case State::kPreparing:
      view.state = "preparing";
      break;
    case State::kIdle:
      view.state = rest_until > now ? "resting" : "idle";
      break;
    case State::kRunning:
      view.state = draining ? "leaving" : "running";
      break;
    case State::kLeaving:
    case State::kStranger:
    case State::kGone:
      view.state = "leaving";
      break;
  }
  return view;
}

Result<std::string> piece_of(const Setup& setup, const Want& want) {
  const std::vector<ModelFile>& files = setup.model.files;
  if (want.file < 0 || static_cast<size_t>(want.file) >= files.size()) {
    return internal_error("it asked for a file that the model does not have");
  }
  const ModelFile& file = files[static_cast<size_t>(want.file)];
  if (want.offset < 0 || want.offset > file.bytes) {
    return internal_error("it asked for what lies behind a file's end");
  }
  std::ifstream stream(std::filesystem::path(setup.job.model_path) / file.name, std::ios::binary);
  stream.seekg(want.offset);
  std::string bytes(static_cast<size_t>(std::min<int64_t>(kPieceBytes, file.bytes - want.offset)), '\0');
  stream.read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  if (static_cast<size_t>(stream.gcount()) != bytes.size()) {
    return environment_error("the model's file " + file.name + " cannot be read any more");
  }
  return bytes;
}

}  // namespace vortex::fleet
