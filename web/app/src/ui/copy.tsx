import { useState } from "preact/hooks";

// Copies where the browser allows it (https and localhost); elsewhere by way of a selection.
async function copy(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = document.createElement("textarea");
    area.value = text;
    area.setAttribute("readonly", "");
    area.className = "sr";
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }
}

export function CopyButton({ text, label }: { text: string | (() => string); label: string }) {
  const [said, setSaid] = useState("");
  const run = async (): Promise<void> => {
    const done = await copy(typeof text === "string" ? text : text());
    setSaid(done ? "Copied" : "Copying is not allowed here");
    setTimeout(() => setSaid(""), 1600);
  };
  return (
    <button type="button" class="small" onClick={() => void run()}>
      <span aria-live="polite">{said || label}</span>
    </button>
  );
}

export function Command({ name, command }: { name: string; command: string }) {
  return (
    <div class="command">
      <span class="command-name">{name}</span>
      <code>{command}</code>
      <CopyButton text={command} label="Copy" />
    </div>
  );
}
