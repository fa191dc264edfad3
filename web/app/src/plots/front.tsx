import { useMemo, useRef, useState } from "preact/hooks";
import type { FrontMember, Points } from "../api";
import { fixed, intervalText, signedInterval, times } from "../format";
import { candidatePath, go } from "../router";
import { KeepsShape, keepsText } from "../ui/marks";
import { freeSpot, niceScale, staircase, type Scale, type Spot } from "./scale";
import { useWidth } from "./size";

interface Props {
  front: FrontMember[];
  points: Points;
  starred?: Set<number>;
  other?: { name: string; front: FrontMember[] }; // a second search, for comparison
}

const kLeft = 52;
const kRight = 20;
const kTop = 18;
const kBottom = 44;
const kHead = 12; // above the highest value, so that a point there is seen whole
const kFew = 300; // points that are seen one by one
const kNear = 14; // pixels within which the pointer means a point

// Everything that passed as one path: twenty thousand points are one element.
function cloudPath(points: Points, x: Scale, y: Scale, front: Set<number>): string {
  let path = "";
  for (let i = 0; i < points.candidate.length; ++i) {
    if (front.has(points.candidate[i]!)) continue;
    path += `M${x.at(points.speed[i]!).toFixed(1)} ${y.at(points.accuracy[i]!).toFixed(1)}h0`;
  }
  return path;
}

function frontPath(members: FrontMember[], x: Scale, y: Scale): string {
  const steps = staircase(members, (m) => m.speed.value, (m) => m.accuracy.value);
  let path = "";
  let low = y.at(y.lo);
  for (const member of steps) {
    const px = x.at(member.speed.value).toFixed(1);
    const py = y.at(member.accuracy.value).toFixed(1);
    path += `${path === "" ? "M" : "L"}${px} ${low.toFixed(1)}L${px} ${py}`;
    low = y.at(member.accuracy.value);
  }
  return path === "" ? "" : `${path}L${x.at(x.lo).toFixed(1)} ${low.toFixed(1)}`;
}

function extent(front: FrontMember[], points: Points): { x: [number, number]; y: [number, number] } {
  let [x0, x1, y0, y1] = [1, 1.05, 1, 0];
  for (const member of front) {
    x0 = Math.min(x0, member.speed.lo);
    x1 = Math.max(x1, member.speed.hi);
    y0 = Math.min(y0, member.accuracy.lo);
    y1 = Math.max(y1, member.accuracy.hi, member.ceiling?.value ?? 0);
  }
  for (let i = 0; i < points.candidate.length; ++i) {
    x0 = Math.min(x0, points.speed[i]!);
    x1 = Math.max(x1, points.speed[i]!);
    y0 = Math.min(y0, points.accuracy[i]!);
    y1 = Math.max(y1, points.accuracy[i]!);
  }
  return { x: [x0, x1], y: [Math.max(0, y0), Math.min(1, Math.max(y1, y0 + 0.05))] };
}

function memberLabel(member: FrontMember): string {
  const name = member.origin === "dense" ? "Dense attention" : `Candidate ${member.candidate}`;
  return `${name}: speed ${times(member.speed)} of dense, accuracy ${intervalText(member.accuracy, 3)}${member.ceiling ? `, at most ${fixed(member.ceiling.value, 3)} with these many pages` : ""}; ${keepsText[member.keeps]}`;
}

function Axes({ x, y, width, height }: { x: Scale; y: Scale; width: number; height: number }) {
  return (
    <g aria-hidden="true">
      {x.ticks.map((tick) => (
        <g key={tick}>
          <line class={Math.abs(tick - 1) < 1e-9 ? "grid one" : "grid"} x1={x.at(tick)} x2={x.at(tick)} y1={kTop} y2={height - kBottom} />
          <text class="tick" x={x.at(tick)} y={height - kBottom + 18} text-anchor="middle">
            {fixed(tick, Math.max(1, x.digits))}×
          </text>
        </g>
      ))}
      {y.ticks.map((tick) => (
        <g key={tick}>
          <line class="grid" x1={kLeft} x2={width - kRight} y1={y.at(tick)} y2={y.at(tick)} />
          <text class="tick" x={kLeft - 8} y={y.at(tick) + 4} text-anchor="end">
            {fixed(tick, Math.max(1, y.digits))}
          </text>
        </g>
      ))}
      <text class="axis-name" x={width - kRight} y={height - 6} text-anchor="end">
        speed over dense attention →
      </text>
      <text class="axis-name" x={4} y={11}>
        ↑ accuracy
      </text>
    </g>
  );
}

// What the pages with the largest true attention reach at each member's budget: no choice of pages could do better.
function Ceiling({ members, x, y }: { members: FrontMember[]; x: Scale; y: Scale }) {
  const known = members.filter((member) => member.ceiling !== null);
  if (known.length === 0) return null;
  const at = (member: FrontMember): string => `${x.at(member.speed.value).toFixed(1)} ${y.at(member.ceiling!.value).toFixed(1)}`;
  return (
    <g class="oracle" aria-hidden="true">
      <path d={known.map((member, i) => `${i ? "L" : "M"}${at(member)}`).join("")} />
      {known.map((member) => (
        <path key={member.candidate} class="oracle-tick" d={`M${at(member)}m-7 0h14`} />
      ))}
    </g>
  );
}

// Labels beside their points, moved where they would lie on one another.
function labelPlaces(members: FrontMember[], x: Scale, y: Scale): Map<number, Spot> {
  const taken: Spot[] = [];
  const order = members.slice().sort((a, b) => b.speed.value - a.speed.value);
  return new Map(
    order.map((member) => [
      member.candidate,
      freeSpot(taken, { x: x.at(member.speed.value) + 10, y: y.at(member.accuracy.value) - 10 }, 36, 14),
    ]),
  );
}

export function FrontPlot({ front, points, starred, other }: Props) {
  const [box, width] = useWidth();
  const height = Math.round(Math.min(460, Math.max(300, width * 0.56)));
  const [near, setNear] = useState<number | null>(null); // candidate
  const list = useRef<(HTMLElement | null)[]>([]);
  const all = other ? [...front, ...other.front] : front;
  const range = useMemo(() => extent(all, points), [front, points, other]);
  const x = niceScale(range.x[0], range.x[1], kLeft, width - kRight, width < 500 ? 4 : 7);
  const y = niceScale(range.y[0], range.y[1], height - kBottom, kTop + kHead, 5);
  const ids = useMemo(() => new Set(front.map((member) => member.candidate)), [front]);
  const cloud = useMemo(() => cloudPath(points, x, y, ids), [points, ids, width, range]);
  const members = useMemo(() => front.slice().sort((a, b) => a.speed.value - b.speed.value), [front]);
  const places = labelPlaces(members, x, y);

  const find = (event: PointerEvent): number | null => {
    const frame = (event.currentTarget as Element).getBoundingClientRect();
    const px = event.clientX - frame.left;
    const py = event.clientY - frame.top;
    let best: number | null = null;
    let least = kNear * kNear;
    const look = (id: number, speed: number, accuracy: number, favour: number): void => {
      const d = (x.at(speed) - px) ** 2 + (y.at(accuracy) - py) ** 2 - favour;
      if (d < least) [least, best] = [d, id];
    };
    for (let i = 0; i < points.candidate.length; ++i) look(points.candidate[i]!, points.speed[i]!, points.accuracy[i]!, 0);
    for (const member of members) look(member.candidate, member.speed.value, member.accuracy.value, 40);
    return best;
  };
  const keys = (event: KeyboardEvent, i: number): void => {
    const step = event.key === "ArrowRight" || event.key === "ArrowDown" ? 1 : event.key === "ArrowLeft" || event.key === "ArrowUp" ? -1 : 0;
    if (step === 0) return;
    event.preventDefault();
    list.current[(i + step + members.length) % members.length]?.focus();
  };

  const shown = near === null ? undefined : members.find((member) => member.candidate === near);
  const faint = near === null || shown ? -1 : points.candidate.indexOf(near);
  return (
    <div class="plot layered" ref={box}>
      {/* A picture of its own: what moves with the pointer must not draw tens of thousands of points again. */}
      <svg class="beneath" width={width} height={height} aria-hidden="true">
        <path class={points.candidate.length <= kFew ? "cloud few" : "cloud"} d={cloud} />
      </svg>
      <svg
        width={width}
        height={height}
        role="group"
        aria-label="Accuracy over speed. The members of the front are links: arrow keys move along them."
        onPointerMove={(event) => setNear(find(event))}
        onPointerLeave={() => setNear(null)}
        onClick={(event) => {
          const id = find(event as unknown as PointerEvent);
          if (id !== null && !event.defaultPrevented) {
            event.preventDefault();
            go(candidatePath(id));
          }
        }}
      >
        <Axes x={x} y={y} width={width} height={height} />
        <Ceiling members={members} x={x} y={y} />
        {other && <path class="front-line other" d={frontPath(other.front, x, y)} />}
        <path class="front-line" d={frontPath(members, x, y)} />
        {members.map((member) => (
          <rect
            key={member.candidate}
            class={`interval-box i-${member.keeps}`}
            x={x.at(member.speed.lo)}
            y={y.at(member.accuracy.hi)}
            width={Math.max(2, x.at(member.speed.hi) - x.at(member.speed.lo))}
            height={Math.max(2, y.at(member.accuracy.lo) - y.at(member.accuracy.hi))}
            rx="3"
          />
        ))}
        {faint >= 0 && <circle class="hover-ring" cx={x.at(points.speed[faint]!)} cy={y.at(points.accuracy[faint]!)} r="6" />}
        {other?.front.map((member) => (
          <g key={member.candidate} class="other-member">
            <KeepsShape keeps={member.keeps} x={x.at(member.speed.value)} y={y.at(member.accuracy.value)} r={4} />
          </g>
        ))}
        {members.map((member, i) => (
          <a
            key={member.candidate}
            ref={(element: HTMLElement | null) => {
              list.current[i] = element;
            }}
            href={candidatePath(member.candidate)}
            aria-label={memberLabel(member)}
            class={`member${near === member.candidate ? " near" : ""}`}
            onKeyDown={(event) => keys(event, i)}
            onFocus={() => setNear(member.candidate)}
            onBlur={() => setNear(null)}
          >
            <circle class="halo" cx={x.at(member.speed.value)} cy={y.at(member.accuracy.value)} r="13" />
            <KeepsShape keeps={member.keeps} x={x.at(member.speed.value)} y={y.at(member.accuracy.value)} />
            <text class="member-name" x={places.get(member.candidate)!.x} y={places.get(member.candidate)!.y}>
              {member.origin === "dense" ? "dense" : member.candidate}
              {starred?.has(member.candidate) ? " ★" : ""}
            </text>
          </a>
        ))}
      </svg>
      <p class="hover-line" aria-hidden="true">
        {shown ? (
          <>
            <b>{shown.origin === "dense" ? "Dense attention" : `Candidate ${shown.candidate}`}</b> {times(shown.speed)} at accuracy{" "}
            {intervalText(shown.accuracy, 3)}
            {shown.difference && shown.origin !== "dense" ? `, ${signedInterval(shown.difference, 3)} against dense on the same problems` : ""}
            {shown.ceiling ? `; the best choice of as many pages reaches ${fixed(shown.ceiling.value, 3)}` : ""}.{" "}
            {shown.made_by}
          </>
        ) : faint >= 0 ? (
          <>
            <b>Candidate {near}</b> {fixed(points.speed[faint], 2)}× at accuracy {fixed(points.accuracy[faint], 3)}: passed every stage, not on the front
          </>
        ) : (
          "Point at something, or use Tab and the arrow keys. A click opens it."
        )}
      </p>
    </div>
  );
}

export function FrontLegend({ oracle = false }: { oracle?: boolean }) {
  return (
    <ul class="legend" aria-label="What the shapes mean">
      {(["dense", "kept", "undecided", "lost"] as const).map((keeps) => (
        <li key={keeps}>
          <svg width="16" height="16" viewBox="-8 -8 16 16" aria-hidden="true">
            <KeepsShape keeps={keeps} r={5} />
          </svg>
          {keepsText[keeps]}
        </li>
      ))}
      <li>
        <svg width="16" height="16" viewBox="-8 -8 16 16" aria-hidden="true">
          <path class="cloud" d="M-3 2h0M3 -2h0M4 4h0" />
        </svg>
        passed, but not on the front
      </li>
      <li>
        <svg width="16" height="16" viewBox="-8 -8 16 16" aria-hidden="true">
          <rect class="interval-box i-kept" x="-7" y="-5" width="14" height="10" rx="2" />
        </svg>
        95 % intervals of both
      </li>
      {oracle && (
        <li>
          <svg width="16" height="16" viewBox="-8 -8 16 16" aria-hidden="true">
            <g class="oracle"><path d="M-8 3L8 -3" /><path class="oracle-tick" d="M-5 0h10" /></g>
          </svg>
          the best that any choice of as many pages reaches
        </li>
      )}
    </ul>
  );
}
