import type { ComponentChildren } from "preact";

// Source with its words told apart. The text is data of a proposer: it only ever becomes text nodes.

const kPython =
  /(?<comment>#[^\n]*)|(?<string>"""[\s\S]*?"""|'''[\s\S]*?'''|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*')|(?<name>@?[A-Za-z_]\w*)|(?<number>\b\d[\w.]*)/g;
const kJson = /(?<key>"(?:\\.|[^"\\])*"(?=\s*:))|(?<string>"(?:\\.|[^"\\])*")|(?<number>-?\b\d[\w.+-]*)|(?<name>\b(?:true|false|null)\b)/g;
const kWords = new Set(
  "and as class def elif else for from if import in is lambda None not or pass return self super True False while with".split(" "),
);

function tokens(text: string, language: string): ComponentChildren[] {
  const pattern = language === "json" ? kJson : kPython;
  const out: ComponentChildren[] = [];
  let end = 0;
  for (const match of text.matchAll(pattern)) {
    const [kind] = Object.entries(match.groups!).find(([, value]) => value !== undefined)!;
    const word = match[0];
    let style = kind;
    if (kind === "name" && language !== "json") {
      style = word.startsWith("@") ? "decorator" : kWords.has(word) ? "keyword" : text[match.index + word.length] === "(" ? "call" : "";
    } else if (kind === "name") {
      style = "keyword";
    }
    if (match.index > end) out.push(text.slice(end, match.index));
    out.push(style === "" ? word : <span class={`t-${style}`}>{word}</span>);
    end = match.index + word.length;
  }
  out.push(text.slice(end));
  return out;
}

export function Code({ text, language, label }: { text: string; language: string; label: string }) {
  const lines = text.replace(/\n$/, "").split("\n").length;
  return (
    <div class="code" role="region" aria-label={label} tabIndex={0}>
      <pre class="gutter" aria-hidden="true">
        {Array.from({ length: lines }, (_, i) => i + 1).join("\n")}
      </pre>
      <pre>
        <code>{tokens(text, language)}</code>
      </pre>
    </div>
  );
}

export interface DiffLine {
  kind: "same" | "gone" | "new";
  text: string;
}

// The shortest edit between two texts by lines, through their longest common subsequence.
export function diffLines(before: string, after: string): DiffLine[] {
  const a = before.replace(/\n$/, "").split("\n");
  const b = after.replace(/\n$/, "").split("\n");
  const table = Array.from({ length: a.length + 1 }, () => new Uint16Array(b.length + 1));
  for (let i = a.length - 1; i >= 0; --i) {
    for (let j = b.length - 1; j >= 0; --j) {
      table[i]![j] = a[i] === b[j] ? table[i + 1]![j + 1]! + 1 : Math.max(table[i + 1]![j]!, table[i]![j + 1]!);
    }
  }
  const out: DiffLine[] = [];
  let i = 0;
  let j = 0;
  while (i < a.length || j < b.length) {
    if (i < a.length && j < b.length && a[i] === b[j]) {
      out.push({ kind: "same", text: a[i]! });
      ++i;
      ++j;
    } else if (i < a.length && (j >= b.length || table[i + 1]![j]! >= table[i]![j + 1]!)) {
      out.push({ kind: "gone", text: a[i++]! });
    } else {
      out.push({ kind: "new", text: b[j++]! });
    }
  }
  return out;
}

const kAround = 3; // unchanged lines kept beside a change

export function Diff({ before, after, label }: { before: string; after: string; label: string }) {
  const lines = diffLines(before, after);
  const near = lines.map((_, i) => lines.slice(Math.max(0, i - kAround), i + kAround + 1).some((line) => line.kind !== "same"));
  if (!near.some(Boolean)) return <p class="quiet">The same.</p>;
  const out: ComponentChildren[] = [];
  let folded = 0;
  lines.forEach((line, i) => {
    if (!near[i]) {
      ++folded;
      return;
    }
    if (folded > 0) out.push(<span class="d-fold">{`   ⋯ ${folded} lines the same\n`}</span>);
    folded = 0;
    const sign = line.kind === "same" ? " " : line.kind === "gone" ? "−" : "+";
    out.push(<span class={`d-${line.kind}`}>{`${sign} ${line.text}\n`}</span>);
  });
  if (folded > 0) out.push(<span class="d-fold">{`   ⋯ ${folded} lines the same\n`}</span>);
  return (
    <div class="code" role="region" aria-label={label} tabIndex={0}>
      <pre class="diff">{out}</pre>
    </div>
  );
}
