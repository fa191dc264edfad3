#include <fnmatch.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <memory>

#include "cli/interrupt.h"
#include "cli/verbs/verbs.h"
#include "fetch/download.h"
#include "fetch/hub.h"

namespace vortex::cli {
namespace {

namespace fs = std::filesystem;

constexpr double kRedraw = 0.2;  // seconds between two drawings of the progress line

struct FetchArguments {
  std::string repo;
  bool data = false;
  std::string revision = "main";
  std::string to;
  std::vector<std::string> include;
  bool all = false;
  std::string endpoint;
};

// What a model needs to run: weights, configuration, tokenizer, licence; not the same weights in other formats.
const std::vector<std::string> kModelFiles = {"*.safetensors", "*.json", "*.txt", "*.jinja", "LICENSE*", "README.md"};

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

std::vector<fetch::RemoteFile> chosen(const fetch::Listing& listing, const FetchArguments& arguments) {
  std::vector<std::string> patterns = arguments.include;
  const bool usual = patterns.empty() && !arguments.all && !arguments.data;
  if (usual) { patterns = kModelFiles; }
  std::vector<fetch::RemoteFile> files;
  for (const fetch::RemoteFile& file : listing.files) {
    // The usual files lie at the top; a pattern of the user's matches anywhere.
    const int flags = usual ? FNM_PATHNAME : 0;
    const bool wanted =
        patterns.empty() || std::any_of(patterns.begin(), patterns.end(), [&](const std::string& pattern) {
          return ::fnmatch(pattern.c_str(), file.path.c_str(), flags) == 0;
        });
    if (wanted) { files.push_back(file); }
  }
  return files;
}

std::string megabytes(int64_t bytes) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f MB", static_cast<double>(bytes) / 1e6);
  return text;
}

// One moving line on a terminal, else a line a file.
class ProgressLine {
 public:
  ProgressLine(int64_t total) : total_(total), moving_(stderr_is_terminal()) {}

  void file(const std::string& path, int64_t bytes_before) {
    path_ = path;
    before_ = bytes_before;
  }
  void bytes(int64_t of_file) {
    if (!moving_) { return; }
    const auto now = std::chrono::steady_clock::now();
    if (std::chrono::duration<double>(now - drawn_).count() < kRedraw) { return; }
    drawn_ = now;
    const int64_t done = before_ + of_file;
    const int percent = total_ > 0 ? static_cast<int>(100 * done / total_) : 100;
    std::cerr << "\r\033[K" << percent << " %  " << megabytes(done) << " of " << megabytes(total_) << "  " << path_
              << std::flush;
  }
  void end_file(bool was_there) {
    if (moving_) { std::cerr << "\r\033[K"; }
    log_line(path_ + (was_there ? ": was there" : ": done"));
  }
  void close() {
    if (moving_) { std::cerr << "\r\033[K" << std::flush; }
  }

 private:
  int64_t total_;
  bool moving_;
  std::string path_;
  int64_t before_ = 0;
  std::chrono::steady_clock::time_point drawn_;
};

// What to do without a network.
Error with_advice(Error error, const std::string& repo, const fs::path& folder, bool data) {
  if (error.blame != Blame::kEnvironment) { return error; }
  const std::string files = data ? "its files" : "config.json, tokenizer.json, *.safetensors and the other .json files";
  if (!error.hint.empty()) { error.hint += "\n"; }
  error.hint += "the same command continues; without a network, put " + files + " of " + repo + " into " +
                fs::absolute(folder).string() + " by hand";
  return error;
}

// A scheme and a host, and nothing that would make another address of it.
bool is_hub(const std::string& endpoint) {
  const size_t host = endpoint.find("://");
  if (host == std::string::npos) { return false; }
  const std::string scheme = endpoint.substr(0, host);
  const std::string rest = endpoint.substr(host + 3);
  return (scheme == "http" || scheme == "https") && !rest.empty() && rest.front() != '/' && rest.front() != ':' &&
         rest.find_first_of(" \t?#@") == std::string::npos;
}

Result<int> interrupted() {
  log_line("interrupted; the same command continues where it ended");
  return kInterrupted;
}

Result<int> fetch_files(const Context& context, FetchArguments arguments) {
  fetch::Hub hub;
  hub.token = net::trimmed(environment("HF_TOKEN"));
  const std::string endpoint = arguments.endpoint.empty() ? environment("HF_ENDPOINT") : arguments.endpoint;
  if (!endpoint.empty()) { hub.endpoint = endpoint; }
  while (hub.endpoint.ends_with('/')) { hub.endpoint.pop_back(); }
  if (!is_hub(hub.endpoint)) {
    return candidate_error("not a hub: " + hub.endpoint, "--endpoint (or $HF_ENDPOINT) is like https://huggingface.co");
  }
  const fetch::NamedRepo named = fetch::named_repo(hub.endpoint, arguments.repo);
  arguments.repo = named.repo;
  arguments.data = arguments.data || named.data;
  if (!named.revision.empty()) { arguments.revision = named.revision; }
  const auto slashes = std::count(arguments.repo.begin(), arguments.repo.end(), '/');
  if (!fetch::is_safe_path(arguments.repo) || slashes > 1) {
    return candidate_error("not a repository: " + arguments.repo, "name it as OWNER/NAME, or by its page's address");
  }
  const auto kind = arguments.data ? fetch::RepoKind::kData : fetch::RepoKind::kModel;
  fs::path folder = arguments.to;
  if (arguments.to.empty()) {
    folder = fs::path(arguments.data ? "data" : "models") / fs::path(arguments.repo).filename();
  }
  catch_interrupts();
  const auto should_stop = [] { return interrupts() > 0; };
  net::RetryPolicy retries;
  retries.seed = static_cast<uint64_t>(::getpid());

  const auto listing = fetch::list_files(hub, kind, arguments.repo, arguments.revision, retries, should_stop);
  if (should_stop()) { return interrupted(); }
  if (!listing.ok()) { return with_advice(listing.error(), arguments.repo, folder, arguments.data); }
  const std::vector<fetch::RemoteFile> files = chosen(*listing, arguments);
  if (files.empty()) {
    return candidate_error(arguments.repo + " has no such files", "--all fetches whatever is there");
  }
  int64_t total = 0;
  for (const fetch::RemoteFile& file : files) { total += file.size; }
  log_line(arguments.repo + " at " + listing->commit + ": " + std::to_string(files.size()) + " files, " +
           megabytes(total) + ", to " + folder.string());

  ProgressLine progress(total);
  int64_t done = 0;
  std::vector<nlohmann::json> items;
  for (const fetch::RemoteFile& file : files) {
    progress.file(file.path, done);
    fetch::DownloadHooks hooks{should_stop, [&](int64_t bytes) { progress.bytes(bytes); }};
    const auto fetched = fetch::download(fetch::file_request(hub, kind, arguments.repo, listing->commit, file.path),
                                         file, folder, retries, hooks);
    if (!fetched.ok()) {
      progress.close();
      if (should_stop()) { return interrupted(); }
      return with_advice(fetched.error(), arguments.repo, folder, arguments.data);
    }
    const bool was_there = *fetched == fetch::Fetched::kWasThere;
    progress.end_file(was_there);
    done += file.size;
    items.push_back({{"path", (folder / file.path).string()}, {"bytes", file.size}, {"was_there", was_there}});
  }
  if (context.format() != Format::kText) {
    print_records(context.format(), "file", items);
  } else {
    std::cout << folder.string() << "\n";
  }
  return 0;
}

}  // namespace

void add_fetch(CLI::App& app, Context& context) {
  const auto arguments = std::make_shared<FetchArguments>();
  CLI::App* verb = add_verb(app, context, "fetch", "brings a model or a data set from a hub, checked and resumable",
                            [&context, arguments] { return fetch_files(context, *arguments); });
  verb->add_option("repo", arguments->repo, "OWNER/NAME")->required();
  verb->add_flag("--data", arguments->data, "a data set instead of a model");
  verb->add_option("--revision", arguments->revision, "branch, tag or commit")->capture_default_str();
  verb->add_option("--to", arguments->to, "folder (models/NAME or data/NAME)");
  verb->add_option("--include", arguments->include, "only files that match, e.g. '*.json'; may be repeated")
      ->allow_extra_args(false)
      ->take_all();
  verb->add_flag("--all", arguments->all, "all files, also the same weights in other formats");
  verb->add_option("--endpoint", arguments->endpoint, "the hub ($HF_ENDPOINT, else https://huggingface.co)");
  add_format_option(verb, context);
  verb->footer("A token for gated repositories is read from HF_TOKEN and sent to the hub alone.");
}

}  // namespace vortex::cli
