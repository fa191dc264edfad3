import { useState } from "preact/hooks";
import type { Diversity } from "../api";
import { fixed } from "../format";
import { candidatePath, go } from "../router";
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

// Distances of structures, neighbours beside each other; dark is near, so that families stand out as dark blocks.
export function DistanceMap({ data }: { data: Diversity }) {
  const [box, width] = useWidth(520);
  const [at, setAt] = useState<[number, number] | null>(null);
  const n = data.order.length;
  const left = 44;
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
          if (hit) go(hit[0] === hit[1] ? candidatePath(id(hit[0])) : `/compare?c=${id(hit[0])},${id(hit[1])}`);
        }}
      >
        {Array.from({ length: n }, (_, i) => (
          <g key={i}>
            {Array.from({ length: n }, (_, j) => (
              <rect key={j} x={left + j * cell} y={i * cell} width={cell + 0.5} height={cell + 0.5} style={{ fill: shade(1 - distance(i, j)) }} />
            ))}
            {cell >= 10 && (
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
          "Dark is alike. A click compares the two."
        )}
      </p>
    </div>
  );
}

// A map on which near points are alike in structure; the axes have no meaning of their own.
export function StructureMap({ data }: { data: Diversity }) {
  const [box, width] = useWidth(420);
  const height = Math.min(420, Math.max(260, width * 0.75));
  const xs = data.position.map((p) => p[0]);
  const ys = data.position.map((p) => p[1]);
  const [x0, x1, y0, y1] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
  const span = Math.max(x1 - x0, y1 - y0, 1e-6);
  const scale = Math.min(width - 60, height - 50) / span;
  const px = (i: number): number => width / 2 + (xs[i]! - (x0 + x1) / 2) * scale;
  const py = (i: number): number => height / 2 + (ys[i]! - (y0 + y1) / 2) * scale;
  return (
    <div class="plot" ref={box}>
      <svg width={width} height={height} role="group" aria-label="Structures as a map: near ones are alike">
        {data.candidates.map((id, i) => (
          <a key={id} href={candidatePath(id)} aria-label={`${data.names[i]}${data.on_front[i] ? ", on the front" : ""}`} class="member">
            {data.on_front[i] ? <circle class="k-kept" cx={px(i)} cy={py(i)} r="6" /> : <circle class="map-dot" cx={px(i)} cy={py(i)} r="4" />}
            {(data.on_front[i] || data.candidates.length <= 30) && (
              <text class="member-name" x={px(i) + 8} y={py(i) - 6}>
                {id}
              </text>
            )}
          </a>
        ))}
      </svg>
    </div>
  );
}
