import type { Interval, Keeps } from "../api";
import { candidatePath } from "../router";

// Small signs used everywhere: a shape and a word for every verdict, never a colour alone.

const kSigns: Record<string, string> = {
  pass: "✓",
  fail: "✕",
  pruned: "✂",
  timeout: "◷",
  error: "!",
  running: "▸",
  proposed: "·",
  confirmed: "✓",
  refuted: "✕",
  inconclusive: "~",
  open: "·",
};

export function VerdictMark({ verdict }: { verdict: string }) {
  return (
    <span class={`verdict v-${verdict}`}>
      <span aria-hidden="true" class="sign">
        {kSigns[verdict] ?? "·"}
      </span>
      {verdict || "none"}
    </span>
  );
}

export const keepsText: Record<Keeps, string> = {
  dense: "dense attention, the reference",
  kept: "keeps dense attention's accuracy, on held-out problems too",
  undecided: "not decided: held-out problems have not confirmed it",
  lost: "loses accuracy against dense attention",
};
export const keepsWord: Record<Keeps, string> = { dense: "dense", kept: "kept", undecided: "undecided", lost: "lost" };

// Square, disc, ring, triangle: they differ in grey as well.
export function KeepsShape({ keeps, x = 0, y = 0, r = 6 }: { keeps: Keeps; x?: number; y?: number; r?: number }) {
  switch (keeps) {
    case "dense":
      return <rect class="k-dense" x={x - r} y={y - r} width={2 * r} height={2 * r} rx={1.5} />;
    case "kept":
      return <circle class="k-kept" cx={x} cy={y} r={r} />;
    case "undecided":
      return <path class="k-undecided" d={`M${x} ${y - r - 1.5}l${r + 1.5} ${r + 1.5}l${-r - 1.5} ${r + 1.5}l${-r - 1.5} ${-r - 1.5}Z`} />;
    case "lost":
      return <path class="k-lost" d={`M${x - r - 1} ${y - r}h${2 * r + 2}l${-r - 1} ${2 * r + 1}Z`} />;
  }
}

export function KeepsMark({ keeps }: { keeps: Keeps }) {
  return (
    <span class="keeps" title={keepsText[keeps]}>
      <svg width="16" height="16" viewBox="-8 -8 16 16" aria-hidden="true">
        <KeepsShape keeps={keeps} r={5} />
      </svg>
      {keepsWord[keeps]}
    </span>
  );
}

// A value with its interval drawn on a common scale.
export function Bar({ interval, lo, hi, mark }: { interval: Interval; lo: number; hi: number; mark?: number }) {
  const at = (value: number): number => 2 + (96 * (Math.min(Math.max(value, lo), hi) - lo)) / (hi - lo || 1);
  return (
    <svg class="bar" viewBox="0 0 100 14" preserveAspectRatio="none" aria-hidden="true">
      {mark !== undefined && <line class="bar-mark" x1={at(mark)} x2={at(mark)} y1="0" y2="14" />}
      <line class="bar-range" x1={at(interval.lo)} x2={at(interval.hi)} y1="7" y2="7" />
      <line class="bar-value" x1={at(interval.value)} x2={at(interval.value)} y1="2" y2="12" />
    </svg>
  );
}

export function CandidateLink({ id, origin }: { id: number; origin?: string }) {
  return <a href={candidatePath(id)}>{origin === "dense" ? "dense" : `#${id}`}</a>;
}

export function Star({ on }: { on: boolean }) {
  return on ? (
    <span class="star" title="starred" aria-label="starred" role="img">
      ★
    </span>
  ) : null;
}
