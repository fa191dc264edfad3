import type { Diversity } from "../api";
import { fixed, plural } from "../format";
import { useGet } from "../live";
import { DistanceMap, StructureMap } from "../plots/heatmap";
import { CandidateLink } from "../ui/marks";
import { Figure, Table } from "../ui/table";

export function DiversityView({ run, version }: { run: string; version: string }) {
  const { data, problem } = useGet<Diversity>(`runs/${encodeURIComponent(run)}/diversity`, version);
  if (problem) return <p class="problem">{problem}</p>;
  if (!data) return <p class="quiet" role="status">Measuring distances …</p>;
  const n = data.candidates.length;
  if (n < 2) return (<><h1>Diversity</h1><p class="quiet">Fewer than two policies have passed: nothing to compare.</p></>);
  const nearest = data.candidates.map((candidate, i) => {
    let best = i === 0 ? 1 : 0;
    for (let j = 0; j < n; ++j) if (j !== i && data.matrix[i * n + j]! < data.matrix[i * n + best]!) best = j;
    return { candidate, name: data.names[i]!, nearest: data.candidates[best]!, distance: data.matrix[i * n + best]! };
  });
  return (
    <>
      <h1>Diversity</h1>
      <p class="lead-small">
        {plural(n, "structure")}, on average {fixed(data.mean, 3)} apart (0: the same program, 1: nothing in common).
        {data.left_out > 0 ? ` ${plural(data.left_out, "other")} that passed are not shown.` : ""}
      </p>
      <div class="two">
      <Figure
        title="Distances"
        note="Structural distance of programs. Families stand out as blocks along the diagonal."
        table={
          <Table
            label="Nearest neighbours"
            columns={[
              { name: "candidate", value: (r) => r.candidate, show: (r) => <CandidateLink id={r.candidate} />, number: true },
              { name: "program", value: (r) => r.name },
              { name: "nearest", value: (r) => r.nearest, show: (r) => <CandidateLink id={r.nearest} />, number: true },
              { name: "distance", value: (r) => r.distance, show: (r) => fixed(r.distance, 3), number: true },
            ]}
            rows={nearest}
            sort="candidate"
          />
        }
      >
        <DistanceMap data={data} />
      </Figure>
      <Figure
        title="A map of structures"
        note="Near is alike; the axes have no meaning of their own (classical scaling). A ring is a family, its size how many; with a dot: on the front."
        table={
          <Table
            label="Places on the map"
            columns={[
              { name: "candidate", value: (r) => r.candidate, show: (r) => <CandidateLink id={r.candidate} />, number: true },
              { name: "program", value: (r) => r.name },
              { name: "x", value: (r) => r.x, show: (r) => fixed(r.x, 3), number: true },
              { name: "y", value: (r) => r.y, show: (r) => fixed(r.y, 3), number: true },
              { name: "on the front", value: (r) => (r.front ? "yes" : "no") },
            ]}
            rows={data.candidates.map((candidate, i) => ({ candidate, name: data.names[i]!, x: data.position[i]![0], y: data.position[i]![1], front: data.on_front[i]! }))}
          />
        }
      >
        <StructureMap data={data} />
      </Figure>
      </div>
    </>
  );
}
