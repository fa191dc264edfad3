#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "core/compile/cuda/placement.h"
#include "core/vflow/policy.h"

namespace vortex::compile {

// As source has it.
std::string number(int64_t x);

// Writes one graph's values as device functions, each behind those that it calls, when they are first asked for:
//   float valueN(const Page& p, int r, int c)   element (r, c) of node N inside its stage
//   float keptN(...)                            the same after its stage, rounded
//   float fieldN(...)                           of Program::fields[N]; fieldN_stageS: its copy in the record
//   Lanes NAME_lanes(...)                       elements (r, c) ... (r, c + 15) of any of them, c a multiple of 16
// A value that lives in memory is read there; makeN is the expression that fills it.
class Expressions {
 public:
  Expressions(const vflow::Policy& policy, vflow::Side side, const Placement& placement);

  // A function and the shape of what it is about.
  struct Source {
    std::string name;
    vflow::Shape shape;
    // The text of a call.
    std::string at(const std::string& page, const std::string& r, const std::string& c) const {
      return name + "(" + page + ", " + r + ", " + c + ")";
    }
    std::string at_element(const std::string& page, const std::string& e) const;
  };
  Source make(int node);
  Source inside(int node);
  Source kept(int node);
  Source read(int consumer, size_t operand);  // what an operation reads of its operand

  // Elements (r, c) ... (r, c + 15) of one of them: the text of a call.
  std::string lanes(const Source& source, const std::string& r, const std::string& c);

  // The pointer to where element 0 of a value lives, in terms of a Page `p`.
  std::string address(const Location& location, vflow::Shape shape) const;

  const std::string& text() const { return text_; }

 private:
  const vflow::Node& node(int i) const { return graph_.nodes[static_cast<size_t>(i)]; }
  Source field(int field, int stage);
  Source leaf(int node, int stage);
  Source define(const std::string& name, vflow::Shape shape, const std::string& comment, const std::string& body,
                std::function<std::string()> lanes = nullptr);
  Source define_memory(const std::string& name, vflow::Shape shape, const std::string& comment, const std::string& base,
                       vflow::Dtype type, const std::string& scale);

  std::string expression(int node);
  std::string elementwise(int node);
  std::string elementwise_call(int node, const std::vector<std::string>& operands) const;
  std::string layout(int node);
  std::string product(int node);
  std::string reduction(int node);
  std::string kron(int node);
  std::string reshape(int node, bool as_lanes);
  std::function<std::string()> lanes_maker(int node);

  const vflow::Policy& policy_;
  vflow::Side side_;
  const vflow::Graph& graph_;
  const Placement& placement_;
  std::map<std::string, Source> defined_;
  std::map<std::string, std::function<std::string()>>
      lanes_;  // how the lanes of a function are made; absent: one by one
  std::string text_;
};

std::string float_literal(float x);        // in device code
std::string type_name(vflow::Dtype type);  // in device/lanes.cuh
std::string shape_comment(vflow::Shape shape);

// Does an element of its result depend on nothing but the same element of each operand?
bool is_elementwise(vflow::Op op);

}  // namespace vortex::compile
