import type { Environment } from "../api";
import { clock } from "../format";
import { useGet } from "../live";
import { Table } from "../ui/table";

function flatten(value: unknown, path: string, out: { name: string; value: string }[]): void {
  if (value !== null && typeof value === "object" && !Array.isArray(value)) {
    for (const [key, inner] of Object.entries(value)) flatten(inner, path ? `${path}.${key}` : key, out);
    return;
  }
  if (value === "" || value === null) return; // an option that was not given
  const shown = typeof value === "number" && !Number.isInteger(value) ? Number(value.toPrecision(6)) : value;
  const text = typeof shown === "string" ? shown : JSON.stringify(shown);
  out.push({ name: path, value: text.length > 400 ? `${text.slice(0, 400)} …` : text });
}

// What a fault says of itself; what else is known of it where it says nothing.
function detailText(detail: unknown): string {
  const message = (detail as { message?: unknown } | null)?.message;
  return typeof message === "string" ? message : JSON.stringify(detail);
}

function Pairs({ label, value }: { label: string; value: Record<string, unknown> }) {
  const rows: { name: string; value: string }[] = [];
  flatten(value, "", rows);
  return (
    <Table
      label={label}
      columns={[
        { name: "name", value: (r) => r.name },
        { name: "value", value: (r) => r.value, show: (r) => <code>{r.value}</code>, wide: true },
      ]}
      rows={rows}
      limit={400}
    />
  );
}

export function EnvironmentView({ run, version }: { run: string; version: string }) {
  const { data, problem } = useGet<Environment>(`runs/${encodeURIComponent(run)}/environment`, version);
  if (problem) return <p class="problem">{problem}</p>;
  if (!data) return <p class="quiet" role="status">Reading …</p>;
  return (
    <>
      <h1>Environment</h1>
      <section class="card" aria-labelledby="ran-title">
        <h2 id="ran-title">What it ran on</h2>
        <p class="note">As dense attention, the reference of this search, reports it.</p>
        <Pairs label="What it ran on" value={data.evidence} />
      </section>
      <section class="card" aria-labelledby="faults-title">
        <h2 id="faults-title">Faults of the machine</h2>
        {data.faults.length === 0 ? (
          <p class="quiet">None.</p>
        ) : (
          <Table
            label="Faults of the machine"
            columns={[
              { name: "at", value: (e) => e.created, show: (e) => clock(e.created) },
              { name: "kind", value: (e) => e.kind },
              { name: "detail", value: (e) => detailText(e.detail), wide: true },
            ]}
            rows={data.faults}
          />
        )}
      </section>
      <section class="card" aria-labelledby="options-title">
        <h2 id="options-title">What the search was started with</h2>
        <Pairs label="Options" value={data.options} />
      </section>
      <section class="card" aria-labelledby="this-title">
        <h2 id="this-title">This program</h2>
        <Pairs label="This program" value={data.program} />
      </section>
    </>
  );
}
