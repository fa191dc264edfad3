import { useEffect, useState } from "preact/hooks";
import { report } from "./report";

// The address is the state: a path for the view, a query for filters. Everything that can be seen can be linked.

export interface Place {
  path: string[];
  query: URLSearchParams;
}

// In a file that opens from disk, the address is what stands behind the #.
const kHash = report !== null;

export function address(path: string): string {
  return kHash ? `#${path}` : path;
}

function current(): { path: string; query: string } {
  if (!kHash) return { path: location.pathname, query: location.search };
  const text = location.hash.startsWith("#/") ? location.hash.slice(1) : "/";
  const mark = text.indexOf("?");
  return mark < 0 ? { path: text, query: "" } : { path: text.slice(0, mark), query: text.slice(mark) };
}

const listeners = new Set<() => void>();

// What somebody typed may be no encoding of anything.
function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

export function place(): Place {
  const { path, query } = current();
  const parts = path.split("/").filter((part) => part !== "");
  return { path: parts.map(decoded), query: new URLSearchParams(query) };
}

function tell(): void {
  for (const listener of listeners) listener();
}
addEventListener("popstate", tell);

// `to`: as `address` gives it.
export function go(to: string): void {
  const { path, query } = current();
  if (to === address(path + query)) return;
  history.pushState(null, "", to);
  scrollTo(0, 0);
  tell();
}

// Changes filters in place: no new entry in the history for every key that is typed.
export function setQuery(changes: Record<string, string | null>): void {
  const now = current();
  const query = new URLSearchParams(now.query);
  for (const [name, value] of Object.entries(changes)) {
    if (value === null || value === "") query.delete(name);
    else query.set(name, value);
  }
  const text = query.toString();
  history.replaceState(null, "", address(now.path + (text === "" ? "" : `?${text}`)));
  tell();
}

export function usePlace(): Place {
  const [now, setNow] = useState(place());
  useEffect(() => {
    const listener = (): void => setNow(place());
    listeners.add(listener);
    return () => void listeners.delete(listener);
  }, []);
  return now;
}

// Links within the page change the address without loading it again. Everything else is the browser's.
export function followLinks(event: MouseEvent): void {
  if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) {
    return;
  }
  const link = (event.target as Element).closest("a");
  if (!link || link.hasAttribute("download") || link.target) return;
  const href = link.getAttribute("href");
  if (!href || !href.startsWith(address("/")) || href.startsWith("/api/")) return;
  event.preventDefault();
  go(href);
}

export function runPath(run: string, view = ""): string {
  return address(`/r/${encodeURIComponent(run)}${view === "" ? "" : `/${view}`}`);
}

export function candidatePath(id: number): string {
  return address(`/c/${id}`);
}

export function comparePath(ids: number[]): string {
  return address(ids.length > 0 ? `/compare?c=${ids.join(",")}` : "/compare");
}
