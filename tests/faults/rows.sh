# Sourced: what a search decided and found, without what differs between any two searches: ids, times, measured speeds,
# attempts that the machine broke.
rows() {  # WORKSPACE
  sqlite3 "$1/vortex.db" <<'SQL'
SELECT 'candidate', batch, slot, draw, key, program_hash, module_object, config_object, origin, rationale, state, verdict
  FROM candidate ORDER BY batch, slot, draw;
SELECT 'lineage', c.batch, c.slot, c.draw, p.batch, p.slot, p.draw, operation
  FROM lineage JOIN candidate c ON c.id = child JOIN candidate p ON p.id = parent ORDER BY 2, 3, 4, 5, 6, 7;
SELECT 'stage', batch, slot, draw, stage, s.verdict, blame, message
  FROM stage s JOIN candidate c ON c.id = s.candidate WHERE blame <> 'environment'
  GROUP BY s.candidate, stage HAVING s.attempt = MAX(s.attempt) ORDER BY 2, 3, 4, 5;
SELECT 'outcome', batch, slot, draw, stage, problem, trial, correct, tokens, extracted, rule, tokens_hash
  FROM outcome o JOIN candidate c ON c.id = o.candidate
  WHERE attempt = (SELECT MAX(attempt) FROM stage s
                   WHERE s.candidate = o.candidate AND s.stage = o.stage AND blame <> 'environment')
  ORDER BY 2, 3, 4, 5, 6, 7;
SQL
}
