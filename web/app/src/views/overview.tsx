import { useEffect, useMemo, useState } from "preact/hooks";
import { post, type Best, type CandidateList, type CandidateRow, type FrontMember, type Overview, type RunEvent } from "../api";
import { clock, count, duration, fixed, intervalText, missing, plural, signedInterval, times } from "../format";
import { useGet } from "../live";
import { FrontLegend, FrontPlot } from "../plots/front";
import { Funnel, verdicts } from "../plots/funnel";
import { ProgressPlot } from "../plots/progress";
import { candidatePath, runPath, setQuery, usePlace } from "../router";
import { Command } from "../ui/copy";
import { CandidateLink, KeepsMark, Star, VerdictMark } from "../ui/marks";
import { Figure, Table, type Column } from "../ui/table";

function Baseline({ overview }: { overview: Overview }) {
  return overview.doubts?.baseline ? <p class="problem">{overview.doubts.baseline}</p> : null;
}

function Headline({ overview, vortex }: { overview: Overview; vortex: string }) {
  const best = overview.best;
  if (!best) {
    const passed = overview.counts.passed;
    return (
      <section class="headline" aria-label="The result so far">
        <Baseline overview={overview} />
        <p class="lead">No policy is known yet to be faster and to keep dense attention's accuracy.</p>
        <p class="sub">
          {passed > 0 ? `${plural(passed, "candidate")} passed every stage. ${overview.doubts?.no_claim ?? ""}` : "Nothing has passed every stage yet."}
        </p>
      </section>
    );
  }
  return (
    <section class="headline" aria-label="The result so far">
      <Baseline overview={overview} />
      <p class="lead">
        <a href={candidatePath(best.candidate)}>Candidate {best.candidate}</a> decodes <strong>{fixed(best.speed.value, 2)}×</strong> as fast as dense
        attention{overview.run.speed_is === "modelled" ? ", by the cost model" : ""}
        {` and keeps its accuracy within ${fixed(100 * overview.run.margin, 0)} points.`}
      </p>
      <p class="sub">{evidence(best, overview.run.speed_is === "modelled")}</p>
      <Command name="take it away" command={vortex.replace("{}", `export ${best.candidate} --to vortex-torch --out winner/`)} />
    </section>
  );
}

function evidence(best: Best, modelled: boolean): string {
  return [
    modelled ? "The speed counts the bytes that a step of attention reads, and is not measured." : `Speed ${times(best.speed)}, in processes that had no part in its selection.`,
    `On held-out problems, which no decision of the search has looked at, it has ${intervalText(best.accuracy, 3)} and dense attention ${intervalText(best.dense_accuracy, 3)}; they differ by ${signedInterval(best.difference, 3)}.`,
  ].join(" ");
}

const kUnits: Record<string, (value: number) => string> = {
  seconds: duration,
  gpu_seconds: duration,
  evaluations: count,
  tokens: (value) => count(Math.round(value)),
  dollars: (value) => `$${value.toFixed(2)}`,
};
const kResources: Record<string, string> = {
  seconds: "time",
  gpu_seconds: "GPU time",
  evaluations: "evaluations",
  tokens: "model tokens",
  dollars: "spent on models",
};

function Tiles({ overview }: { overview: Overview }) {
  const shown = overview.spent.filter((spent) => spent.limit > 0 || (spent.used > 0 && spent.what !== "evaluations"));
  return (
    <dl class="tiles">
      <div>
        <dt>on the front, accuracy kept</dt>
        <dd>
          {overview.front.filter((member) => member.keeps === "kept").length}
          <small> of {Math.max(0, overview.front.filter((member) => member.keeps !== "dense").length)}</small>
        </dd>
      </div>
      <div>
        <dt>candidates evaluated</dt>
        <dd>
          {count(overview.counts.evaluated)}
          <small> of {count(overview.counts.candidates)} proposed</small>
        </dd>
      </div>
      {overview.hypervolume && (
        <div>
          <dt>hypervolume of the front</dt>
          <dd>
            {fixed(overview.hypervolume.value, 3)}
            <small>
              {" "}
              {fixed(overview.hypervolume.lo, 2)} to {fixed(overview.hypervolume.hi, 2)}
            </small>
          </dd>
        </div>
      )}
      {shown.map((spent) => (
        <div key={spent.what}>
          <dt>{kResources[spent.what] ?? spent.what}</dt>
          <dd>
            {(kUnits[spent.what] ?? String)(spent.used)}
            {spent.limit > 0 && <small> of {(kUnits[spent.what] ?? String)(spent.limit)}</small>}
            {spent.limit > 0 && (
              <progress max={spent.limit} value={Math.min(spent.used, spent.limit)} aria-label={`${kResources[spent.what] ?? spent.what} used`} />
            )}
          </dd>
        </div>
      ))}
    </dl>
  );
}

export const frontColumns: Column<FrontMember>[] = [
  { name: "candidate", value: (m) => m.candidate, show: (m) => <CandidateLink id={m.candidate} origin={m.origin} /> },
  { name: "accuracy kept", value: (m) => m.keeps, show: (m) => <KeepsMark keeps={m.keeps} /> },
  { name: "speed over dense", value: (m) => m.speed.value, show: (m) => times(m.speed), number: true },
  { name: "accuracy", value: (m) => m.accuracy.value, show: (m) => intervalText(m.accuracy, 3), number: true },
  { name: "difference to dense", value: (m) => m.difference?.value, show: (m) => (m.origin === "dense" ? missing : signedInterval(m.difference, 3)), number: true },
  { name: "shrunk", value: (m) => m.shrunk?.value, show: (m) => (m.shrunk ? signedInterval(m.shrunk, 3) : missing), number: true },
  { name: "held-out accuracy", value: (m) => m.confirmed?.value, show: (m) => (m.confirmed ? intervalText(m.confirmed, 3) : "not yet"), number: true },
  { name: "ceiling", value: (m) => m.ceiling?.value, show: (m) => (m.ceiling ? intervalText(m.ceiling, 3) : missing), number: true },
  { name: "tokens/s", value: (m) => m.tokens_per_s?.value, show: (m) => fixed(m.tokens_per_s?.value, 1), number: true },
  { name: "P(on front)", value: (m) => m.front_probability, show: (m) => fixed(m.front_probability, 2), number: true },
  { name: "found after", value: (m) => m.found_seconds, show: (m) => (m.found_seconds === null ? missing : duration(m.found_seconds)), number: true },
  { name: "what", value: (m) => m.made_by, wide: true },
];

function eventText(event: RunEvent): string {
  const detail = (event.detail ?? {}) as Record<string, unknown>;
  switch (event.kind) {
    case "front":
      return `Candidate ${String(detail.candidate)} joined the front`;
    case "budget":
      return `${String(detail.percent ?? "")} % of the ${kResources[String(detail.resource)] ?? String(detail.resource ?? "budget")} used`;
    case "stop-requested":
      return "Stop requested: it ends when what runs has ended";
    case "stop-now-requested":
      return "Stop requested, now";
    case "interrupted":
    case "finished":
      return detail.end && detail.end !== event.kind ? `The search ${event.kind}: ${String(detail.end)}` : `The search ${event.kind === "finished" ? "finished" : "was interrupted"}`;
    case "environment":
      // What was asked for is no fault.
      if (String(detail.message).endsWith("interrupted: the search was told to stop")) return `Candidate ${String(detail.candidate)} starts its ${String(detail.stage)} over on resume`;
      return `A fault of the machine, retried: ${String(detail.message ?? detail.what ?? "")}`;
    default: {
      const message = detail.message ?? detail.end;
      return event.kind.replaceAll("-", " ") + (message ? `: ${String(message)}` : "");
    }
  }
}

function useClock(): number {
  const [now, setNow] = useState(Date.now() / 1000);
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now() / 1000), 1000);
    return () => clearInterval(timer);
  }, []);
  return now;
}

function Now({ overview, actions }: { overview: Overview; actions: boolean }) {
  const clockNow = useClock();
  const open = overview.requests.filter((request) => request.state === "waiting" || request.state === "taken");
  return (
    <section class="card" aria-labelledby="now-title">
      <h2 id="now-title">What happens now</h2>
      {overview.now.length === 0 ? (
        <p class="quiet">{overview.run.state === "running" ? "Between candidates." : `The search is ${overview.run.state}.`}</p>
      ) : (
        <ul class="plain">
          {overview.now.map((one) => (
            <li key={one.candidate}>
              <CandidateLink id={one.candidate} origin={one.origin} /> <span class="quiet">{one.origin}</span> at <b>{one.stage}</b> for{" "}
              {duration(Math.max(0, clockNow - one.since))}
            </li>
          ))}
        </ul>
      )}
      {open.length > 0 && (
        <ul class="plain">
          {open.map((request) => (
            <li key={request.id}>
              {request.kind} of <CandidateLink id={request.candidate} /> {request.state === "taken" ? "was taken up" : "waits for the end of the batch"} (
              {clock(request.created)})
            </li>
          ))}
        </ul>
      )}
      {actions && overview.run.state === "running" && (
        <p>
          <StopButton overview={overview} />
        </p>
      )}
      <h3>Lately</h3>
      <ol class="events">
        {overview.events
          .slice()
          .reverse()
          .slice(0, 12)
          .map((event) => (
            <li key={event.id}>
              <time>{clock(event.created)}</time> {eventText(event)}
            </li>
          ))}
      </ol>
    </section>
  );
}

export function StopButton({ overview }: { overview: Overview }) {
  const [said, setSaid] = useState("");
  const asked = overview.events.some((event) => event.kind.startsWith("stop-") && event.id > Math.max(0, ...overview.events.filter((e) => e.kind === "started" || e.kind === "resumed").map((e) => e.id)));
  if (overview.run.state !== "running") return null;
  if (asked) return <span class="quiet" role="status">Stopping: it ends when what runs has ended.</span>;
  const stop = async (): Promise<void> => {
    if (!confirm("Stop this search when what it is evaluating has ended? It can be resumed.")) return;
    try {
      await post(`runs/${encodeURIComponent(overview.run.name)}/stop`, { now: false });
      setSaid("Asked to stop.");
    } catch (error) {
      setSaid((error as Error).message);
    }
  };
  return (
    <>
      <button type="button" class="small" onClick={() => void stop()}>
        Stop softly
      </button>
      <span role="status" class="quiet">
        {said}
      </span>
    </>
  );
}

const candidateColumns: Column<CandidateRow>[] = [
  { name: "candidate", value: (c) => c.candidate, show: (c) => <><CandidateLink id={c.candidate} origin={c.origin} /> <Star on={c.starred} /></> },
  { name: "verdict", value: (c) => c.verdict || c.state, show: (c) => <VerdictMark verdict={c.verdict || c.state} /> },
  { name: "stage", value: (c) => c.stage },
  { name: "speed", value: (c) => c.speed, show: (c) => (c.speed === null ? missing : `${fixed(c.speed, 2)}×`), number: true },
  { name: "accuracy", value: (c) => c.accuracy, show: (c) => fixed(c.accuracy, 3), number: true },
  { name: "seconds", value: (c) => c.seconds, show: (c) => fixed(c.seconds, 1), number: true },
  { name: "origin", value: (c) => c.origin },
  { name: "why it ended, or what it is", value: (c) => c.why || c.made_by, wide: true },
];

const kPage = 25;

export function CandidateTable({ run, stages, version }: { run: string; stages: string[]; version: string }) {
  const { query } = usePlace();
  const filter = {
    verdict: query.get("verdict") ?? "",
    origin: query.get("origin") ?? "",
    stage: query.get("stage") ?? "",
    q: query.get("q") ?? "",
    hidden: query.get("hidden") ?? "",
    sort: query.get("sort") ?? "-candidate",
    page: Number(query.get("page") ?? "1") || 1,
  };
  const asked = new URLSearchParams({ sort: filter.sort, limit: String(kPage), offset: String((filter.page - 1) * kPage) });
  for (const name of ["verdict", "origin", "stage", "q", "hidden"] as const) if (filter[name]) asked.set(name, filter[name]);
  const list = useGet<CandidateList>(`runs/${encodeURIComponent(run)}/candidates?${asked.toString()}`, version);
  const [last, setLast] = useState<CandidateList | null>(null);
  useEffect(() => {
    if (list.data) setLast(list.data);
  }, [list.data]);
  const data = list.data ?? last;
  const set = (name: string, value: string): void => setQuery({ [name]: value, page: null });
  const pages = Math.max(1, Math.ceil((data?.total ?? 0) / kPage));
  return (
    <section class="card" aria-labelledby="all-title">
      <h2 id="all-title">All candidates</h2>
      <form class="filters" role="search" onSubmit={(event) => event.preventDefault()}>
        <label>
          Verdict
          <select value={filter.verdict} onChange={(event) => set("verdict", event.currentTarget.value)}>
            <option value="">any</option>
            <option value="front">on the front</option>
            {["pass", "fail", "pruned", "timeout", "error", "running", "starred"].map((one) => (
              <option key={one} value={one}>
                {one}
              </option>
            ))}
          </select>
        </label>
        <label>
          Last stage
          <select value={filter.stage} onChange={(event) => set("stage", event.currentTarget.value)}>
            <option value="">any</option>
            {stages.map((one) => (
              <option key={one} value={one}>
                {one}
              </option>
            ))}
          </select>
        </label>
        <label>
          Origin
          <input type="search" size={10} value={filter.origin} onInput={(event) => set("origin", event.currentTarget.value)} />
        </label>
        <label>
          Words
          <input type="search" size={14} value={filter.q} placeholder="rationale, reason" onInput={(event) => set("q", event.currentTarget.value)} />
        </label>
        <label class="check">
          <input type="checkbox" checked={filter.hidden === "1"} onChange={(event) => set("hidden", event.currentTarget.checked ? "1" : "")} />
          show hidden
        </label>
      </form>
      {list.problem && <p class="problem">{list.problem}</p>}
      {data && (
        <>
          <p class="quiet" role="status">
            {plural(data.total, "candidate")}
            {pages > 1 ? `, page ${filter.page} of ${pages}` : ""}
          </p>
          <Table
            label="All candidates"
            columns={candidateColumns}
            rows={data.items}
            sort={filter.sort}
            onSort={(sort) => setQuery({ sort, page: null })}
            rowClass={(row) => (row.hidden ? "faint" : "")}
          />
          {pages > 1 && (
            <nav class="pages" aria-label="Pages of candidates">
              <button type="button" class="small" disabled={filter.page <= 1} onClick={() => setQuery({ page: String(filter.page - 1) })}>
                Previous
              </button>
              <button type="button" class="small" disabled={filter.page >= pages} onClick={() => setQuery({ page: String(filter.page + 1) })}>
                Next
              </button>
            </nav>
          )}
        </>
      )}
    </section>
  );
}

export function OverviewView({ overview, actions, vortex }: { overview: Overview; actions: boolean; vortex: string }) {
  const seconds = Math.max(overview.run.seconds_used, ...overview.progress.map((step) => step.seconds), 1);
  const starred = useMemo(() => new Set(overview.marks.filter((mark) => mark.starred).map((mark) => mark.candidate)), [overview.marks]);
  const funnelRows = useMemo(
    () => overview.funnel.map((stage) => ({ stage: stage.stage, ...Object.fromEntries(verdicts.map((verdict) => [verdict, stage.verdicts[verdict] ?? 0])) })),
    [overview.funnel],
  );
  return (
    <>
      {!overview.reading.all && (
        <p class="quiet" role="status">
          A large run: {count(overview.reading.done)} candidates are read, the rest is coming.
        </p>
      )}
      <Headline overview={overview} vortex={vortex} />
      <Tiles overview={overview} />
      <Figure
        title="The front"
        note="Accuracy over decode speed. Up and to the right is better; every point below and left of the line is beaten."
        legend={<FrontLegend oracle={overview.front.some((member) => member.ceiling !== null)} />}
        table={<Table label="Members of the front" columns={frontColumns} rows={overview.front} sort="speed over dense" />}
      >
        {overview.front.length > 0 ? (
          <FrontPlot front={overview.front} points={overview.points} starred={starred} />
        ) : (
          <p class="quiet">Nothing has passed every stage yet.</p>
        )}
      </Figure>
      <div class="two">
        <div>
          <Figure
            title="Progress"
            note="What was known of the front at each time, by what is known now."
            table={
              <Table
                label="Progress over time"
                columns={[
                  { name: "seconds", value: (s) => s.seconds, show: (s) => duration(s.seconds), number: true },
                  { name: "candidate", value: (s) => s.candidate, show: (s) => <CandidateLink id={s.candidate} />, number: true },
                  { name: "evaluated", value: (s) => s.evaluated, number: true },
                  { name: "fastest over dense", value: (s) => s.best_speed, show: (s) => fixed(s.best_speed, 3), number: true },
                  { name: "hypervolume", value: (s) => s.hypervolume, show: (s) => fixed(s.hypervolume, 4), number: true },
                ]}
                rows={overview.progress}
                sort="seconds"
              />
            }
          >
            {overview.progress.length > 1 ? (
              <ProgressPlot steps={overview.progress} seconds={seconds} />
            ) : (
              <p class="quiet">Nothing has joined dense attention on the front yet.</p>
            )}
          </Figure>
          <Now overview={overview} actions={actions} />
        </div>
        <div>
          <Figure
            title="Where candidates ended"
            note={<>Stage by stage. Reasons: <a href={runPath(overview.run.name, "failures")}>failures</a>.</>}
            table={
              <Table
                label="Verdicts by stage"
                columns={[
                  { name: "stage", value: (s) => s.stage },
                  ...verdicts.map((verdict) => ({ name: verdict, value: (s: (typeof funnelRows)[number]) => (s as unknown as Record<string, number>)[verdict], number: true })),
                ]}
                rows={funnelRows}
              />
            }
          >
            <Funnel stages={overview.funnel} />
          </Figure>
          <section class="card" aria-labelledby="origins-title">
            <h2 id="origins-title">Where they came from</h2>
            <Table
              label="Origins of candidates"
              columns={[
                { name: "origin", value: (o) => o.origin },
                { name: "proposed", value: (o) => o.proposed, number: true },
                { name: "passed", value: (o) => o.passed, number: true },
                { name: "on the front", value: (o) => o.on_front, number: true },
              ]}
              rows={overview.origins}
              sort="-proposed"
            />
          </section>
        </div>
      </div>
      <CandidateTable run={overview.run.name} stages={overview.stages} version={JSON.stringify([overview.counts, overview.marks])} />
    </>
  );
}
