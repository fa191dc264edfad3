import { useState } from "preact/hooks";
import type { ComparedCandidate } from "../api";
import { candidateName, intervalText, plural, signedInterval, times } from "../format";
import { useGet } from "../live";
import { comparePath, go, usePlace } from "../router";
import { Code, Diff } from "../ui/code";
import { CandidateLink } from "../ui/marks";
import { Table } from "../ui/table";

export function comparedIds(text: string): number[] {
  const ids = text.split(/[\s,]+/).map(Number).filter((id) => Number.isInteger(id) && id > 0);
  return [...new Set(ids)].slice(0, 5);
}

function Chooser({ ids }: { ids: number[] }) {
  const [text, setText] = useState(ids.join(", "));
  return (
    <form
      class="filters"
      onSubmit={(event) => {
        event.preventDefault();
        go(comparePath(comparedIds(text)));
      }}
    >
      <label>
        Candidates, two to five
        <input type="text" inputMode="numeric" value={text} onInput={(event) => setText(event.currentTarget.value)} placeholder="7, 12" />
      </label>
      <button type="submit" class="small">
        Compare
      </button>
    </form>
  );
}

interface Field {
  name: string;
  values: string[];
}

// Configuration values by their path, so that only what differs is shown.
function flat(value: unknown, path: string, out: Map<string, string>): void {
  if (value !== null && typeof value === "object" && !Array.isArray(value)) {
    for (const [key, inner] of Object.entries(value)) flat(inner, path ? `${path}.${key}` : key, out);
  } else {
    out.set(path, JSON.stringify(value));
  }
}

function configOf(candidate: ComparedCandidate): Map<string, string> {
  const out = new Map<string, string>();
  try {
    flat(JSON.parse(candidate.files.config || "{}"), "", out);
  } catch {
    out.set("policy.json", "unreadable");
  }
  return out;
}

export function fieldsOf(data: ComparedCandidate[]): { differing: Field[]; same: number } {
  const fields: Field[] = [
    { name: "origin", values: data.map((c) => c.origin) },
    { name: "verdict", values: data.map((c) => c.verdict) },
    { name: "speed over dense", values: data.map((c) => times(c.speed)) },
    { name: "accuracy", values: data.map((c) => intervalText(c.accuracy, 3)) },
    { name: `accuracy, less that of ${data[0] ? candidateName(data[0].candidate, data[0].origin) : ""}`, values: data.map((c, i) => (i === 0 ? "0" : signedInterval(c.difference, 3))) },
    { name: "held-out accuracy", values: data.map((c) => intervalText(c.confirmed, 3)) },
    { name: "tokens/s", values: data.map((c) => intervalText(c.tokens_per_s, 1)) },
    { name: "recall of softmax mass", values: data.map((c) => intervalText(c.mass_recall, 3)) },
  ];
  const configs = data.map(configOf);
  for (const key of [...new Set(configs.flatMap((config) => [...config.keys()]))].sort()) {
    fields.push({ name: key, values: configs.map((config) => config.get(key) ?? "–") });
  }
  const differing = fields.filter((field) => new Set(field.values).size > 1);
  return { differing, same: fields.length - differing.length };
}

function Flips({ first, other }: { first: ComparedCandidate; other: ComparedCandidate }) {
  const won = other.flips.filter((flip) => flip.this);
  const name = candidateName(other.candidate, other.origin);
  return (
    <>
      <h3>
        {name}: {won.length} won, {other.flips.length - won.length} lost against {candidateName(first.candidate, first.origin)}
      </h3>
      {other.flips.length > 0 && (
        <Table
          label={`Problems on which ${name} differs`}
          columns={[
            { name: "problem", value: (f) => f.problem },
            { name: "trial", value: (f) => f.trial, number: true },
            { name: candidateName(first.candidate, first.origin), value: (f) => (f.first ? "right" : "wrong") },
            { name, value: (f) => (f.this ? "right" : "wrong") },
          ]}
          rows={other.flips}
          limit={20}
        />
      )}
    </>
  );
}

export function CompareView() {
  const { query } = usePlace();
  const ids = comparedIds(query.get("c") ?? "");
  const { data, problem } = useGet<ComparedCandidate[]>(ids.length >= 2 ? `compare?candidates=${ids.join(",")}` : null);
  return (
    <>
      <h1>Compare</h1>
      <Chooser key={ids.join()} ids={ids} />
      {ids.length < 2 && <p class="quiet">Name at least two candidates by their numbers.</p>}
      {problem && <p class="problem">{problem}</p>}
      {ids.length >= 2 && !data && !problem && <p class="quiet" role="status">Reading …</p>}
      {data && <Compared data={data} />}
    </>
  );
}

function Compared({ data }: { data: ComparedCandidate[] }) {
  const { differing, same } = fieldsOf(data);
  const first = data[0]!;
  return (
    <>
      <section class="card" aria-labelledby="fields-title">
        <h2 id="fields-title">What differs</h2>
        <Table
          label="Fields that differ"
          columns={[
            { name: "field", value: (f) => f.name },
            ...data.map((candidate, i) => ({
              name: candidateName(candidate.candidate, candidate.origin),
              value: (f: Field) => f.values[i],
              wide: true,
            })),
          ]}
          rows={differing}
          limit={100}
        />
        <p class="quiet">
          {plural(same, "field")} the same, not shown. Open{" "}
          {data.map((candidate, i) => (
            <span key={candidate.candidate}>
              {i > 0 ? ", " : ""}
              <CandidateLink id={candidate.candidate} origin={candidate.origin} />
            </span>
          ))}
          .
        </p>
      </section>
      <section class="card" aria-labelledby="flips-title">
        <h2 id="flips-title">Problem by problem</h2>
        <p class="quiet">On the problems that both answered.</p>
        {data.slice(1).map((other) => (
          <Flips key={other.candidate} first={first} other={other} />
        ))}
      </section>
      <section class="card" aria-labelledby="sources-title">
        <h2 id="sources-title">Sources</h2>
        {(first.files.module ? data.slice(1).filter((other) => other.files.module) : []).map((other) => (
          <div key={other.candidate}>
            <h3>
              From {candidateName(first.candidate, first.origin)} to {candidateName(other.candidate, other.origin)}
            </h3>
            <Diff before={first.files.module} after={other.files.module} label={`policy.py of ${other.candidate}`} />
          </div>
        ))}
        <div class="columns">
          {data.map((candidate) => (
            <div key={candidate.candidate}>
              <h3>{candidateName(candidate.candidate, candidate.origin)}</h3>
              {candidate.files.module ? <Code text={candidate.files.module} language="python" label={`policy.py of ${candidate.candidate}`} /> : <p class="quiet">No policy.</p>}
            </div>
          ))}
        </div>
      </section>
    </>
  );
}
