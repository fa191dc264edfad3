#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace vortex::sandbox {

// The command line of the keeper: KEY=VALUE words, "--", and the program with its arguments. The supervisor writes it
// (process_tree.cpp, jail.cpp), nobody else.
class KeeperOptions {
 public:
  static KeeperOptions read(int count, char** words);

  long long number(std::string_view key, long long absent) const;
  std::string text(std::string_view key) const;  // empty: absent
  std::vector<std::string> all(std::string_view key) const;
  std::vector<int> numbers(std::string_view key) const;  // "5,9"

  // The program's words, ended by a null pointer; they live as long as this object.
  std::vector<char*> program();
  const std::vector<std::string>& program_words() const { return program_; }

 private:
  std::vector<std::pair<std::string, std::string>> options_;
  std::vector<std::string> program_;
};

}  // namespace vortex::sandbox
