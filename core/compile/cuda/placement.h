#pragma once

#include <cstdint>
#include <vector>

#include "core/compile/stages.h"
#include "core/vflow/policy.h"

namespace vortex::compile {

// Where the values of one graph live on the device. A value is an expression, computed where it is read, unless
// computing it once and reading it from memory is cheaper.
//
// A page's record in shared memory holds, while a stage runs, the fields that are copied in ahead (16 bytes at a time)
// and the values of the page that are kept for the stage.
enum class Home : uint8_t {
  kExpression,
  kRecord,    // shared memory, [rows][cols] a page
  kOnce,      // shared memory, [rows][cols] a row
  kWork,      // workspace, [blocks][rows][cols] a row
  kWorkOnce,  // workspace, [rows][cols] a row
};

struct Location {
  Home home = Home::kExpression;
  int64_t offset = 0;   // float32 elements: in the record, in the once memory, in a row's workspace (a block there)
  bool narrow = false;  // bfloat16, which it is rounded to anyway, instead of float32
};

struct StagedField {
  int field = -1;
  int offset = 0;  // bytes from the record's start
  int bytes = 0;   // a page
};

struct StageLayout {
  std::vector<StagedField> fields;
};

struct Placement {
  StagePlan plan;
  std::vector<Location> inside;  // per node: its value inside its stage
  std::vector<Location> kept;    // per node: its rounded value after the stage; kExpression: rounded where it is read
  std::vector<bool> keeps;       // per node: is a rounded value read at all
  std::vector<bool> early;       // per Save: does it write while its page is at hand
  std::vector<Location> saved;   // per Save whose operand does not outlive its stage by itself: a copy
  std::vector<StageLayout> stages;  // on the cache side all stages share the first one's
  int64_t once_floats = 0;
  int64_t work_floats = 0;       // a block
  int64_t work_once_floats = 0;  // a row
  int record_bytes = 16;         // an odd multiple of 16: lanes that read one page each meet no bank twice
  int tile_pages = 1;
  int team = 32;  // threads that share a tile
};

// Forms of generated code that have to show on a device what they gain before they are everybody's; none changes what
// is computed. VORTEX_POLICY_FORMS names those that are wanted, with commas between them, or all.
struct PolicyForms {
  bool special = false;  // exponentials and divisions without conversions and branches (device/lanes.cuh)
  bool saves = false;    // Save writes while its page is at hand, where nobody reads the old value later
  bool pages = false;  // operations over pages by all threads, sixteen elements at a time (device/over_pages.cuh), and
                       // wide values in the workspace in the type that they are rounded to
};
PolicyForms wanted_forms();

// The stored type of a field: k and v are the pool's, the policy's own fields its dtype.
vflow::Dtype field_dtype(const vflow::Policy& policy, int field);

Placement place(const vflow::Policy& policy, vflow::Side side, const PolicyForms& forms);

// Does the operation see all pages of a row? (They are the over_rows of stages.h.)
bool runs_over_pages(const Placement& placement, int node);

}  // namespace vortex::compile
