// Linear scales and their ticks.

export interface Scale {
  lo: number;
  hi: number;
  ticks: number[];
  digits: number; // of tick labels
  at: (value: number) => number; // value -> pixel
  back: (pixel: number) => number;
}

export function niceScale(lo: number, hi: number, from: number, to: number, wanted = 6): Scale {
  if (!(hi > lo)) {
    hi = lo + Math.max(Math.abs(lo) * 0.05, 0.05);
  }
  const raw = (hi - lo) / wanted;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((one) => one >= raw)!;
  const first = Math.floor(lo / step + 1e-9) * step;
  const last = Math.ceil(hi / step - 1e-9) * step;
  const ticks: number[] = [];
  for (let i = 0; first + i * step <= last + step * 1e-6; ++i) ticks.push(first + i * step);
  const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9) + (Math.abs(step / power - 2.5) < 1e-9 ? 1 : 0));
  const at = (value: number): number => from + ((value - first) / (last - first)) * (to - from);
  const back = (pixel: number): number => first + ((pixel - from) / (to - from)) * (last - first);
  return { lo: first, hi: last, ticks, digits, at, back };
}

// The values of a front's staircase: for each member, fastest first, only what no faster one reaches.
export function staircase<T>(members: T[], speed: (m: T) => number, accuracy: (m: T) => number): T[] {
  const order = members.slice().sort((a, b) => speed(b) - speed(a) || accuracy(b) - accuracy(a));
  let best = -Infinity;
  return order.filter((member) => {
    if (accuracy(member) <= best) return false;
    best = accuracy(member);
    return true;
  });
}

export interface Spot {
  x: number;
  y: number;
}

// A place for a label that lies on none before it: the wanted one, or one a little below or above.
export function freeSpot(taken: Spot[], wanted: Spot, width: number, height: number): Spot {
  for (const move of [0, 1, -1, 2, -2, 3, -3]) {
    const spot = { x: wanted.x, y: wanted.y + move * height };
    if (taken.every((t) => Math.abs(t.x - spot.x) > width || Math.abs(t.y - spot.y) > height - 1)) {
      taken.push(spot);
      return spot;
    }
  }
  taken.push(wanted);
  return wanted;
}
