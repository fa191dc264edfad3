import { useState } from "preact/hooks";
import type { Diversity } from "../api";
import { fixed } from "../format";
import { candidatePath, comparePath, go } from "../router";
import { freeSpot, type Spot } from "./scale";
import { useWidth } from "./size";

// One hue from light to dark: its order survives every kind of colour vision and grey.
export function shade(value: number): string {
  return `color-mix(in oklab, var(--heat-hi) ${(100 * Math.min(1, Math.max(0, value))).toFixed(1)}%, var(--heat-lo))`;
}

// Recall by layer: one row of cells.
export function LayerStrip({ values, label }: { values: number[]; label: string }) {
  return (
    <div class="strip" role="img" aria-label={`${label}: ${values.map((v, i) => `layer ${i} ${fixed(v, 3)}`).join(", ")}`}>
      {values.map((value, i) => (
        <div key={i} class="strip-cell">
          <span class={`strip-box${value > 0.55 ? " dark" : ""}`} style={{ background: shade(value) }}>
            {fixed(value, 2)}
          </span>
          <span class="strip-name">L{i}</span>
        </div>
      ))}
    </div>
  );
}

// Distances of structures, neighbours beside each other; strong is near, so that families stand out as blocks.
export function DistanceMap({ data }: { data: Diversity }) {
  const [box, width] = useWidth(520);
  const [at, setAt] = useState<[number, number] | null>(null);
  const n = data.order.length;
  const left = n <= 40 ? 44 : 2; // room for names
  const cell = Math.max(3, Math.min(26, (Math.min(width, 620) - left - 4) / Math.max(1, n)));
  const size = left + n * cell + 4;
  const id = (i: number): number => data.candidates[data.order[i]!]!;
  const distance = (i: number, j: number): number => data.matrix[data.order[i]! * n + data.order[j]!]!;
  const name = (i: number): string => data.names[data.order[i]!]!;
  const locate = (event: PointerEvent | MouseEvent): [number, number] | null => {
    const frame = (event.currentTarget as Element).getBoundingClientRect();
    const j = Math.floor((event.clientX - frame.left - left) / cell);
    const i = Math.floor((event.clientY - frame.top) / cell);
    return i >= 0 && i < n && j >= 0 && j < n ? [i, j] : null;
  };
  return (
    <div class="plot" ref={box}>
      <svg
        width={size}
        height={n * cell + left}
        role="img"
        aria-label={`Distances between ${n} structures, ordered so that alike ones are neighbours`}
        onPointerMove={(event) => setAt(locate(event))}
        onPointerLeave={() => setAt(null)}
        onClick={(event) => {
          const hit = locate(event);
          if (hit) go(hit[0] === hit[1] ? candidatePath(id(hit[0])) : comparePath([id(hit[0]), id(hit[1])]));
        }}
      >
        {Array.from({ length: n }, (_, i) => (
          <g key={i}>
            {Array.from({ length: n }, (_, j) => (
              <rect key={j} x={left + j * cell} y={i * cell} width={cell} height={cell} shape-rendering="crispEdges" style={{ fill: shade(1 - distance(i, j)) }} />
            ))}
            {left > 2 && (
              <>
                <text class="tick" x={left - 6} y={i * cell + cell / 2 + 4} text-anchor="end">
                  {id(i)}
                </text>
                <text class="tick" transform={`translate(${left + i * cell + cell / 2 + 4} ${n * cell + 6}) rotate(90)`}>
                  {id(i)}
                </text>
              </>
            )}
          </g>
        ))}
        {at && <rect class="cell-ring" x={left + at[1] * cell} y={at[0] * cell} width={cell} height={cell} />}
      </svg>
      <p class="hover-line" aria-hidden="true">
        {at ? (
          <>
            <b>
              {name(at[0])} and {name(at[1])}
            </b>{" "}
            are {fixed(distance(at[0], at[1]), 3)} apart
          </>
        ) : (
          "The stronger the colour, the more alike. A click compares the two."
        )}
      </p>
    </div>
  );
}

interface Group {
  x: number;
  y: number;
  members: number[]; // indices
}

// Programs of one family lie on one spot: they are drawn as one.
function groupsOf(data: Diversity): Group[] {
  const groups: Group[] = [];
  data.position.forEach(([x, y], i) => {
    const same = groups.find((group) => Math.hypot(group.x - x, group.y - y) < 0.025);
    if (same) same.members.push(i);
    else groups.push({ x, y, members: [i] });
  });
  return groups;
}

function nameOf(data: Diversity, group: Group): string {
  return data.names[group.members[0]!]!.replace(/ \(\d+\)$/, "");
}

function whatOf(data: Diversity, group: Group): string {
  return group.members.length === 1 ? `candidate ${data.candidates[group.members[0]!]}` : `${group.members.length} candidates`;
}

// A map on which near structures are alike; the axes have no meaning of their own.
export function StructureMap({ data }: { data: Diversity }) {
  const [box, width] = useWidth(420);
  const height = Math.min(440, Math.max(260, width * 0.8));
  const groups = groupsOf(data);
  const xs = groups.map((group) => group.x);
  const ys = groups.map((group) => group.y);
  const [x0, x1, y0, y1] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
  const scale = Math.min((width - 170) / Math.max(x1 - x0, 1e-6), (height - 90) / Math.max(y1 - y0, 1e-6));
  const placed = groups.map((group) => ({
    group,
    x: (width - 60) / 2 + (group.x - (x0 + x1) / 2) * scale,
    y: height / 2 + (group.y - (y0 + y1) / 2) * scale,
    r: 4 + 2 * Math.sqrt(group.members.length),
  }));
  const labels: Spot[] = [];
  return (
    <div class="plot" ref={box}>
      <svg width={width} height={height} role="group" aria-label="Structures as a map: near ones are alike">
        {placed.map(({ group, x, y, r }) => {
          const first = group.members[0]!;
          const front = group.members.filter((i) => data.on_front[i]);
          return (
            <a
              key={first}
              href={candidatePath(data.candidates[front[0] ?? first]!)}
              class="member"
              aria-label={`${nameOf(data, group)}: ${whatOf(data, group)}${front.length > 0 ? `, ${front.length} on the front` : ""}`}
            >
              <circle class="halo" cx={x} cy={y} r={r + 6} />
              <circle class="map-dot" cx={x} cy={y} r={r} />
              {front.length > 0 && <circle class="k-kept" cx={x} cy={y} r={4} />}
            </a>
          );
        })}
        {placed.map(({ group, x, y, r }) => {
          const label = freeSpot(labels, { x: x + r + 5, y: y + 1 }, 120, 28);
          return (
            <g key={group.members[0]} aria-hidden="true">
              <text class="member-name small-name" x={label.x} y={label.y}>
                {nameOf(data, group)}
              </text>
              <text class="tick" x={label.x} y={label.y + 13}>
                {whatOf(data, group)}
              </text>
            </g>
          );
        })}
      </svg>
    </div>
  );
}
