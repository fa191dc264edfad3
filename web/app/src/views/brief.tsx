import type { Brief } from "../api";
import { duration, fixed, plural } from "../format";
import { useGet } from "../live";
import { Command } from "../ui/copy";
import { Table } from "../ui/table";

// What the search came to in words: what to try next, whether searching paid, where the time went.
export function BriefView({ run, version }: { run: string; version: string }) {
  const { data, problem } = useGet<Brief>(`runs/${encodeURIComponent(run)}/brief`, version);
  if (problem) return <p class="problem">{problem}</p>;
  if (!data) return <p class="quiet" role="status">Reading …</p>;
  return (
    <>
      <h1>Brief</h1>
      <section class="card" aria-labelledby="next-title">
        <h2 id="next-title">What to try next</h2>
        {data.themes.length === 0 && <p class="quiet">The data suggest nothing in particular.</p>}
        {data.themes.map((theme) => (
          <p key={theme} class="wrap">
            {theme}
          </p>
        ))}
        {data.commands.map((one) => (
          <Command key={one.name} name={one.name} command={one.command} />
        ))}
      </section>
      <section class="card narrow" aria-labelledby="arms-title">
        <h2 id="arms-title">Does the search earn its cost?</h2>
        {data.arms ? (
          <>
            <p>
              {data.arms.verdict} Chance alone drives two arms as far apart in {fixed(100 * data.arms.p, 1)} % of lots. Hypervolume gained an evaluation, at the {plural(data.arms.matched, "evaluation")} that
              both arms had:
            </p>
            <Table
              label="Gain of both arms"
              columns={[
                { name: "arm", value: (a) => a.arm },
                { name: "gain an evaluation", value: (a) => a.gain, show: (a) => fixed(a.gain, 4), number: true },
              ]}
              rows={[
                { arm: "search", gain: data.arms.search },
                { arm: "independent proposals", gain: data.arms.control },
                { arm: "difference", gain: data.arms.difference },
              ]}
            />
          </>
        ) : (
          <p class="quiet">{data.no_arms}</p>
        )}
      </section>
      {data.lineage && (
        <section class="card" aria-labelledby="led-title">
          <h2 id="led-title">What led to the front</h2>
          <pre class="text-box" tabIndex={0}>{data.lineage}</pre>
        </section>
      )}
      <section class="card narrow" aria-labelledby="time-title">
        <h2 id="time-title">Where the time went</h2>
        {data.machine && <p>{data.machine}</p>}
        <Table
          label="Seconds by stage"
          columns={[
            { name: "stage", value: (s) => s.stage },
            { name: "time", value: (s) => s.seconds, show: (s) => duration(s.seconds), number: true },
          ]}
          rows={data.stages}
          sort="-time"
        />
      </section>
    </>
  );
}
