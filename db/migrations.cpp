#include "db/migrations.h"

#include <array>
#include <string>

namespace vortex::db {
namespace {

// Numbered from 1. A released migration never changes; a new need is a new entry. docs/schema.md explains the columns.
constexpr std::array kMigrations = {
    // 1: runs, candidates with their lineage, stage results with their outcomes, events.
    R"sql(
CREATE TABLE run (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE CHECK (name <> ''),
  config TEXT NOT NULL CHECK (json_valid(config)),
  state TEXT NOT NULL CHECK (state IN ('running', 'finished', 'interrupted', 'failed')),
  started REAL NOT NULL,
  ended REAL NOT NULL DEFAULT 0,
  seconds_used REAL NOT NULL DEFAULT 0 CHECK (seconds_used >= 0)
) STRICT;

CREATE TABLE candidate (
  id INTEGER PRIMARY KEY,
  run INTEGER NOT NULL REFERENCES run (id),
  batch INTEGER NOT NULL CHECK (batch >= 0),
  slot INTEGER NOT NULL CHECK (slot >= 0),
  draw INTEGER NOT NULL CHECK (draw >= 0),
  key TEXT NOT NULL,
  program_hash TEXT NOT NULL,
  module_object TEXT NOT NULL,
  config_object TEXT NOT NULL,
  origin TEXT NOT NULL,
  rationale TEXT NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('proposed', 'running', 'done')),
  verdict TEXT NOT NULL CHECK (verdict IN ('', 'pass', 'fail', 'pruned', 'timeout', 'error')),
  CHECK ((state = 'done') = (verdict <> '')),
  UNIQUE (run, batch, slot, draw)
) STRICT;
CREATE INDEX candidate_key ON candidate (run, key);

CREATE TABLE lineage (
  child INTEGER NOT NULL REFERENCES candidate (id),
  parent INTEGER NOT NULL REFERENCES candidate (id),
  operation TEXT NOT NULL,
  PRIMARY KEY (child, parent),
  CHECK (parent < child)
) STRICT, WITHOUT ROWID;
CREATE INDEX lineage_parent ON lineage (parent);

CREATE TABLE stage (
  id INTEGER PRIMARY KEY,
  candidate INTEGER NOT NULL REFERENCES candidate (id),
  attempt INTEGER NOT NULL CHECK (attempt >= 1),
  stage TEXT NOT NULL,
  verdict TEXT NOT NULL CHECK (verdict IN ('pass', 'fail', 'pruned', 'timeout', 'error')),
  blame TEXT NOT NULL CHECK (blame IN ('', 'candidate', 'environment', 'internal')),
  message TEXT NOT NULL,
  metrics TEXT NOT NULL CHECK (json_valid(metrics)),
  evidence TEXT NOT NULL CHECK (json_valid(evidence)),
  log_tail TEXT NOT NULL,
  seconds REAL NOT NULL,
  created REAL NOT NULL,
  UNIQUE (candidate, attempt, stage)
) STRICT;

CREATE TABLE outcome (
  candidate INTEGER NOT NULL,
  attempt INTEGER NOT NULL,
  stage TEXT NOT NULL,
  problem TEXT NOT NULL,
  trial INTEGER NOT NULL,
  correct INTEGER NOT NULL CHECK (correct IN (0, 1)),
  tokens INTEGER NOT NULL,
  extracted TEXT NOT NULL,
  rule TEXT NOT NULL,
  tokens_hash TEXT NOT NULL,
  PRIMARY KEY (candidate, attempt, stage, problem, trial),
  FOREIGN KEY (candidate, attempt, stage) REFERENCES stage (candidate, attempt, stage)
) STRICT, WITHOUT ROWID;

CREATE TABLE event (
  id INTEGER PRIMARY KEY,
  run INTEGER NOT NULL REFERENCES run (id),
  created REAL NOT NULL,
  kind TEXT NOT NULL,
  detail TEXT NOT NULL CHECK (json_valid(detail))
) STRICT;
CREATE INDEX event_run ON event (run);
)sql",

    // 2: budgets of GPU time and money; the control arm.
    R"sql(
ALTER TABLE run ADD COLUMN gpu_seconds_used REAL NOT NULL DEFAULT 0 CHECK (gpu_seconds_used >= 0);
ALTER TABLE candidate ADD COLUMN arm TEXT NOT NULL DEFAULT 'search' CHECK (arm IN ('search', 'control'));
CREATE TABLE spend (
  id INTEGER PRIMARY KEY,
  run INTEGER NOT NULL REFERENCES run (id),
  created REAL NOT NULL,
  tokens REAL NOT NULL CHECK (tokens >= 0),
  dollars REAL NOT NULL CHECK (dollars >= 0),
  settled INTEGER NOT NULL CHECK (settled IN (0, 1))
) STRICT;
CREATE INDEX spend_run ON spend (run);
)sql",

    // 3: calls of language models; the notebook.
    R"sql(
CREATE TABLE llm_call (
  id INTEGER PRIMARY KEY,
  run INTEGER NOT NULL REFERENCES run (id),
  batch INTEGER NOT NULL CHECK (batch >= 0),
  slot INTEGER NOT NULL CHECK (slot >= 0),
  draw INTEGER NOT NULL CHECK (draw >= 0),
  attempt INTEGER NOT NULL CHECK (attempt >= 1),
  purpose TEXT NOT NULL,
  model TEXT NOT NULL,
  prompt_object TEXT NOT NULL,
  reply_object TEXT NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('sent', 'answered', 'failed')),
  finish TEXT NOT NULL,
  message TEXT NOT NULL,
  input_tokens INTEGER NOT NULL CHECK (input_tokens >= 0),
  output_tokens INTEGER NOT NULL CHECK (output_tokens >= 0),
  dollars REAL NOT NULL CHECK (dollars >= 0),
  seconds REAL NOT NULL CHECK (seconds >= 0),
  created REAL NOT NULL,
  UNIQUE (run, batch, slot, draw, attempt)
) STRICT;

CREATE TABLE note (
  id INTEGER PRIMARY KEY,
  run INTEGER NOT NULL REFERENCES run (id),
  batch INTEGER NOT NULL CHECK (batch >= 0),
  slot INTEGER NOT NULL CHECK (slot >= 0),
  draw INTEGER NOT NULL CHECK (draw >= 0),
  kind TEXT NOT NULL CHECK (kind IN ('hypothesis', 'anti-pattern', 'question')),
  text TEXT NOT NULL,
  prediction TEXT NOT NULL CHECK (json_valid(prediction)),
  created REAL NOT NULL,
  UNIQUE (run, batch, slot, draw, kind, text)
) STRICT;

CREATE TABLE verdict (
  note INTEGER PRIMARY KEY REFERENCES note (id),
  verdict TEXT NOT NULL CHECK (verdict IN ('confirmed', 'refuted', 'inconclusive')),
  value REAL NOT NULL,
  lo REAL NOT NULL,
  hi REAL NOT NULL,
  reason TEXT NOT NULL,
  created REAL NOT NULL
) STRICT;
)sql",

    // 4: what people make of candidates, and what they ask of a running search.
    R"sql(
CREATE TABLE mark (
  candidate INTEGER PRIMARY KEY REFERENCES candidate (id),
  starred INTEGER NOT NULL CHECK (starred IN (0, 1)),
  hidden INTEGER NOT NULL CHECK (hidden IN (0, 1)),
  note TEXT NOT NULL
) STRICT;

CREATE TABLE request (
  id INTEGER PRIMARY KEY,
  run INTEGER NOT NULL REFERENCES run (id),
  candidate INTEGER NOT NULL REFERENCES candidate (id),
  kind TEXT NOT NULL CHECK (kind IN ('retest', 'confirm')),
  created REAL NOT NULL,
  batch INTEGER NOT NULL DEFAULT 0 CHECK (batch >= 0),
  taken REAL NOT NULL DEFAULT 0,
  ended REAL NOT NULL DEFAULT 0,
  result TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX request_run ON request (run);
)sql",
};

}  // namespace

int64_t schema_version() { return static_cast<int64_t>(kMigrations.size()); }

Result<int64_t> read_version(Connection& connection) {
  VORTEX_ASSIGN(const int64_t version, connection.integer("PRAGMA user_version"));
  VORTEX_ASSIGN(const int64_t application, connection.integer("PRAGMA application_id"));
  VORTEX_ASSIGN(const int64_t tables, connection.integer("SELECT count(*) FROM sqlite_schema"));
  if (tables > 0 && application != kApplicationId) {
    return environment_error("the database in this workspace is not a vortex database",
                             "choose another --workspace; the file was left alone");
  }
  if (version > schema_version()) {
    return environment_error("the database has schema " + std::to_string(version) + ", newer than this program's " +
                                 std::to_string(schema_version()),
                             "use the newer vortex that wrote it, or choose another --workspace");
  }
  return version;
}

Status migrate(Connection& connection) {
  VORTEX_ASSIGN(const int64_t before, read_version(connection));
  if (before == schema_version()) { return ok_status(); }
  Transaction transaction(connection);
  VORTEX_TRY(transaction.begin());
  VORTEX_ASSIGN(const int64_t current, read_version(connection));  // somebody else may have migrated meanwhile
  for (int64_t version = current; version < schema_version(); ++version) {
    VORTEX_TRY(connection.execute(kMigrations[static_cast<size_t>(version)]));
  }
  VORTEX_TRY(connection.execute("PRAGMA application_id = " + std::to_string(kApplicationId)));
  VORTEX_TRY(connection.execute("PRAGMA user_version = " + std::to_string(schema_version())));
  return transaction.commit();
}

Status check_schema(Connection& connection) {
  VORTEX_ASSIGN(const int64_t version, read_version(connection));
  if (version < schema_version()) {
    return environment_error("the database has schema " + std::to_string(version) + ", older than this program's " +
                                 std::to_string(schema_version()),
                             "`vortex db migrate` brings it up to date and keeps a copy");
  }
  return ok_status();
}

}  // namespace vortex::db
