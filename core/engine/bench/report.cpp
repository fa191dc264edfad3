#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>

#include "core/engine/bench/bench.h"

namespace vortex::bench {

Report::Report(const Options& options, const std::string& device, double copy_bytes_per_second)
    : format_(options.format),
      file_(options.json),
      device_(device + "; " + options.geometry + ", random weights"),
      copy_(copy_bytes_per_second) {
  if (format_ == "json") { return; }
  const bool markdown = format_ == "markdown";
  if (copy_ == 0) {  // nothing but values will be added
    std::printf("%s\n\n", device_.c_str());
    return;
  }
  std::printf("%s; copy %.3f TB/s (read + write)\n\n", device_.c_str(), copy_ * 1e-12);
  if (markdown) {
    std::printf("| what | shape | policy | median ms | min-max ms | GB | TB/s | %% of limit | tok/s |\n");
    std::printf("|---|---|---|---|---|---|---|---|---|\n");
  } else {
    std::printf("%-10s %-14s %-26s %10s %19s %9s %7s %7s %10s\n", "what", "shape", "policy", "median ms", "min-max ms",
                "GB", "TB/s", "%limit", "tok/s");
  }
  std::fflush(stdout);
}

void Report::add(const Record& r) {
  const double rate = r.bytes / r.seconds;
  const double percent = 100 * (r.limit > 0 ? r.limit : r.bytes) / r.seconds / copy_;
  const nlohmann::json line = {{"what", r.what},
                               {"shape", r.shape},
                               {"policy", r.policy},
                               {"median_s", r.seconds},
                               {"min_s", r.fastest},
                               {"max_s", r.slowest},
                               {"bytes", r.bytes},
                               {"bytes_per_s", rate},
                               {"percent_of_limit", percent},
                               {"tokens_per_s", r.tokens_per_second}};
  keep(line.dump());
  if (format_ == "json") { return; }
  const char* format = format_ == "markdown" ? "| %s | %s | %s | %.3f | %.3f-%.3f | %.3f | %.3f | %.1f | %.0f |\n"
                                             : "%-10s %-14s %-26s %10.3f %9.3f-%9.3f %9.3f %7.3f %7.1f %10.0f\n";
  std::printf(format, r.what.c_str(), r.shape.c_str(), r.policy.c_str(), r.seconds * 1e3, r.fastest * 1e3,
              r.slowest * 1e3, r.bytes * 1e-9, rate * 1e-12, percent, r.tokens_per_second);
  std::fflush(stdout);
}

void Report::add_value(const std::string& name, double value, const std::string& unit) {
  keep(nlohmann::json{{"name", name}, {"value", value}, {"unit", unit}}.dump());
  if (format_ == "json") { return; }
  std::printf(format_ == "markdown" ? "\n%s: %.6g %s\n" : "%-52s %14.6g %s\n", name.c_str(), value, unit.c_str());
  std::fflush(stdout);
}

void Report::note(const std::string& text) { std::fputs(text.c_str(), stderr); }

std::string Report::object() const {
  char copy[32];
  std::snprintf(copy, sizeof(copy), "%.6g", copy_);
  return "{\"device\": " + nlohmann::json(device_).dump() + ", \"copy_bytes_per_s\": " + copy + ", \"lines\": [\n" +
         json_ + "]}\n";
}

void Report::keep(const std::string& line) {
  json_ += (json_.empty() ? "" : ",\n") + line;
  if (!file_.empty()) { std::ofstream(file_ + ".part") << object(); }
}

Status Report::finish() {
  if (format_ == "json") { std::fputs(object().c_str(), stdout); }
  if (file_.empty()) { return ok_status(); }
  std::ofstream out(file_, std::ios::app);
  out << object() << std::flush;
  if (!out) { return environment_error("cannot write " + file_); }
  std::remove((file_ + ".part").c_str());
  return ok_status();
}

}  // namespace vortex::bench
