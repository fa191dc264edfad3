import { ApiError, type CandidateList, type CandidateRow } from "./api";

// `vortex report --html` writes this page with the answers of the server inside: one file that opens from disk. Where
// they are there, nothing is asked of a server, and the address behind the # is the state.

export interface Report {
  made: number; // seconds since the epoch
  run: string;
  answers: Record<string, unknown>; // by the path that the server would be asked
  candidates: CandidateRow[]; // of the run, in their order
  left_out: string; // what the file holds, and what not, in a sentence
}

function read(): Report | null {
  const text = document.getElementById("vortex-report")?.textContent;
  return text ? (JSON.parse(text) as Report) : null;
}

export const report = read();

type Key = "verdict" | "stage" | "speed" | "accuracy" | "seconds" | "origin" | "candidate";

function lets(row: CandidateRow, query: URLSearchParams): boolean {
  const asked = (name: string): string => (query.get(name) ?? "").toLowerCase();
  if (asked("hidden") !== "1" && row.hidden) return false;
  if (asked("stage") && row.stage !== asked("stage")) return false;
  if (asked("origin") && !(row.arm === "control" ? "control arm" : row.origin).toLowerCase().includes(asked("origin"))) return false;
  if (asked("q") && !`${row.why} ${row.made_by}`.toLowerCase().includes(asked("q"))) return false;
  switch (asked("verdict")) {
    case "":
      return true;
    case "front":
      return row.on_front;
    case "starred":
      return row.starred;
    case "running":
      return row.state !== "done";
    default:
      return row.verdict === asked("verdict");
  }
}

// The list of candidates as the server filters, sorts and cuts it: missing values come last whatever the direction.
export function listed(rows: CandidateRow[], query: URLSearchParams): CandidateList {
  const sort = query.get("sort") ?? "";
  const down = sort.startsWith("-");
  const key = (down ? sort.slice(1) : sort) as Key;
  const kept = rows.filter((row) => lets(row, query));
  if (kept.length > 0 && key in kept[0]!) {
    kept.sort((a, b) => {
      const [x, y] = [a[key], b[key]];
      if (x === null || y === null) return Number(x === null) - Number(y === null);
      const order = x < y ? -1 : x > y ? 1 : 0;
      return down ? -order : order;
    });
  }
  const offset = Number(query.get("offset") ?? "0");
  return { total: kept.length, items: kept.slice(offset, offset + Number(query.get("limit") ?? "100")) };
}

export async function fromReport<T>(from: Report, path: string): Promise<T> {
  if (path in from.answers) return from.answers[path] as T;
  const [name, query] = path.split("?");
  if (path === "runs") return [] as T;
  if (/^candidates\/\d+\/run$/.test(path)) return { run: from.run } as T;
  if (name?.endsWith("/candidates")) return listed(from.candidates, new URLSearchParams(query)) as T;
  throw new ApiError(404, `This file does not hold that. ${from.left_out}`, "vortex dashboard shows it");
}
