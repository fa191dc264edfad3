import { useMemo, useState } from "preact/hooks";
import type { LineageData } from "../api";
import { candidatePath, go } from "../router";
import { useWidth } from "./size";

// Who came from whom: one row a generation, oldest on top. Large runs are folded: only what led to the chosen ones.

const kRow = 46;
const kLeft = 46;

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

export function LineagePlot({ data, shown }: { data: LineageData; shown: Shown }) {
  const [box, width] = useWidth(900);
  const [near, setNear] = useState(-1);
  const place = useMemo(() => {
    const at = new Map<number, [number, number]>();
    const widest = Math.max(1, ...shown.rows.map((row) => row.members.length));
    const step = Math.max(9, Math.min(64, (width - kLeft - 20) / widest));
    const parentsOf = new Map<number, number[]>();
    for (const [child, parent] of shown.edges) parentsOf.set(child, [...(parentsOf.get(child) ?? []), parent]);
    shown.rows.forEach((row, r) => {
      const wish = (i: number): number => {
        const xs = (parentsOf.get(i) ?? []).flatMap((p) => (at.has(p) ? [at.get(p)![0]] : []));
        return xs.length ? xs.reduce((a, b) => a + b, 0) / xs.length : Infinity;
      };
      const wishes = new Map(row.members.map((i) => [i, wish(i)]));
      const order = row.members.slice().sort((a, b) => wishes.get(a)! - wishes.get(b)! || a - b);
      order.forEach((i, k) => at.set(i, [kLeft + 12 + k * step, 18 + r * kRow]));
    });
    return { at, step, right: kLeft + 24 + widest * step };
  }, [shown, width]);
  const family = near < 0 ? null : new Set([near, ...shown.edges.flatMap(([c, p]) => (c === near ? [p] : p === near ? [c] : []))]);
  return (
    <div class="plot scroll-x" ref={box}>
      <svg width={Math.max(width, place.right)} height={shown.rows.length * kRow + 12} role="group" aria-label="Lineage, oldest generation on top">
        {shown.rows.map((row, r) => (
          <text key={row.batch} class="tick" x={kLeft - 14} y={22 + r * kRow} text-anchor="end">
            {row.batch}
          </text>
        ))}
        {shown.edges.map(([child, parent, operation], k) => {
          const [a, b] = [place.at.get(parent), place.at.get(child)];
          if (!a || !b) return null;
          const mid = (a[1] + b[1]) / 2;
          return (
            <path key={k} class={`edge${near >= 0 && (child === near || parent === near) ? " near" : ""}`} d={`M${a[0]} ${a[1]}C${a[0]} ${mid} ${b[0]} ${mid} ${b[0]} ${b[1]}`}>
              <title>{operation}</title>
            </path>
          );
        })}
        {[...place.at.entries()].map(([i, [x, y]]) => (
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
            <circle class="halo" cx={x} cy={y} r={Math.min(12, place.step / 2)} />
            <OutcomeShape outcome={data.outcome[i]!} x={x} y={y} />
            {place.step > 30 && (
              <text class="member-name small-name" x={x} y={y + 19} text-anchor="middle">
                {data.candidate[i]}
              </text>
            )}
          </a>
        ))}
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
