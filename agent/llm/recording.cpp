#include "agent/llm/recording.h"

#include <cstdio>
#include <system_error>

#include "agent/llm/writer.h"
#include "base/files.h"
#include "study/options.h"

namespace vortex::agent {
namespace {

namespace fs = std::filesystem;

class RecordedChannel final : public Channel {
 public:
  explicit RecordedChannel(fs::path folder) : folder_(std::move(folder)) {}

  Result<std::optional<Answer>> ask(const Ask& ask, CallBook& book) override {
    std::error_code ec;
    const fs::path file = recording_file(folder_, ask, "reply.md");
    if (fs::exists(recording_file(folder_, ask, "none"), ec)) { return std::optional<Answer>{}; }
    if (!fs::exists(file, ec)) {
      // The recording ends here: so does what can be replayed.
      return std::optional(Answer{"", "recorded", "end", 0, 0, 0});
    }
    VORTEX_ASSIGN(auto open, book.begin(ask, "recorded", 0, 0));
    if (!open) { return std::optional<Answer>{}; }
    Answer answer;
    answer.model = "recorded";
    answer.finish = "stop";
    VORTEX_ASSIGN(answer.text, read_file(file));
    VORTEX_TRY(book.answered(std::move(*open), answer));
    return std::optional(std::move(answer));
  }

 private:
  fs::path folder_;
};

}  // namespace

fs::path recording_file(const fs::path& folder, const Ask& ask, const char* what) {
  char name[128];
  std::snprintf(name, sizeof name, "%03lld.%lld.%lld.%lld.%s", static_cast<long long>(ask.batch),
                static_cast<long long>(ask.slot), static_cast<long long>(ask.draw), static_cast<long long>(ask.round),
                what);
  return folder / name;
}

Status record(const fs::path& folder, const Ask& ask, const std::optional<Answer>& answer) {
  VORTEX_TRY(write_file_atomic(recording_file(folder, ask, "prompt.md"), whole_prompt(ask)));
  if (!answer) { return write_file_atomic(recording_file(folder, ask, "none"), ""); }
  return write_file_atomic(recording_file(folder, ask, "reply.md"), answer->text);
}

Result<std::unique_ptr<Proposer>> make_recorded_proposer(const ProposerSetup& setup) {
  if (setup.options == nullptr) { return internal_error("this proposer needs options"); }
  const fs::path folder = setup.options->writer.replies_folder;
  std::error_code ec;
  if (!fs::is_directory(folder, ec)) {
    return candidate_error("there is no folder of recorded replies" + (folder.empty() ? "" : ": " + folder.string()),
                           "name one with --replies FOLDER; docs/proposers.md says what is in it");
  }
  return make_writer(setup, std::make_unique<RecordedChannel>(folder));
}

}  // namespace vortex::agent
