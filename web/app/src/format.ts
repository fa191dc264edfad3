import type { Interval } from "./api";

// Numbers as text. Missing values are an en dash, never a zero.

export const missing = "–";

export function fixed(value: number | null | undefined, digits: number): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return missing;
  const text = value.toFixed(digits);
  return text.startsWith("-") && Number(text) === 0 ? text.slice(1) : text; // no zero is negative
}

export function range(interval: Interval, digits: number): string {
  return `${fixed(interval.lo, digits)} to ${fixed(interval.hi, digits)}`;
}

export function intervalText(interval: Interval | null | undefined, digits: number): string {
  if (!interval) return missing;
  if (interval.lo === interval.hi) return fixed(interval.value, digits);
  return `${fixed(interval.value, digits)} (${range(interval, digits)})`;
}

// "1.83× (1.75 to 1.90)"
export function times(interval: Interval | null | undefined): string {
  if (!interval) return missing;
  return `${fixed(interval.value, 2)}×${interval.lo === interval.hi ? "" : ` (${range(interval, 2)})`}`;
}

export function signed(value: number, digits: number): string {
  return `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(digits)}`;
}

export function signedInterval(interval: Interval | null | undefined, digits: number): string {
  if (!interval) return missing;
  return `${signed(interval.value, digits)} (${signed(interval.lo, digits)} to ${signed(interval.hi, digits)})`;
}

export function duration(seconds: number): string {
  if (!Number.isFinite(seconds)) return missing;
  if (seconds < 0.95) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 60) return `${Math.round(seconds)} s`;
  const minutes = Math.floor(seconds / 60);
  const rest = Math.round(seconds - 60 * minutes);
  if (minutes < 60) return rest === 0 ? `${minutes} min` : `${minutes} min ${rest} s`;
  return minutes % 60 === 0 ? `${minutes / 60} h` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

export function count(value: number): string {
  return value.toLocaleString("en-US");
}

export function clock(epoch: number): string {
  if (!epoch) return missing;
  return new Date(epoch * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit" });
}

export function date(epoch: number): string {
  if (!epoch) return missing;
  const when = new Date(epoch * 1000);
  const day = when.toLocaleDateString([], { year: "numeric", month: "short", day: "numeric" });
  return `${day}, ${when.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" })}`;
}

// "candidate 7", or what dense attention is called.
export function candidateName(id: number, origin?: string): string {
  return origin === "dense" ? "dense attention" : `candidate ${id}`;
}

export function plural(n: number, one: string, many = `${one}s`): string {
  return `${count(n)} ${n === 1 ? one : many}`;
}
