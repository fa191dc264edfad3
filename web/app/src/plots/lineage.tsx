import { useMemo, useState } from "preact/hooks";
import type { LineageData } from "../api";
import { candidatePath, go } from "../router";
import { useWidth } from "./size";

// Who came from whom: one column a generation, oldest on the left. Large runs are folded: only what led to the chosen ones.

const kRow = 24;
const kLeft = 40;
const kTop = 56;

export interface Shown {
  rows: { batch: number; members: number[] }[]; // indices
  edges: [number, number, string][]; // indices: child, parent
  folded: number;
}

export function ancestorsOf(data: LineageData, start: number[]): Set<number> {
  const parents = new Map<number, number[]>();
  for (const [child, parent] of data.edges) parents.set(child, [...(parents.get(child) ?? []), parent]);
  const seen = new Set<number>();
  const open = start.slice();
  while (open.length > 0) {
    const one = open.pop()!;
    if (seen.has(one)) continue;
    seen.add(one);
    open.push(...(parents.get(one) ?? []));
  }
  return seen;
}

export function shownOf(data: LineageData, show: string): Shown {
  const index = new Map(data.candidate.map((id, i) => [id, i]));
  const chosen = data.candidate.filter((_, i) => {
    const outcome = data.outcome[i]!;
    return show === "all" || outcome === "front" || (show === "passed" && outcome === "passed");
  });
  const ids = show === "all" ? new Set(chosen) : ancestorsOf(data, chosen);
  const rows = new Map<number, number[]>();
  for (const id of ids) {
    const i = index.get(id);
    if (i === undefined || data.outcome[i] === "dense") continue;
    const batch = data.batch[i]!;
    rows.set(batch, [...(rows.get(batch) ?? []), i]);
  }
  const order = [...rows.entries()].sort((a, b) => a[0] - b[0]).map(([batch, members]) => ({ batch, members: members.sort((a, b) => a - b) }));
  const edges = data.edges.flatMap(([child, parent, operation]) =>
    ids.has(child) && ids.has(parent) && index.has(child) && index.has(parent) ? [[index.get(child)!, index.get(parent)!, operation] as [number, number, string]] : [],
  );
  return { rows: order, edges, folded: data.candidate.length - order.reduce((sum, row) => sum + row.members.length, 0) };
}

function OutcomeShape({ outcome, x, y }: { outcome: string; x: number; y: number }) {
  switch (outcome) {
    case "front":
      return <circle class="k-kept" cx={x} cy={y} r="7" />;
    case "passed":
      return <circle class="o-passed" cx={x} cy={y} r="5" />;
    case "running":
    case "proposed":
      return <circle class="o-open" cx={x} cy={y} r="4" />;
    default:
      return <path class="o-failed" d={`M${x - 4} ${y - 4}l8 8M${x + 4} ${y - 4}l-8 8`} />;
  }
}

interface Tree {
  at: Map<number, [number, number]>; // index -> generation's column, row
  rows: number;
  first: Map<number, number>; // child -> the parent that it hangs on
}

// A tidy tree: everything hangs on its first parent, leaves take a row each, a parent stands in the middle of its
// children. Columns are generations.
function treeOf(shown: Shown): Tree {
  const column = new Map<number, number>();
  shown.rows.forEach((row, c) => row.members.forEach((i) => column.set(i, c)));
  const first = new Map<number, number>();
  const children = new Map<number, number[]>();
  for (const [child, parent] of shown.edges) {
    if (first.has(child) || !column.has(child) || !column.has(parent)) continue;
    first.set(child, parent);
    children.set(parent, [...(children.get(parent) ?? []), child]);
  }
  const at = new Map<number, [number, number]>();
  let rows = 0;
  const place = (i: number): number => {
    const ys = (children.get(i) ?? []).sort((a, b) => a - b).map(place);
    const y = ys.length === 0 ? rows++ : (ys[0]! + ys.at(-1)!) / 2;
    at.set(i, [column.get(i)!, y]);
    return y;
  };
  for (const i of column.keys()) if (!first.has(i)) place(i);
  return { at, rows, first };
}

export function LineagePlot({ data, shown }: { data: LineageData; shown: Shown }) {
  const [box, width] = useWidth(900);
  const [near, setNear] = useState(-1);
  const tree = useMemo(() => treeOf(shown), [shown]);
  const columns = shown.rows.length;
  const step = Math.max(34, Math.min(150, (width - kLeft - 60) / Math.max(1, columns - 1)));
  const place = (i: number): [number, number] => {
    const [column, row] = tree.at.get(i)!;
    return [kLeft + column * step, kTop + row * kRow];
  };
  const family = near < 0 ? null : new Set([near, ...shown.edges.flatMap(([c, p]) => (c === near ? [p] : p === near ? [c] : []))]);
  const skip = Math.ceil(26 / step); // generations between labels
  return (
    <div class="plot scroll-x" ref={box}>
      <svg
        width={Math.max(width, kLeft + (columns - 1) * step + 60)}
        height={kTop + tree.rows * kRow + 4}
        role="group"
        aria-label="Lineage, oldest generation on the left"
      >
        <text class="axis-name" x={4} y={12}>
          generation
        </text>
        {shown.rows.map((row, c) =>
          c % skip === 0 ? (
            <text key={row.batch} class="tick" x={kLeft + c * step} y={28} text-anchor="middle">
              {row.batch}
            </text>
          ) : null,
        )}
        {shown.edges.map(([child, parent, operation], k) => {
          if (!tree.at.has(child) || !tree.at.has(parent)) return null;
          const [a, b] = [place(parent), place(child)];
          const mid = Math.max(a[0] + 8, b[0] - step * 0.6);
          const second = tree.first.get(child) !== parent;
          return (
            <path
              key={k}
              class={`edge${second ? " second" : ""}${near >= 0 && (child === near || parent === near) ? " near" : ""}`}
              d={`M${a[0]} ${a[1]}C${mid} ${a[1]} ${mid} ${b[1]} ${b[0]} ${b[1]}`}
            >
              <title>{operation}</title>
            </path>
          );
        })}
        {[...tree.at.keys()].map((i) => {
          const [x, y] = place(i);
          return (
            <a
              key={i}
              href={candidatePath(data.candidate[i]!)}
              class={`member${family && !family.has(i) ? " away" : ""}`}
              aria-label={`Candidate ${data.candidate[i]}, ${data.outcome[i]}`}
              onPointerEnter={() => setNear(i)}
              onPointerLeave={() => setNear(-1)}
              onFocus={() => setNear(i)}
              onBlur={() => setNear(-1)}
              onClick={(event) => {
                event.preventDefault();
                go(candidatePath(data.candidate[i]!));
              }}
            >
              <circle class="halo" cx={x} cy={y} r="10" />
              <OutcomeShape outcome={data.outcome[i]!} x={x} y={y} />
              <text class={`member-name${data.outcome[i] === "front" ? "" : " small-name"}`} x={x + 8} y={y - 6}>
                {data.candidate[i]}
              </text>
            </a>
          );
        })}
      </svg>
      <p class="hover-line" aria-hidden="true">
        {near >= 0 ? (
          <>
            <b>Candidate {data.candidate[near]}</b> ({data.origin[near]}, {data.outcome[near]}){" "}
            {shown.edges
              .filter(([child]) => child === near)
              .map(([, parent, operation]) => `from ${data.candidate[parent]}: ${operation}`)
              .join("; ")}
          </>
        ) : (
          "Point at a candidate to see its family."
        )}
      </p>
    </div>
  );
}

export function LineageLegend() {
  return (
    <ul class="legend" aria-label="What the shapes mean">
      {[
        ["front", "on the front"],
        ["passed", "passed every stage"],
        ["fail", "ended earlier"],
      ].map(([outcome, text]) => (
        <li key={outcome}>
          <svg width="18" height="18" viewBox="-9 -9 18 18" aria-hidden="true">
            <OutcomeShape outcome={outcome!} x={0} y={0} />
          </svg>
          {text}
        </li>
      ))}
    </ul>
  );
}
