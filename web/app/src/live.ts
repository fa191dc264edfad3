import { useEffect, useState } from "preact/hooks";
import { get, type Delta, type Overview, type Points } from "./api";
import { report } from "./report";

// A run's overview that keeps up with the search: opened once, then only what changed. A connection that breaks is
// opened again from the last cursor, so that nothing is missed; a server that no longer knows the cursor (it was
// restarted) answers with everything.

export interface Live {
  overview: Overview | null;
  state: "opening" | "live" | "waiting" | "report";
  problem: string;
}

function merged(points: Points, delta: Delta): Points {
  const changed = delta.points;
  const gone = new Set(delta.gone ?? []);
  if (!changed?.candidate.length && gone.size === 0) return points;
  const place = new Map<number, number>();
  const out: Points = { candidate: [], speed: [], accuracy: [] };
  const put = (from: Points, i: number): void => {
    const id = from.candidate[i]!;
    if (gone.has(id)) return;
    const at = place.get(id) ?? out.candidate.length;
    place.set(id, at);
    out.candidate[at] = id;
    out.speed[at] = from.speed[i]!;
    out.accuracy[at] = from.accuracy[i]!;
  };
  for (let i = 0; i < points.candidate.length; ++i) put(points, i);
  for (let i = 0; changed && i < changed.candidate.length; ++i) put(changed, i);
  return out;
}

export function withDelta(overview: Overview, delta: Delta): Overview {
  return { ...overview, ...delta, points: merged(overview.points, delta), gone: [] };
}

const kFirstWait = 500; // ms; doubles up to kLongestWait
const kLongestWait = 8000;

class Feed {
  private overview: Overview | null = null;
  private source: EventSource | null = null;
  private timer = 0;
  private wait = kFirstWait;
  private closed = false;

  constructor(
    private readonly run: string,
    private readonly tell: (live: Live) => void,
  ) {
    void this.open();
  }

  close(): void {
    this.closed = true;
    this.source?.close();
    clearTimeout(this.timer);
  }

  private say(state: Live["state"], problem = ""): void {
    if (!this.closed) this.tell({ overview: this.overview, state, problem });
  }

  private async open(): Promise<void> {
    try {
      if (this.overview === null) {
        this.overview = await get<Overview>(`runs/${encodeURIComponent(this.run)}/overview`);
      }
    } catch (error) {
      this.again(error instanceof Error ? error.message : String(error));
      return;
    }
    if (this.closed) return;
    this.say(report ? "report" : "opening");
    if (!report) this.listen();
  }

  private listen(): void {
    const cursor = encodeURIComponent(this.overview!.cursor);
    const source = new EventSource(`/api/runs/${encodeURIComponent(this.run)}/stream?cursor=${cursor}`);
    this.source = source;
    source.addEventListener("hello", () => {
      this.wait = kFirstWait;
      this.say("live");
    });
    source.addEventListener("delta", (event) => {
      this.overview = withDelta(this.overview!, JSON.parse(event.data) as Delta);
      this.say("live");
    });
    source.addEventListener("all", (event) => {
      this.overview = JSON.parse(event.data) as Overview;
      this.say("live");
    });
    // The browser would come back with the cursor of the first connection: we come back with the last.
    source.onerror = () => {
      source.close();
      this.again("the connection to the server is lost");
    };
  }

  private again(problem: string): void {
    if (this.closed) return;
    this.say("waiting", problem);
    this.timer = setTimeout(() => {
      if (this.overview === null) void this.open();
      else this.listen();
    }, this.wait) as unknown as number;
    this.wait = Math.min(2 * this.wait, kLongestWait);
  }
}

export function useLive(run: string): Live {
  const [live, setLive] = useState<Live>({ overview: null, state: "opening", problem: "" });
  useEffect(() => {
    setLive({ overview: null, state: "opening", problem: "" });
    const feed = new Feed(run, setLive);
    return () => feed.close();
  }, [run]);
  return live;
}

// Something read once, and again when a key changes.
export interface Loaded<T> {
  data: T | null;
  problem: string;
  again: () => void;
}

export function useGet<T>(path: string | null, key: unknown = 0): Loaded<T> {
  const [state, setState] = useState<{ path: string | null; data: T | null; problem: string }>({
    path,
    data: null,
    problem: "",
  });
  const [turn, setTurn] = useState(0);
  useEffect(() => {
    if (path === null) return undefined;
    let current = true;
    get<T>(path).then(
      (data) => current && setState({ path, data, problem: "" }),
      (error: Error) => current && setState({ path, data: null, problem: error.message }),
    );
    return () => {
      current = false;
    };
  }, [path, key, turn]);
  const known = state.path === path;
  return { data: known ? state.data : null, problem: known ? state.problem : "", again: () => setTurn(turn + 1) };
}
