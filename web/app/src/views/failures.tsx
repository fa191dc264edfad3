import type { Failure } from "../api";
import { count, plural } from "../format";
import { useGet } from "../live";
import { setQuery, usePlace } from "../router";
import { CandidateLink, VerdictMark } from "../ui/marks";
import { Table } from "../ui/table";

export function FailuresView({ run, version }: { run: string; version: string }) {
  const { query } = usePlace();
  const blame = query.get("blame") ?? "";
  const stage = query.get("stage") ?? "";
  const { data, problem } = useGet<Failure[]>(`runs/${encodeURIComponent(run)}/failures`, version);
  if (problem) return <p class="problem">{problem}</p>;
  if (!data) return <p class="quiet" role="status">Reading …</p>;
  const shown = data.filter((one) => (!blame || one.blame === blame) && (!stage || one.stage === stage));
  const total = data.reduce((sum, one) => sum + one.count, 0);
  const stages = [...new Set(data.map((one) => one.stage))];
  const most = Math.max(1, ...shown.map((one) => one.count));
  return (
    <>
      <h1>Failures</h1>
      <p class="lead-small">
        {plural(total, "candidate")} ended before the last stage, for {plural(data.length, "reason")}.
      </p>
      <section class="card">
        <div class="filters">
          <label>
            Stage
            <select value={stage} onChange={(event) => setQuery({ stage: event.currentTarget.value })}>
              <option value="">any</option>
              {stages.map((one) => (
                <option key={one} value={one}>
                  {one}
                </option>
              ))}
            </select>
          </label>
          <label>
            Blame
            <select value={blame} onChange={(event) => setQuery({ blame: event.currentTarget.value })}>
              <option value="">any</option>
              <option value="candidate">the candidate</option>
              <option value="environment">the machine</option>
              <option value="internal">vortex</option>
            </select>
          </label>
        </div>
        <Table
          label="Failures"
          columns={[
            {
              name: "count",
              value: (f) => f.count,
              show: (f) => (
                <span class="time-cell">
                  <span class="time-bar" aria-hidden="true">
                    <span style={{ width: `${(100 * f.count) / most}%` }} />
                  </span>
                  {count(f.count)}
                </span>
              ),
              number: true,
            },
            { name: "stage", value: (f) => f.stage },
            { name: "verdict", value: (f) => f.verdict, show: (f) => <VerdictMark verdict={f.verdict} /> },
            { name: "blame", value: (f) => f.blame },
            { name: "reason", value: (f) => f.message, show: (f) => <span class="message">{f.message}</span>, wide: true },
            { name: "example", value: (f) => f.example, show: (f) => <CandidateLink id={f.example} />, number: true },
          ]}
          rows={shown}
          sort="-count"
        />
      </section>
    </>
  );
}
