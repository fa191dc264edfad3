#include "db/rows.h"

namespace vortex::db {

Run read_run(Statement& row) {
  return {row.integer(0), row.text(1), row.text(2), row.word<RunState>(3),
          row.real(4),    row.real(5), row.real(6), row.real(7)};
}

Candidate read_candidate(Statement& row) {
  return {row.integer(0),
          row.integer(1),
          row.integer(2),
          row.integer(3),
          row.integer(4),
          row.text(5),
          row.text(6),
          row.text(7),
          row.text(8),
          row.word<Origin>(9),
          row.text(10),
          row.word<CandidateState>(11),
          row.word_if_any<job::Verdict>(12),
          row.word<Arm>(13)};
}

LineageEdge read_edge(Statement& row) { return {row.integer(0), row.integer(1), row.text(2)}; }

StageRow read_stage(Statement& row) {
  return {row.integer(0),
          row.integer(1),
          row.integer(2),
          row.stage_round(3),
          row.word<job::Verdict>(4),
          row.word_if_any<Blame>(5),
          row.text(6),
          row.text(7),
          row.text(8),
          row.text(9),
          row.real(10),
          row.real(11)};
}

OutcomeRow read_outcome(Statement& row) {
  return {row.integer(0),      row.integer(1), row.stage_round(2), row.text(3), row.integer(4),
          row.integer(5) != 0, row.integer(6), row.text(7),        row.text(8), row.text(9)};
}

Event read_event(Statement& row) { return {row.integer(0), row.integer(1), row.real(2), row.text(3), row.text(4)}; }

}  // namespace vortex::db
