#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/model/jinja/value.h"

namespace vortex::model::jinja {

// What a template is given.
struct Inputs {
  std::vector<std::pair<std::string, Value>> variables;
  std::vector<std::string> unknown;  // variables whose value nobody knows: using one is an error
  std::string date;                  // what strftime_now says, as YYYY-MM-DD
};

struct Rendered {
  std::string text;
  bool used_date = false;  // the template called strftime_now
};

// A parsed template. Immutable, thread-safe.
class Template {
 public:
  // What is outside of the part of Jinja that is covered is refused by name and line.
  static Result<Template> parse(std::string_view source);

  // Blame is the candidate's: the template refused the conversation (raise_exception), asked for something that is not
  // there or not covered, or did not come to an end within a bound of work.
  Result<Rendered> render(const Inputs& inputs) const;

  // Does its text name this variable?
  bool names(std::string_view variable) const;

 private:
  struct Parsed;
  std::shared_ptr<const Parsed> parsed_;
};

}  // namespace vortex::model::jinja
