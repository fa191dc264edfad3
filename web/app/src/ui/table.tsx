import type { ComponentChildren } from "preact";
import { useMemo, useState } from "preact/hooks";
import { CopyButton } from "./copy";

export interface Column<T> {
  name: string;
  value: (row: T) => string | number | boolean | null | undefined; // for sorting and CSV
  show?: (row: T) => ComponentChildren; // else the value
  number?: boolean;
  wide?: boolean; // may wrap
}

interface Props<T> {
  label: string;
  columns: Column<T>[];
  rows: T[];
  sort?: string; // column name, "-" before it for descending
  limit?: number;
  rowClass?: (row: T) => string;
  onSort?: (sort: string) => void; // sorting is done elsewhere
}

function compare(a: unknown, b: unknown): number {
  const missingA = a === null || a === undefined || a === "";
  const missingB = b === null || b === undefined || b === "";
  if (missingA || missingB) return Number(missingA) - Number(missingB);
  if (typeof a === "number" && typeof b === "number") return a - b;
  return String(a).localeCompare(String(b), "en", { numeric: true });
}

function csvCell(value: unknown): string {
  const text = value === null || value === undefined ? "" : String(value);
  // A cell that begins like a formula is one to spreadsheets: texts of proposals must stay texts.
  const safe = typeof value === "string" && /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\n\r]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

export function toCsv<T>(columns: Column<T>[], rows: T[]): string {
  const lines = [columns.map((column) => csvCell(column.name)).join(",")];
  for (const row of rows) lines.push(columns.map((column) => csvCell(column.value(row))).join(","));
  return `${lines.join("\n")}\n`;
}

export function Table<T>({ label, columns, rows, sort: first = "", limit = 200, rowClass, onSort }: Props<T>) {
  const [chosen, setChosen] = useState(first);
  const [shown, setShown] = useState(limit);
  const sort = onSort ? first : chosen;
  const down = sort.startsWith("-");
  const name = down ? sort.slice(1) : sort;
  const sorted = useMemo(() => {
    const column = onSort ? undefined : columns.find((one) => one.name === name);
    if (!column) return rows;
    const order = rows.slice().sort((a, b) => compare(column.value(a), column.value(b)));
    if (down) {
      order.reverse();
      order.sort((a, b) => Number(compare(column.value(a), null) === 0) - Number(compare(column.value(b), null) === 0));
    }
    return order;
  }, [rows, columns, name, down, onSort]);
  const turn = (column: Column<T>): void => {
    const next = name === column.name ? (down ? column.name : `-${column.name}`) : `${column.number ? "-" : ""}${column.name}`;
    if (onSort) onSort(next);
    else setChosen(next);
  };
  if (rows.length === 0) return <p class="quiet">Nothing to show.</p>;
  return (
    <div class="table-box">
      <div class="table-scroll" role="region" aria-label={label} tabIndex={0}>
        <table>
          <caption class="sr">{label}</caption>
          <thead>
            <tr>
              {columns.map((column) => (
                <th
                  key={column.name}
                  scope="col"
                  class={column.number ? "num" : ""}
                  aria-sort={name === column.name ? (down ? "descending" : "ascending") : "none"}
                >
                  <button type="button" class="sort" onClick={() => turn(column)}>
                    {column.name}
                    <span aria-hidden="true" class="arrow">
                      {name === column.name ? (down ? "▼" : "▲") : ""}
                    </span>
                  </button>
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {sorted.slice(0, shown).map((row, i) => (
              <tr key={i} class={rowClass?.(row) ?? ""}>
                {columns.map((column) => (
                  <td key={column.name} class={`${column.number ? "num" : ""}${column.wide ? " wide" : ""}`}>
                    {column.show ? column.show(row) : column.value(row)}
                  </td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      <div class="table-foot">
        {sorted.length > shown && (
          <button type="button" class="small" onClick={() => setShown(shown + limit)}>
            Show {Math.min(limit, sorted.length - shown)} more of {sorted.length - shown}
          </button>
        )}
        <CopyButton text={() => toCsv(columns, sorted)} label="Copy as CSV" />
      </div>
    </div>
  );
}

// A plot and the same as a table: for whoever reads better in rows, and for what a picture cannot be asked.
export function Figure(props: {
  title: string;
  note?: ComponentChildren;
  legend?: ComponentChildren;
  children: ComponentChildren;
  table: ComponentChildren;
  open?: boolean;
}) {
  return (
    <figure class="card">
      <figcaption>
        <h2>{props.title}</h2>
        {props.note && <p class="note">{props.note}</p>}
      </figcaption>
      {props.children}
      {props.legend}
      <details class="as-table" open={props.open}>
        <summary>As a table</summary>
        {props.table}
      </details>
    </figure>
  );
}
