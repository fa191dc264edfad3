import { render } from "preact";
import { useEffect, useState } from "preact/hooks";
import type { About, Overview } from "./api";
import { useGet, useLive, type Live } from "./live";
import { date } from "./format";
import { report } from "./report";
import { address, comparePath, followLinks, go, runPath, usePlace } from "./router";
import { BriefView } from "./views/brief";
import { CandidateView } from "./views/candidate";
import { CompareView } from "./views/compare";
import { DiversityView } from "./views/diversity";
import { EnvironmentView } from "./views/environment";
import { FailuresView } from "./views/failures";
import { LineageView } from "./views/lineage";
import { NotebookView } from "./views/notebook";
import { OverviewView } from "./views/overview";
import { RunsView } from "./views/runs";
import "./style.css";

const kViews: [string, string][] = [
  ["", "Overview"],
  ["lineage", "Lineage"],
  ["diversity", "Diversity"],
  ["notebook", "Notebook"],
  ["failures", "Failures"],
  ["environment", "Environment"],
  ["brief", "Brief"],
];

type Theme = "auto" | "light" | "dark";

function storedTheme(): Theme {
  try {
    return (localStorage.getItem("theme") as Theme | null) ?? "auto";
  } catch {
    return "auto";
  }
}

function useTheme(): [Theme, (theme: Theme) => void] {
  const [theme, setTheme] = useState<Theme>(storedTheme);
  useEffect(() => {
    if (theme === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    try {
      localStorage.setItem("theme", theme);
    } catch {
      // a file from disk may have no storage
    }
  }, [theme]);
  return [theme, setTheme];
}

function Connection({ live }: { live: Live }) {
  const text = { opening: "opening", live: "live", waiting: "connection lost, trying again", report: `as of ${date(report?.made ?? 0)}` }[live.state];
  return (
    <span class={`connection c-${live.state}`} role="status" title={live.problem}>
      <span class="dot" aria-hidden="true" />
      {text}
    </span>
  );
}

function Header({ run, view, live, runs }: { run: string; view: string | null; live: Live | null; runs: string[] }) {
  const [theme, setTheme] = useTheme();
  const next: Record<Theme, Theme> = { auto: "light", light: "dark", dark: "auto" };
  const state = live?.overview?.run.state;
  return (
    <header class="top">
      <a
        class="skip"
        href="#main"
        onClick={(event) => {
          event.preventDefault();
          document.getElementById("main")?.focus();
        }}
      >
        Skip to content
      </a>
      <div class="top-row">
        <a class="brand" href={run ? runPath(run) : address("/")}>
          <svg width="22" height="22" viewBox="0 0 32 32" aria-hidden="true">
            <rect class="brand-box" width="32" height="32" rx="7" />
            <path class="brand-line" d="M6 9h8v6h6v5h6" />
          </svg>
          vortex
        </a>
        {run && (
          <label class="run-choice">
            <span class="sr">Search</span>
            <select value={run} onChange={(event) => go(runPath(event.currentTarget.value, kViews.some(([path]) => path === view) ? view! : ""))}>
              {(runs.includes(run) ? runs : [run, ...runs]).map((name) => (
                <option key={name} value={name}>
                  {name}
                </option>
              ))}
            </select>
          </label>
        )}
        {state && <span class={`state s-${state.replace(" ", "-")}`}>{state}</span>}
        {live && <Connection live={live} />}
        <span class="spring" />
        <button type="button" class="small" onClick={() => setTheme(next[theme])} aria-label={`Colours: ${theme}. Change`}>
          {theme === "auto" ? "◐ auto" : theme === "light" ? "○ light" : "● dark"}
        </button>
      </div>
      <nav class="views" aria-label="Views">
        {run &&
          kViews.map(([path, name]) => (
            <a key={path} href={runPath(run, path)} aria-current={view === path ? "page" : undefined}>
              {name}
            </a>
          ))}
        <a href={comparePath([])} aria-current={view === "compare" ? "page" : undefined}>
          Compare
        </a>
        {!report && (
          <a href="/runs" aria-current={view === "runs" ? "page" : undefined}>
            Runs
          </a>
        )}
      </nav>
    </header>
  );
}

// Views that read for themselves do so again when counts move, not at every heartbeat.
function versionOf(overview: Overview | null): string {
  if (!overview) return "";
  const { counts, front, requests, marks } = overview;
  return JSON.stringify([counts, front.map((member) => member.candidate), requests.map((request) => request.state), marks]);
}

function RunPage({ run, view, about, live }: { run: string; view: string; about: About; live: Live }) {
  const overview = live.overview;
  const version = versionOf(overview);
  if (!overview) {
    return live.problem ? <p class="problem">{live.problem}</p> : <p class="quiet" role="status">Reading {run} …</p>;
  }
  switch (view) {
    case "":
      return <OverviewView overview={overview} actions={about.actions} vortex={about.vortex} />;
    case "lineage":
      return <LineageView run={run} version={version} />;
    case "diversity":
      return <DiversityView run={run} version={String(overview.counts.passed)} />;
    case "notebook":
      return <NotebookView run={run} version={version} />;
    case "failures":
      return <FailuresView run={run} version={version} />;
    case "brief":
      return <BriefView run={run} version={String(overview.counts.passed)} />;
    case "environment":
      return <EnvironmentView run={run} version={String(overview.events.length)} />;
    default:
      return <p class="problem">There is no view of this name.</p>;
  }
}

function InRun({ run, view, about, runs, candidate }: { run: string; view: string | null; about: About; runs: string[]; candidate?: number }) {
  const live = useLive(run);
  return (
    <>
      <Header run={run} view={view} live={live} runs={runs} />
      <main id="main" tabIndex={-1}>
        {candidate !== undefined ? (
          <CandidateView id={candidate} actions={about.actions} version={versionOf(live.overview)} />
        ) : view === "compare" ? (
          <CompareView />
        ) : view === "runs" ? (
          <RunsView />
        ) : (
          <RunPage run={run} view={view ?? ""} about={about} live={live} />
        )}
      </main>
    </>
  );
}

function App() {
  const { path, query } = usePlace();
  const about = useGet<About>("about");
  const id = path[0] === "c" ? Number(path[1]) : NaN;
  const owner = useGet<{ run: string }>(Number.isInteger(id) ? `candidates/${id}/run` : null);
  const compared = path[0] === "compare" ? Number.parseInt(query.get("c") ?? "", 10) : NaN;
  const ownerOfCompared = useGet<{ run: string }>(Number.isInteger(compared) ? `candidates/${compared}/run` : null);
  useEffect(() => {
    const titles: Record<string, string> = { c: `candidate ${path[1]}`, r: `${path[1]}${path[2] ? ` ${path[2]}` : ""}` };
    document.title = `${titles[path[0] ?? ""] ?? path[0] ?? "overview"} · vortex`;
  }, [path.join("/")]);
  useEffect(() => {
    document.addEventListener("click", followLinks);
    return () => document.removeEventListener("click", followLinks);
  }, []);
  const problem = about.problem || owner.problem;
  if (problem) {
    return (
      <>
        <Header run="" view={null} live={null} runs={[]} />
        <main id="main" tabIndex={-1}>
          <p class="problem">{problem}</p>
        </main>
      </>
    );
  }
  if (!about.data) return <p class="quiet pad" role="status">Opening …</p>;
  const newest = report?.run ?? about.data.newest;
  const list = report ? [report.run] : about.data.runs;
  if (newest === "") {
    return (
      <>
        <Header run="" view={null} live={null} runs={[]} />
        <main id="main" tabIndex={-1}>
          <h1>No search yet</h1>
          <p>
            Start one, and it appears here: <code>vortex search</code>
          </p>
        </main>
      </>
    );
  }
  const common = { about: about.data, runs: list };
  if (path[0] === "r" && path[1]) return <InRun run={path[1]} view={path[2] ?? ""} {...common} />;
  if (Number.isInteger(id)) return owner.data ? <InRun run={owner.data.run} view={null} candidate={id} {...common} /> : <p class="quiet pad">Opening …</p>;
  if (path[0] === "compare") return <InRun run={ownerOfCompared.data?.run ?? newest} view="compare" {...common} />;
  if (path[0] === "runs") return <InRun run={newest} view="runs" {...common} />;
  if (path.length === 0) return <InRun run={newest} view="" {...common} />;
  return (
    <>
      <Header run={newest} view={null} live={null} runs={list} />
      <main id="main" tabIndex={-1}>
        <p class="problem">There is no page of this name.</p>
      </main>
    </>
  );
}

render(<App />, document.getElementById("app")!);
