import { useMemo } from "preact/hooks";
import type { LineageData } from "../api";
import { count } from "../format";
import { useGet } from "../live";
import { LineageLegend, LineagePlot, shownOf } from "../plots/lineage";
import { setQuery, usePlace } from "../router";
import { CandidateLink } from "../ui/marks";
import { Figure, Table } from "../ui/table";

const kMostDrawn = 1500;
const kFew = 120; // candidates of a run that is shown unfolded

export function LineageView({ run, version }: { run: string; version: string }) {
  const { query } = usePlace();
  const { data, problem } = useGet<LineageData>(`runs/${encodeURIComponent(run)}/lineage`, version);
  const show = query.get("show") ?? (data && data.candidate.length <= kFew ? "passed" : "front");
  const shown = useMemo(() => (data ? shownOf(data, show) : null), [data, show]);
  if (problem) return <p class="problem">{problem}</p>;
  if (!data || !shown) return <p class="quiet" role="status">Reading …</p>;
  const drawn = shown.rows.reduce((sum, row) => sum + row.members.length, 0);
  return (
    <>
      <h1>Lineage</h1>
      <div class="filters">
        <label>
          Show
          <select value={show} onChange={(event) => setQuery({ show: event.currentTarget.value })}>
            <option value="front">what led to the front</option>
            <option value="passed">what led to everything that passed</option>
            <option value="all">everything</option>
          </select>
        </label>
      </div>
      <Figure
        title="Who came from whom"
        note={`One column a generation, oldest on the left; dashed: from a second parent. ${shown.folded > 0 ? `${count(shown.folded)} candidates are folded away.` : ""}`}
        legend={<LineageLegend />}
        table={
          <Table
            label="Parents and children"
            columns={[
              { name: "child", value: (e) => e.child, show: (e) => <CandidateLink id={e.child} />, number: true },
              { name: "parent", value: (e) => e.parent, show: (e) => <CandidateLink id={e.parent} />, number: true },
              { name: "generation", value: (e) => e.batch, number: true },
              { name: "child's outcome", value: (e) => e.outcome },
              { name: "what was done", value: (e) => e.operation, wide: true },
            ]}
            rows={shown.edges.map(([child, parent, operation]) => ({
              child: data.candidate[child]!,
              parent: data.candidate[parent]!,
              batch: data.batch[child]!,
              outcome: data.outcome[child]!,
              operation,
            }))}
            sort="child"
          />
        }
      >
        {drawn > kMostDrawn ? (
          <p class="quiet">{count(drawn)} candidates are too many to read as a drawing: choose less above, or open the table.</p>
        ) : drawn === 0 ? (
          <p class="quiet">Nothing to draw yet.</p>
        ) : (
          <LineagePlot data={data} shown={shown} />
        )}
      </Figure>
    </>
  );
}
