import type { GraphSide } from "../api";
import { useWidth } from "./size";

// A traced graph in layers: what is read on top, what is written or chosen at the bottom.

const kBoxWidth = 148;
const kBoxHeight = 40;
const kGapX = 18;
const kGapY = 34;

interface Placed {
  x: number;
  y: number;
}

function layersOf(side: GraphSide): number[] {
  const layer = side.nodes.map(() => 0);
  side.nodes.forEach((node, i) => {
    for (const input of node.inputs) layer[i] = Math.max(layer[i]!, layer[input]! + 1);
  });
  for (let i = side.nodes.length - 1; i >= 0; --i) {
    const readers = side.nodes.flatMap((node, j) => (node.inputs.includes(i) ? [layer[j]!] : []));
    if (readers.length > 0) layer[i] = Math.min(...readers) - 1;
  }
  return layer;
}

// Within a layer, boxes stand where what they read or feed stands: two sweeps of the barycentre rule.
function place(side: GraphSide): { at: Placed[]; width: number; height: number } {
  const layer = layersOf(side);
  const depth = Math.max(0, ...layer) + 1;
  const rows: number[][] = Array.from({ length: depth }, () => []);
  layer.forEach((l, i) => rows[l]!.push(i));
  const slot = side.nodes.map(() => 0);
  rows.forEach((row) => row.forEach((node, k) => (slot[node] = k - (row.length - 1) / 2)));
  const sweep = (order: number[][], near: (node: number) => number[]): void => {
    for (const row of order) {
      const wish = new Map(row.map((node) => {
        const others = near(node);
        return [node, others.length ? others.reduce((sum, other) => sum + slot[other]!, 0) / others.length : slot[node]!];
      }));
      row.sort((a, b) => wish.get(a)! - wish.get(b)!);
      row.forEach((node, k) => (slot[node] = k - (row.length - 1) / 2));
    }
  };
  const readersOf = (node: number): number[] => side.nodes.flatMap((other, j) => (other.inputs.includes(node) ? [j] : []));
  sweep(rows, (node) => side.nodes[node]!.inputs);
  sweep(rows.slice().reverse(), readersOf);
  const widest = Math.max(1, ...rows.map((row) => row.length));
  const width = widest * kBoxWidth + (widest - 1) * kGapX;
  const at = side.nodes.map((_, i) => ({
    x: width / 2 + slot[i]! * (kBoxWidth + kGapX),
    y: layer[i]! * (kBoxHeight + kGapY),
  }));
  return { at, width, height: depth * kBoxHeight + (depth - 1) * kGapY };
}

function clip(text: string): string {
  return text.length <= 22 ? text : `${text.slice(0, 21)}…`;
}

function Side({ side, room }: { side: GraphSide; room: number }) {
  const { at, width, height } = place(side);
  const scale = Math.min(1, room / (width + 8));
  return (
    <div class="graph-side">
      <h3>{side.side}</h3>
      <svg
        width={(width + 8) * scale}
        height={(height + 8) * scale}
        viewBox={`-4 -4 ${width + 8} ${height + 8}`}
        role="img"
        aria-label={`${side.side}: ${side.nodes.map((node, i) => `${i} ${node.title}${node.inputs.length ? ` of ${node.inputs.join(", ")}` : ""}`).join("; ")}`}
      >
        {side.nodes.flatMap((node, i) =>
          node.inputs.map((input, k) => {
            const [a, b] = [at[input]!, at[i]!];
            const mid = (a.y + kBoxHeight + b.y) / 2;
            return <path key={`${i}-${k}`} class="edge" d={`M${a.x} ${a.y + kBoxHeight}C${a.x} ${mid} ${b.x} ${mid} ${b.x} ${b.y}`} />;
          }),
        )}
        {side.nodes.map((node, i) => (
          <g key={i} class={`node n-${node.kind}`}>
            <title>{`${node.title} ${node.detail}`}</title>
            <rect x={at[i]!.x - kBoxWidth / 2} y={at[i]!.y} width={kBoxWidth} height={kBoxHeight} rx="5" />
            <text x={at[i]!.x} y={at[i]!.y + 17} text-anchor="middle">
              {clip(node.title)}
            </text>
            <text class="detail" x={at[i]!.x} y={at[i]!.y + 32} text-anchor="middle">
              {clip(node.detail)}
            </text>
          </g>
        ))}
      </svg>
    </div>
  );
}

export function PolicyGraph({ sides }: { sides: GraphSide[] }) {
  const [box, width] = useWidth(900);
  const shown = sides.filter((side) => side.nodes.length > 0);
  const room = width >= 800 && shown.length > 1 ? width / 2 - 16 : width;
  return (
    <div class="graph" ref={box}>
      {shown.map((side) => (
        <Side key={side.side} side={side} room={room} />
      ))}
    </div>
  );
}
