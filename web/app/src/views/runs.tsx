import type { Overview, RunRow } from "../api";
import { count, date, duration, fixed, missing } from "../format";
import { useGet } from "../live";
import { FrontLegend, FrontPlot } from "../plots/front";
import { candidatePath, runPath, setQuery, usePlace } from "../router";
import { Figure, Table } from "../ui/table";
import { frontColumns } from "./overview";

export function RunsView() {
  const { query } = usePlace();
  const { data, problem } = useGet<RunRow[]>("runs");
  const a = query.get("a") ?? "";
  const b = query.get("b") ?? "";
  if (problem) return <p class="problem">{problem}</p>;
  if (!data) return <p class="quiet" role="status">Reading …</p>;
  return (
    <>
      <h1>Runs</h1>
      <section class="card">
        <Table
          label="All searches"
          columns={[
            { name: "search", value: (r) => r.name, show: (r) => <a href={runPath(r.name)}>{r.name}</a> },
            { name: "state", value: (r) => r.state, show: (r) => <span class={`state s-${r.state.replace(" ", "-")}`}>{r.state}</span> },
            { name: "started", value: (r) => r.started, show: (r) => date(r.started) },
            { name: "time used", value: (r) => r.seconds_used, show: (r) => `${duration(r.seconds_used)}${r.seconds_limit ? ` of ${duration(r.seconds_limit)}` : ""}`, number: true },
            { name: "candidates", value: (r) => r.candidates, show: (r) => count(r.candidates), number: true },
            { name: "passed", value: (r) => r.verdicts.pass ?? 0, number: true },
            { name: "front", value: (r) => r.front, number: true },
            { name: "best", value: (r) => r.best_speed, show: (r) => (r.best_speed && r.best_candidate ? <a href={candidatePath(r.best_candidate)}>{fixed(r.best_speed, 2)}×</a> : missing), number: true },
            { name: "hypervolume", value: (r) => r.hypervolume, show: (r) => fixed(r.hypervolume, 3), number: true },
            { name: "spent", value: (r) => r.dollars, show: (r) => (r.dollars > 0 ? `$${r.dollars.toFixed(2)}` : missing), number: true },
            { name: "proposer", value: (r) => r.proposer },
            { name: "model", value: (r) => r.model },
            { name: "task", value: (r) => r.task },
          ]}
          rows={data}
          sort="-started"
        />
      </section>
      {data.length > 1 && (
        <section class="card" aria-labelledby="two-title">
          <h2 id="two-title">Two on one plot</h2>
          <div class="filters">
            {(["a", "b"] as const).map((name) => (
              <label key={name}>
                {name === "a" ? "First" : "Second"}
                <select value={name === "a" ? a : b} onChange={(event) => setQuery({ [name]: event.currentTarget.value })}>
                  <option value="">none</option>
                  {data.map((run) => (
                    <option key={run.name} value={run.name}>
                      {run.name}
                    </option>
                  ))}
                </select>
              </label>
            ))}
          </div>
          {a && b && <TwoRuns a={a} b={b} />}
        </section>
      )}
    </>
  );
}

function TwoRuns({ a, b }: { a: string; b: string }) {
  const first = useGet<Overview>(`runs/${encodeURIComponent(a)}/overview`);
  const second = useGet<Overview>(`runs/${encodeURIComponent(b)}/overview`);
  const problem = first.problem || second.problem;
  if (problem) return <p class="problem">{problem}</p>;
  if (!first.data || !second.data) return <p class="quiet" role="status">Reading …</p>;
  const same = first.data.run.task === second.data.run.task && first.data.run.model === second.data.run.model;
  return (
    <Figure
      title={`${a} and ${b}`}
      note={
        same
          ? `${a}: full line, with intervals. ${b}: dashed line, smaller shapes.`
          : `Careful: the two differ in model or task, so their accuracies do not compare. ${a}: full line; ${b}: dashed line.`
      }
      legend={<FrontLegend />}
      table={
        <Table
          label="Both fronts"
          columns={[{ name: "search", value: (m) => m.run }, ...frontColumns]}
          rows={[...first.data.front.map((m) => ({ ...m, run: a })), ...second.data.front.map((m) => ({ ...m, run: b }))]}
        />
      }
    >
      <FrontPlot front={first.data.front} points={first.data.points} other={{ name: b, front: second.data.front }} />
    </Figure>
  );
}
