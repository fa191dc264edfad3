#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/vflow/diagnostics.h"
#include "core/vflow/program.h"

namespace vortex::vflow {

// Half-open byte range of a source text.
struct Span {
  uint32_t begin = 0;
  uint32_t end = 0;
};

// A named text with an index of its lines. The text must outlive it.
class Source {
 public:
  Source(std::string_view file, std::string_view text);

  std::string_view file() const { return file_; }
  std::string_view text() const { return text_; }
  std::string_view at(Span span) const { return text_.substr(span.begin, span.end - span.begin); }

  // 1-based line and column; columns count characters (UTF-8 code points), not bytes.
  SourcePos position(uint32_t offset) const;
  // The text of a 1-based line, without its line break.
  std::string_view line(int number) const;

 private:
  std::string_view file_;
  std::string_view text_;
  std::vector<uint32_t> line_starts_;
};

// What a finding says besides its place.
struct Finding {
  std::string code;
  std::string message;
  std::string allowed = {};
  std::string suggestion = {};
};

// Collects findings about one source. A second finding at the same place and more than a screenful in all are dropped:
// the first ones are what a reader repairs. Long lines are quoted around the place, long texts cut: a finding stays
// below 4 KiB whatever was written.
class Reporter {
 public:
  Reporter(const Source& source, std::vector<Diagnostic>& diagnostics) : source_(source), diagnostics_(diagnostics) {}

  void error(Span span, Finding finding) { add(Severity::kError, span, std::move(finding)); }
  void warn(Span span, Finding finding) { add(Severity::kWarning, span, std::move(finding)); }

  int errors() const { return errors_; }
  const Source& source() const { return source_; }

 private:
  void add(Severity severity, Span span, Finding finding);

  const Source& source_;
  std::vector<Diagnostic>& diagnostics_;
  std::set<std::pair<uint32_t, Severity>> places_;  // that were reported
  int errors_ = 0;
  int kept_ = 0;
};

}  // namespace vortex::vflow
