import { useEffect, useState } from "preact/hooks";
import { get, post, type Call, type Candidate, type OutcomeRow, type Relative, type Stage } from "../api";
import { clock, count, duration, fixed, intervalText, missing, plural, signedInterval, times } from "../format";
import { useGet } from "../live";
import { PolicyGraph } from "../plots/graph";
import { LayerStrip } from "../plots/heatmap";
import { comparePath, runPath, setQuery, usePlace } from "../router";
import { Code, Diff } from "../ui/code";
import { Command } from "../ui/copy";
import { Bar, CandidateLink, KeepsMark, VerdictMark } from "../ui/marks";
import { Figure, Table } from "../ui/table";
import { NotebookTable } from "./notebook";

function Head({ data }: { data: Candidate }) {
  const front = data.front;
  const dense = data.origin === "dense";
  return (
    <section class="headline" aria-label="What it is">
      <p class="crumbs">
        <a href={runPath(data.run.name)}>{data.run.name}</a> › candidate {data.candidate}
      </p>
      <h1>{dense ? "Dense attention" : `Candidate ${data.candidate}`}</h1>
      <p class="marks">
        {front ? <KeepsMark keeps={front.keeps} /> : <VerdictMark verdict={data.verdict || data.state} />}
        <span>{front ? "on the front" : data.verdict === "pass" ? "passed every stage, not on the front" : ""}</span>
        <span class="quiet">
          {data.origin}
          {data.arm === "control" ? ", control arm" : ""}, generation {data.batch}
        </span>
      </p>
      {data.rationale && <p class="sub">{data.rationale}</p>}
    </section>
  );
}

function metricOf(data: Candidate, stage: string, metric: string) {
  const rows = data.stages.filter((one) => one.stage === stage);
  return rows.at(-1)?.metrics.find((one) => one.name === metric);
}

const speedOf = (data: Candidate) => data.front?.speed ?? metricOf(data, "speed", "speedup_vs_dense") ?? metricOf(data, "check", "modelled_speedup");

function Measured({ data }: { data: Candidate }) {
  const speed = speedOf(data);
  const accuracy = data.front?.accuracy ?? metricOf(data, "race", "accuracy");
  const held = metricOf(data, "confirm", "accuracy");
  const rows = [
    speed && { name: "speed over dense", interval: speed, text: times(speed), lo: Math.min(0.9, speed.lo), hi: Math.max(speed.hi, 1.5), mark: 1 },
    accuracy && { name: "accuracy", interval: accuracy, text: intervalText(accuracy, 3), lo: 0, hi: 1, mark: undefined },
    data.difference && { name: "against dense, same problems", interval: data.difference, text: signedInterval(data.difference, 3), lo: -0.5, hi: 0.5, mark: 0 },
    held && { name: "held-out accuracy", interval: held, text: intervalText(held, 3), lo: 0, hi: 1, mark: undefined },
  ].filter((row) => !!row);
  if (rows.length === 0) return null;
  return (
    <dl class="measured">
      {rows.map((row) => (
        <div key={row.name}>
          <dt>{row.name}</dt>
          <dd>
            {row.text}
            <Bar interval={row.interval} lo={row.lo} hi={row.hi} mark={row.mark} />
          </dd>
        </div>
      ))}
    </dl>
  );
}

const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(bytes < 1e7 ? 2 : 1)} MB`;

// Why it can be faster, in a sentence: what a step reads, and what dense attention reads.
function Why({ data }: { data: Candidate }) {
  const cost = data.cost;
  if (!cost || cost.policy_bytes <= 0 || cost.dense_bytes <= 0) return null;
  const less = cost.dense_bytes / cost.policy_bytes;
  return (
    <p class="why">
      <b>{(speedOf(data)?.value ?? 0) > 1 ? "Why it is faster." : "What a step reads."}</b> At {count(cost.context_tokens)} tokens a step attends {count(cost.selected_pages)} of {count(cost.pages)} pages of the KV
      cache. With what it reads to choose them ({megabytes(cost.summary_bytes)}) that is {megabytes(cost.policy_bytes)}, where dense attention reads{" "}
      {megabytes(cost.dense_bytes)}: {less.toFixed(1)} times less. How it chooses is drawn under “What it computes”.
    </p>
  );
}

// What a stage took beside what the worker had planned for it.
function StageTime({ stage, longest }: { stage: Stage; longest: number }) {
  const planned = stage.planned_seconds;
  return (
    <span class="time-cell" title={stage.limit_seconds ? `at most ${duration(stage.limit_seconds)}` : ""}>
      <span class="time-bar" aria-hidden="true">
        <span class={planned !== null && stage.seconds > 1.5 * planned ? "over" : ""} style={{ width: `${(100 * stage.seconds) / longest}%` }} />
        {planned !== null && <i style={{ right: `${(100 * Math.min(planned, longest)) / longest}%` }} />}
      </span>
      {fixed(stage.seconds, 2)}
    </span>
  );
}

function Timeline({ stages }: { stages: Stage[] }) {
  const longest = Math.max(0.001, ...stages.map((stage) => Math.max(stage.seconds, stage.planned_seconds ?? 0)));
  const columns = [
    { name: "stage", value: (s: Stage) => s.stage, show: (s: Stage) => <b>{s.stage}</b> },
    { name: "verdict", value: (s: Stage) => s.verdict, show: (s: Stage) => <VerdictMark verdict={s.verdict} /> },
    {
      name: "seconds",
      value: (s: Stage) => s.seconds,
      show: (s: Stage) => <StageTime stage={s} longest={longest} />,
      number: true,
    },
    { name: "planned", value: (s: Stage) => s.planned_seconds, show: (s: Stage) => fixed(s.planned_seconds, 2), number: true },
    { name: "at most", value: (s: Stage) => s.limit_seconds, show: (s: Stage) => (s.limit_seconds ? duration(s.limit_seconds) : missing), number: true },
    { name: "attempt", value: (s: Stage) => s.attempt, number: true },
    { name: "at", value: (s: Stage) => s.created, show: (s: Stage) => clock(s.created), number: true },
    {
      name: "what came out",
      value: (s: Stage) => s.message || s.metrics.map((m) => `${m.name} ${intervalText(m, 3)}`).join("; "),
      show: (s: Stage) =>
        s.message ? (
          <span class="message">
            {s.blame && <b>{s.blame}: </b>}
            {s.message}
          </span>
        ) : (
          <ul class="metrics">
            {s.metrics.map((m) => (
              <li key={m.name}>
                <span class="quiet">{m.name}</span> {intervalText(m, 3)} {m.unit}
              </li>
            ))}
          </ul>
        ),
      wide: true,
    },
  ];
  return <Table label="Stages, oldest first" columns={columns} rows={stages} />;
}

function Outcomes({ outcomes }: { outcomes: OutcomeRow[] }) {
  const rights = outcomes.filter((one) => one.correct).length;
  const worse = outcomes.filter((one) => one.dense_correct === true && !one.correct).length;
  const better = outcomes.filter((one) => one.dense_correct === false && one.correct).length;
  return (
    <>
      <p>
        {rights} of {plural(outcomes.length, "answer")} right; {worse} wrong that dense attention has right, {better} right that it has wrong.
      </p>
      <div class="answers" role="img" aria-label={`${rights} right and ${outcomes.length - rights} wrong answers`}>
        {outcomes.map((one, i) => (
          <span key={i} class={`answer ${one.correct ? "right" : "wrong"}`} title={`${one.stage} ${one.problem}: ${one.correct ? "right" : "wrong"}`}>
            {one.correct ? "✓" : "✕"}
          </span>
        ))}
      </div>
      <details class="as-table">
        <summary>As a table</summary>
        <Table
          label="Answers"
          columns={[
            { name: "stage", value: (o) => o.stage },
            { name: "problem", value: (o) => o.problem },
            { name: "trial", value: (o) => o.trial, number: true },
            { name: "this", value: (o) => (o.correct ? "right" : "wrong") },
            { name: "dense", value: (o) => (o.dense_correct === null ? missing : o.dense_correct ? "right" : "wrong") },
            { name: "tokens", value: (o) => o.tokens, number: true },
            { name: "what was read", value: (o) => o.extracted, show: (o) => <code>{o.extracted}</code>, wide: true },
            { name: "by rule", value: (o) => o.rule },
          ]}
          rows={outcomes}
        />
      </details>
    </>
  );
}

function Family({ title, relatives }: { title: string; relatives: Relative[] }) {
  if (relatives.length === 0) return null;
  return (
    <>
      <h3>{title}</h3>
      <ul class="plain">
        {relatives.slice(0, 12).map((one) => (
          <li key={one.candidate}>
            <CandidateLink id={one.candidate} origin={one.origin} /> <VerdictMark verdict={one.verdict} /> <span class="quiet">{one.operation}</span>
          </li>
        ))}
      </ul>
      {relatives.length > 12 && <p class="quiet">and {relatives.length - 12} more</p>}
    </>
  );
}

function Actions({ data, again }: { data: Candidate; again: () => void }) {
  const [note, setNote] = useState(data.mark.note);
  const [said, setSaid] = useState("");
  useEffect(() => setNote(data.mark.note), [data.candidate]);
  const act = async (path: string, body: unknown, done: string): Promise<void> => {
    try {
      await post(`candidates/${data.candidate}/${path}`, body);
      setSaid(done);
      again();
    } catch (error) {
      setSaid((error as Error).message);
    }
  };
  const mark = (change: object, done: string): Promise<void> => act("mark", { ...data.mark, ...change }, done);
  const waiting = (kind: string): boolean => data.requests.some((request) => request.kind === kind && (request.state === "waiting" || request.state === "taken"));
  const running = data.run.state === "running" && data.verdict === "pass" && data.origin !== "dense";
  return (
    <section class="card" aria-labelledby="act-title">
      <h2 id="act-title">Your part</h2>
      <p class="row">
        <button type="button" class="small" aria-pressed={data.mark.starred} onClick={() => void mark({ starred: !data.mark.starred }, "Saved.")}>
          {data.mark.starred ? "★ Starred" : "☆ Star"}
        </button>
        <button type="button" class="small" aria-pressed={data.mark.hidden} onClick={() => void mark({ hidden: !data.mark.hidden }, "Saved.")}>
          {data.mark.hidden ? "Hidden: show again" : "Hide"}
        </button>
        <button type="button" class="small" disabled={!running || waiting("retest")} onClick={() => void act("request", { kind: "retest" }, "Queued.")}>
          Queue a re-test
        </button>
        <button type="button" class="small" disabled={!running || waiting("confirm")} onClick={() => void act("request", { kind: "confirm" }, "Queued.")}>
          Queue a confirmation
        </button>
      </p>
      {!running && <p class="quiet">Re-tests and confirmations are taken up by a running search, for candidates that passed.</p>}
      <label class="block">
        Note
        <textarea rows={2} value={note} onInput={(event) => setNote(event.currentTarget.value)} />
      </label>
      <p class="row">
        <button type="button" class="small" disabled={note === data.mark.note} onClick={() => void mark({ note }, "Saved.")}>
          Save note
        </button>
        <span role="status" class="quiet">
          {said}
        </span>
      </p>
      {data.requests.length > 0 && (
        <Table
          label="What was asked for"
          columns={[
            { name: "what", value: (r) => r.kind },
            { name: "asked", value: (r) => r.created, show: (r) => clock(r.created) },
            { name: "taken up", value: (r) => r.taken, show: (r) => clock(r.taken) },
            { name: "ended", value: (r) => r.ended, show: (r) => clock(r.ended) },
            { name: "result", value: (r) => r.result || r.state },
          ]}
          rows={data.requests}
        />
      )}
    </section>
  );
}

function CallText({ call }: { call: Call }) {
  const [text, setText] = useState<{ prompt: string; reply: string } | null>(null);
  const [problem, setProblem] = useState("");
  const open = (event: Event): void => {
    if (!(event.currentTarget as HTMLDetailsElement).open || text) return;
    get<{ prompt: string; reply: string }>(`calls/${call.id}`).then(setText, (error: Error) => setProblem(error.message));
  };
  return (
    <details onToggle={open}>
      <summary>
        {call.purpose} by {call.model}: {call.state}, {call.input_tokens} + {call.output_tokens} tokens, ${call.dollars.toFixed(4)}, {duration(call.seconds)}
      </summary>
      {problem && <p class="problem">{problem}</p>}
      {call.message && <p class="problem">{call.message}</p>}
      {text && (
        <>
          <h3>Prompt</h3>
          <pre class="text-box" tabIndex={0}>{text.prompt}</pre>
          <h3>Reply</h3>
          <pre class="text-box" tabIndex={0}>{text.reply || "none"}</pre>
        </>
      )}
    </details>
  );
}

function Source({ data }: { data: Candidate }) {
  const { query } = usePlace();
  const chosen = query.get("source") ?? "policy";
  if (data.origin === "dense") return <p class="quiet">Dense attention attends every page: it has no policy.</p>;
  const tabs: [string, string][] = [
    ["policy", "policy.py"],
    ["config", "policy.json"],
    ...data.parents.map((parent): [string, string] => [`from-${parent.candidate}`, `diff to ${parent.candidate}`]),
  ];
  const tab = tabs.some(([key]) => key === chosen) ? chosen : "policy";
  const parent = data.parents.find((one) => `from-${one.candidate}` === tab);
  return (
    <>
      <div class="tabs" role="tablist" aria-label="Source">
        {tabs.map(([key, name], i) => (
          <button
            type="button"
            key={key}
            role="tab"
            id={`tab-${key}`}
            aria-controls="source-panel"
            aria-selected={tab === key}
            tabIndex={tab === key ? 0 : -1}
            onClick={() => setQuery({ source: key === "policy" ? null : key })}
            onKeyDown={(event) => {
              const step = event.key === "ArrowRight" ? 1 : event.key === "ArrowLeft" ? -1 : 0;
              if (step === 0) return;
              const next = tabs[(i + step + tabs.length) % tabs.length]![0];
              setQuery({ source: next === "policy" ? null : next });
              document.getElementById(`tab-${next}`)?.focus();
            }}
          >
            {name}
          </button>
        ))}
      </div>
      <div role="tabpanel" id="source-panel" aria-labelledby={`tab-${tab}`} tabIndex={0}>
        {tab === "policy" && <Code text={data.files.module} language="python" label="policy.py" />}
        {tab === "config" && <Code text={data.files.config} language="json" label="policy.json" />}
        {parent && (
          <>
            <p class="quiet">
              From <CandidateLink id={parent.candidate} />: {parent.operation}
            </p>
            <Diff before={parent.files.module} after={data.files.module} label={`policy.py against candidate ${parent.candidate}`} />
            <Diff before={parent.files.config} after={data.files.config} label={`policy.json against candidate ${parent.candidate}`} />
          </>
        )}
      </div>
    </>
  );
}

function logOf(stages: Stage[]): Stage[] {
  return stages.filter((stage) => stage.log_tail !== "");
}

export function CandidateView({ id, actions, version }: { id: number; actions: boolean; version: string }) {
  const { data, problem, again } = useGet<Candidate>(`candidates/${id}`, version);
  if (problem) return <p class="problem">{problem}</p>;
  if (!data) return <p class="quiet" role="status">Reading candidate {id} …</p>;
  const first = data.parents[0];
  return (
    <>
      <Head data={data} />
      <Measured data={data} />
      <Why data={data} />
      <section class="card" aria-labelledby="take-title">
        <h2 id="take-title">Commands</h2>
        {data.commands.map((one) => (
          <Command key={one.name} name={one.name} command={one.command} />
        ))}
        {first && (
          <p>
            <a href={comparePath([data.candidate, ...data.parents.map((p) => p.candidate)])}>Compare with its {data.parents.length > 1 ? "parents" : "parent"}</a>
          </p>
        )}
      </section>
      <div class="two wide-left">
        <section class="card" aria-labelledby="source-title">
          <h2 id="source-title">Source</h2>
          <Source data={data} />
        </section>
        <div>
          <section class="card" aria-labelledby="family-title">
            <h2 id="family-title">Family</h2>
            <Family title="Made from" relatives={data.parents} />
            <Family title="Led to" relatives={data.children} />
            {data.parents.length + data.children.length === 0 && <p class="quiet">No parents, no children.</p>}
          </section>
          {actions && <Actions data={data} again={again} />}
        </div>
      </div>
      {data.graph.length > 0 && (
        <Figure
          title="What it computes"
          note="The traced policy: the cache side runs once a page, the indexer every step."
          table={
            <Table
              label="Nodes of the traced policy"
              columns={[
                { name: "side", value: (n) => n.side },
                { name: "node", value: (n) => n.index, number: true },
                { name: "operation", value: (n) => n.title },
                { name: "reads", value: (n) => n.inputs },
                { name: "shape", value: (n) => n.detail },
              ]}
              rows={data.graph.flatMap((side) => side.nodes.map((node, index) => ({ side: side.side, index, title: node.title, inputs: node.inputs.join(", "), detail: node.detail })))}
            />
          }
        >
          <PolicyGraph sides={data.graph} />
          {data.formulas && (
            <details class="as-table">
              <summary>As formulas, with its cost by the limit model</summary>
              <pre class="text-box" tabIndex={0}>{data.formulas}</pre>
            </details>
          )}
        </Figure>
      )}
      {data.graph_problem && <p class="quiet">The traced graph cannot be drawn: {data.graph_problem}</p>}
      <section class="card" aria-labelledby="stages-title">
        <h2 id="stages-title">Stages</h2>
        <Timeline stages={data.stages} />
      </section>
      {data.mass_per_layer.length > 0 && (
        <Figure
          title="Recall by layer"
          note="Share of dense attention's softmax mass that lies on the pages it chose."
          table={
            <Table
              label="Recall by layer"
              columns={[
                { name: "layer", value: (row) => row.layer, number: true },
                { name: "mass", value: (row) => row.mass, show: (row) => fixed(row.mass, 4), number: true },
              ]}
              rows={data.mass_per_layer.map((mass, layer) => ({ layer, mass }))}
            />
          }
        >
          <LayerStrip values={data.mass_per_layer} label="Recall" />
        </Figure>
      )}
      {data.outcomes.length > 0 && (
        <section class="card" aria-labelledby="answers-title">
          <h2 id="answers-title">Answers</h2>
          <Outcomes outcomes={data.outcomes} />
        </section>
      )}
      {data.notes.length > 0 && (
        <section class="card" aria-labelledby="notes-title">
          <h2 id="notes-title">What was predicted</h2>
          <NotebookTable entries={data.notes} />
        </section>
      )}
      {data.calls.length > 0 && (
        <section class="card" aria-labelledby="calls-title">
          <h2 id="calls-title">Prompt and reply</h2>
          {data.calls.map((call) => (
            <CallText key={call.id} call={call} />
          ))}
        </section>
      )}
      {logOf(data.stages).length > 0 && (
        <section class="card" aria-labelledby="log-title">
          <h2 id="log-title">The end of the log</h2>
          {logOf(data.stages).map((stage) => (
            <div key={stage.id}>
              <h3>{stage.stage}</h3>
              <pre class="text-box" tabIndex={0}>{stage.log_tail}</pre>
            </div>
          ))}
        </section>
      )}
      <section class="card" aria-labelledby="evidence-title">
        <h2 id="evidence-title">Evidence</h2>
        <p class="quiet wrap">
          key {data.key}
          {data.program_hash && <>, program {data.program_hash}</>}
        </p>
        {data.stages.map((stage) => (
          <details key={stage.id}>
            <summary>
              {stage.stage}, attempt {stage.attempt}
            </summary>
            <pre class="text-box" tabIndex={0}>{JSON.stringify(stage.evidence, null, 2)}</pre>
          </details>
        ))}
      </section>
    </>
  );
}

