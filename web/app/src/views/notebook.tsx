import type { NotebookEntry } from "../api";
import { signedInterval } from "../format";
import { useGet } from "../live";
import { setQuery, usePlace } from "../router";
import { CandidateLink, VerdictMark } from "../ui/marks";
import { Table } from "../ui/table";

export function predictionText(entry: NotebookEntry): string {
  const { metric, direction, by = 0, against = 0 } = entry.prediction ?? {};
  if (!metric) return "";
  const other = against === 0 ? "dense" : `candidate ${against}`;
  if (direction === "same") return `${metric} within ${by} of ${other}`;
  return `${metric} ${direction} than ${other}${by > 0 ? ` by more than ${by}` : ""}`;
}

export function NotebookTable({ entries }: { entries: NotebookEntry[] }) {
  return (
    <Table
      label="Notebook"
      columns={[
        { name: "kind", value: (e) => e.kind },
        { name: "verdict", value: (e) => (e.kind === "hypothesis" ? e.verdict : ""), show: (e) => (e.kind === "hypothesis" ? <VerdictMark verdict={e.verdict} /> : "") },
        { name: "what was written", value: (e) => e.text, wide: true },
        { name: "prediction", value: predictionText, wide: true },
        { name: "measured", value: (e) => e.effect?.value, show: (e) => (e.effect ? signedInterval(e.effect, 3) : e.reason), number: false },
        { name: "candidate", value: (e) => e.candidate, show: (e) => (e.candidate ? <CandidateLink id={e.candidate} /> : ""), number: true },
        { name: "generation", value: (e) => e.batch, number: true },
      ]}
      rows={entries}
      sort="-generation"
    />
  );
}

export function NotebookView({ run, version }: { run: string; version: string }) {
  const { query } = usePlace();
  const kind = query.get("kind") ?? "";
  const { data, problem } = useGet<NotebookEntry[]>(`runs/${encodeURIComponent(run)}/notebook`, version);
  if (problem) return <p class="problem">{problem}</p>;
  if (!data) return <p class="quiet" role="status">Reading …</p>;
  const tally = (verdict: string): number => data.filter((e) => e.kind === "hypothesis" && e.verdict === verdict).length;
  const shown = kind ? data.filter((entry) => entry.kind === kind) : data;
  return (
    <>
      <h1>Notebook</h1>
      {data.length === 0 ? (
        <p class="quiet">This search's proposer keeps no notebook: only language models write down what they expect.</p>
      ) : (
        <>
          <p class="lead-small">
            {tally("confirmed")} predictions confirmed, {tally("refuted")} refuted, {tally("inconclusive")} inconclusive, {tally("open")} open.
          </p>
          <section class="card">
            <div class="filters">
              <label>
                Kind
                <select value={kind} onChange={(event) => setQuery({ kind: event.currentTarget.value })}>
                  <option value="">any</option>
                  <option value="hypothesis">hypotheses</option>
                  <option value="anti-pattern">anti-patterns</option>
                  <option value="question">questions</option>
                </select>
              </label>
            </div>
            <NotebookTable entries={shown} />
          </section>
        </>
      )}
    </>
  );
}
