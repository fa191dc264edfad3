#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/thread_annotations.h"
#include "db/run_reader.h"
#include "study/board.h"

namespace vortex::web {

// One run, kept up with a search that writes beside it. What the overview shows is held in sections; each remembers the
// version at which it last changed, and so does each point, so that a reader who knows a version is told only what is
// new. Thread-safe.
class LiveRun {
 public:
  static Result<std::shared_ptr<LiveRun>> open(const std::filesystem::path& workspace, const db::Run& run);

  // Reads what was written since the last time; of a large run that is new here, a part, so that what is read can be
  // shown (section "reading" says how much). True if something changed.
  Result<bool> refresh();
  bool all_read() const;

  int64_t version() const;
  // The sections that changed after `version` (0: all), as JSON with the new cursor; empty when nothing did.
  std::string since(int64_t version) const;
  std::string cursor() const;
  // The version that a cursor stands for; 0 when this object did not make it (the server was started anew).
  int64_t version_of(const std::string& cursor) const;

  // Calls `read` with the board while nothing changes it.
  template <typename Read>
  auto with_board(Read&& read) const {
    const MutexLock guard(mutex_);
    return read(board_, parents_);
  }

  using Parents = std::map<int64_t, std::vector<db::LineageEdge>>;  // by child
  const study::SearchOptions& options() const { return options_; }
  nlohmann::json section(const std::string& name) const;
  db::Run run() const;

 private:
  LiveRun(std::filesystem::path workspace, db::Run run, study::SearchOptions options,
          std::unique_ptr<db::RunReader> reader, std::unique_ptr<db::Store> store);

  Status read_changes() VORTEX_REQUIRES(mutex_);
  Status take_in(db::RunReader::Range range) VORTEX_REQUIRES(mutex_);
  Status read_touched(int64_t since) VORTEX_REQUIRES(mutex_);
  Status rebuild_sections() VORTEX_REQUIRES(mutex_);
  Status rebuild_front() VORTEX_REQUIRES(mutex_);
  Status rebuild_marks() VORTEX_REQUIRES(mutex_);
  nlohmann::json progress_json() const VORTEX_REQUIRES(mutex_);
  void set_counts() VORTEX_REQUIRES(mutex_);
  void set_section(const std::string& name, nlohmann::json value) VORTEX_REQUIRES(mutex_);
  double search_seconds(double time) const VORTEX_REQUIRES(mutex_);

  std::filesystem::path workspace_;
  study::SearchOptions options_;
  std::string epoch_;  // of this object: a cursor of another one means nothing here

  mutable Mutex mutex_;
  std::unique_ptr<db::RunReader> reader_ VORTEX_GUARDED_BY(mutex_);
  std::unique_ptr<db::Store> store_ VORTEX_GUARDED_BY(mutex_);
  db::Run run_ VORTEX_GUARDED_BY(mutex_);
  study::Board board_ VORTEX_GUARDED_BY(mutex_);
  Parents parents_ VORTEX_GUARDED_BY(mutex_);
  int64_t data_version_ VORTEX_GUARDED_BY(mutex_) = -1;
  bool held_ VORTEX_GUARDED_BY(mutex_) = false;           // does a search run in the workspace?
  int64_t last_candidate_ VORTEX_GUARDED_BY(mutex_) = 0;  // taken in
  int64_t newest_candidate_ VORTEX_GUARDED_BY(mutex_) = 0;
  int64_t last_stage_ VORTEX_GUARDED_BY(mutex_) = -1;
  int64_t last_event_ VORTEX_GUARDED_BY(mutex_) = 0;
  std::vector<db::Event> events_ VORTEX_GUARDED_BY(mutex_);
  std::vector<std::pair<double, double>> gaps_ VORTEX_GUARDED_BY(mutex_);  // times in which nothing ran: begin, length
  std::string front_key_ VORTEX_GUARDED_BY(mutex_);                        // what the front section was made from

  struct Section {
    std::string text;
    int64_t version = 0;
  };
  int64_t version_ VORTEX_GUARDED_BY(mutex_) = 0;
  std::map<std::string, Section> sections_ VORTEX_GUARDED_BY(mutex_);
  std::vector<std::pair<int64_t, int64_t>> moves_
      VORTEX_GUARDED_BY(mutex_);  // (version, candidate) of points that changed, in order
};

}  // namespace vortex::web
